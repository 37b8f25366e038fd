"""The HTTP side answers with a code and a sentence, also where a payload cannot be opened."""

from __future__ import annotations

from typing import cast

import aiohttp
import pytest

from perdure import errors
from perdure._kube.health import Health
from perdure._kube.http import Server
from perdure._kube.metrics import Registry
from perdure.client import Client


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
async def test_an_address_where_nobody_can_listen_is_a_wrong_setting(host: str) -> None:
    """A port that is taken, an address of another machine: said at start with the names of both settings."""
    first = Server(Health(), Registry(), client=lambda: None)
    await first.start("127.0.0.1", 0)
    second = Server(Health(), Registry(), client=lambda: None)
    try:
        with pytest.raises(errors.SettingsError, match=f"PERDURE_HTTP_HOST and PERDURE_HTTP_PORT are '{host}' and"):
            await second.start(host, first.port)
    finally:
        await second.stop()
        await first.stop()


class Keyless:
    """Stands for a client of a process without the key."""

    async def get_instance_info(self, _: str) -> object:
        """Refuse."""
        raise errors.EncryptionKeyMissingError("k1", known=())


async def test_a_payload_that_cannot_be_opened_is_an_answer_with_the_key_that_is_missing() -> None:
    """503: the same request may be answered later, by a process that has the key."""
    server = Server(Health(), Registry(), client=lambda: cast("Client", Keyless()))
    await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"http://127.0.0.1:{server.port}/api/v1/instances/run")
            told = await answer.json()
    finally:
        await server.stop()

    assert answer.status == 503
    assert told["error"]["code"] == "PERDURE-1811"
    assert "'k1'" in told["error"]["message"]

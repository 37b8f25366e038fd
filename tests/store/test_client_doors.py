"""What a client says of a database that is there and is not the right one: in words of ours, never the driver's."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import pytest
import typer.testing

from perdure import cli, errors
from perdure.client import Client


async def test_a_database_without_our_tables_is_told_with_what_to_run(empty_dsn: str) -> None:
    """Reading, writing and removing alike; with `migrate=True` all of it works."""
    async with await Client.connect(empty_dsn) as client:
        for call in (
            client.list_instances(),
            client.start_orchestration("a", "shop::orchestration::order"),
            client.delete_instance("a"),
        ):
            with pytest.raises(errors.SchemaOlderError, match=r"perdure migrate.* migrate=True"):
                await call

    async with await Client.connect(empty_dsn, migrate=True) as client:
        assert (await client.start_orchestration("a", "shop::orchestration::order")).created


def test_a_command_tells_the_same(empty_dsn: str) -> None:
    """One sentence with a code, and no traceback."""
    listed = typer.testing.CliRunner().invoke(cli.application, ["list", "--database-url", empty_dsn])

    assert isinstance(listed.exception, errors.SchemaOlderError)


async def test_an_address_that_cannot_be_used_is_refused_without_its_password(dsn: str) -> None:
    """An unknown database, a port that is no number, no address at all; a program can tell it from an outage."""
    parts = urlsplit(dsn)
    nowhere = urlunsplit(parts._replace(path="/nowhere"))
    for address in (nowhere, "postgresql://me:open-sesame@localhost:port/shop", "open-sesame"):
        with pytest.raises(errors.DatabaseRefusedError) as refused:
            await Client.connect(address)

        assert "open-sesame" not in str(refused.value)

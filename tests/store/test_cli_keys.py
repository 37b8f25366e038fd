"""The command line reads and writes an encrypted installation with the keys of its environment."""

from __future__ import annotations

import base64
import json

import pytest
import typer.testing

from perdure import cli, errors
from perdure._store import connect
from tests.postgres_plugin import run

OLD, NEW = (f"{key_id}:{base64.b64encode(key_id.encode() * 16).decode()}" for key_id in ("k1", "k2"))


def perdure(*words: str) -> typer.testing.Result:
    """Type a command."""
    return typer.testing.CliRunner().invoke(cli.application, words)


async def stored(dsn: str) -> bytes:
    """Give the input of the one instance as it stands in the table."""
    connection = await connect.dedicated(dsn)
    value: bytes = await connection.fetchval("select input from instances")
    await connection.close()
    return value


def test_the_keys_of_the_environment_are_used(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `start` writes is sealed; `get` shows it with the keys, and says without them which one it needs."""
    monkeypatch.setenv("PERDURE_DATABASE_URL", dsn)
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", OLD)

    started = perdure("start", "greet", "--id", "run", "--input", '"hush"')
    shown = perdure("get", "run", "--output", "json")
    monkeypatch.delenv("PERDURE_ENCRYPTION_KEYS")
    refused = perdure("get", "run", "--output", "json")

    assert (started.exit_code, shown.exit_code) == (0, 0), started.output + shown.output
    assert json.loads(shown.output)["input"] == "hush"
    assert b"hush" not in run(stored(dsn))
    assert isinstance(refused.exception, errors.EncryptionKeyMissingError)


def test_people_who_change_keys_see_what_stands_under_each(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without payloads is no longer needed; plain ones are counted too. Counting needs no key."""
    monkeypatch.setenv("PERDURE_DATABASE_URL", dsn)
    for number, keys in enumerate(("", OLD, f"{OLD},{NEW}", f"{NEW},{OLD}")):
        monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", keys)
        perdure("start", "greet", "--id", f"run-{number}", "--input", "1")
    monkeypatch.delenv("PERDURE_ENCRYPTION_KEYS")

    counted = perdure("keys", "--output", "json")
    shown = perdure("keys")

    assert json.loads(counted.output) == {"": 1, "k1": 2, "k2": 1}
    assert "(plain)" in shown.output

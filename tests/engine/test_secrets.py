"""Secrets resolved inside an activity: they do their work there, and nothing that is left of the attempt has them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from perdure import (
    ActivityContext,
    Fixed,
    JsonValue,
    NonRetryableError,
    OrchestrationContext,
    RetryPolicy,
    SecretRef,
    activity,
    errors,
    orchestration,
)
from perdure.secrets import FileSecrets
from tests.engine.world import SETTINGS, World

PASSWORD = "correct horse battery staple"
REFERENCE = SecretRef("db", "password")


@activity("test::activity::connect")
async def connect(ctx: ActivityContext, input: SecretRef) -> str:
    """Use the password, and return its length; tell of it in a log line."""
    password = await ctx.resolve_secret(input)
    ctx.trace_info(f"connecting with {password}", password=password)
    return f"connected with {len(password)} characters"


@activity("test::activity::leak")
async def leak(ctx: ActivityContext, input: SecretRef) -> JsonValue:
    """Return the password."""
    return {"dsn": f"postgresql://me:{await ctx.resolve_secret(input)}@db"}


@activity("test::activity::stumble")
async def stumble(ctx: ActivityContext, input: SecretRef) -> None:
    """Fail with the password in everything that an error carries."""
    password = await ctx.resolve_secret(input)
    behind = ValueError(f"the server said: wrong password {password}")
    raise NonRetryableError(f"refused {password}", details={"tried": [password]}) from behind


@activity("test::activity::whisper")
async def beat(ctx: ActivityContext, input: SecretRef) -> None:
    """Say the password in a heartbeat."""
    ctx.heartbeat({"at": await ctx.resolve_secret(input)})


@orchestration("test::orchestration::use")
async def use(ctx: OrchestrationContext, input: list[JsonValue]) -> JsonValue:
    """Run the activity of this name with the reference; give its result, or what it failed with."""
    name, reference = input
    try:
        retry = RetryPolicy(100, backoff=Fixed(0.05))
        return await ctx.schedule_activity(str(name), reference, retry=retry)
    except errors.ActivityError as error:
        return {"type": error.type, "message": error.message, "details": error.details}


async def begun(world: World, folder: Path, name: str) -> str:
    """Start a run that uses the secret in this activity, on a worker that has it from files."""
    settings = dataclasses.replace(SETTINGS, secrets=FileSecrets(folder))
    await world.worker(use, connect, leak, stumble, beat, settings=settings)
    return await world.start(use, [f"test::activity::{name}", REFERENCE])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the secret."""
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "password").write_text(PASSWORD)
    return tmp_path


async def written(world: World) -> list[str]:
    """Give all that is written of what happened."""
    rows = await world.fetch("select body from history")
    rows += await world.fetch("select last_error from tasks where last_error is not null")
    return [bytes(row[0]).decode() for row in rows]


async def test_a_secret_is_used_and_only_its_reference_is_written(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The activity has the value; history has the reference, and the log a mask."""
    info = await world.end(await begun(world, folder, "connect"))

    lines = capsys.readouterr().out
    assert info.output == f"connected with {len(PASSWORD)} characters"
    assert "connecting with ***" in lines
    assert [text for text in [*await written(world), lines] if PASSWORD in text] == []
    assert '{"secretRef":{"key":"password","name":"db"}}' in "".join(await written(world))


@pytest.mark.parametrize(
    ("name", "what"),
    [("leak", "result of activity test::activity::leak"), ("whisper", "heartbeat of activity test::activity::whisper")],
)
async def test_a_result_or_a_heartbeat_with_a_secret_in_it_is_refused(
    world: World, folder: Path, name: str, what: str
) -> None:
    """The activity fails at once, with the name of the reference; nothing of the value is kept."""
    info = await world.end(await begun(world, folder, name))

    assert isinstance(info.output, dict)
    assert info.output["type"] == "SecretLeakError"
    assert f"The {what} contains the value of key password of Secret db" in str(info.output["message"])
    assert [text for text in await written(world) if PASSWORD in text] == []


async def test_an_error_with_a_secret_in_it_is_kept_without_it(world: World, folder: Path) -> None:
    """Sentence, details and causes are masked, in history and in the log."""
    info = await world.end(await begun(world, folder, "stumble"))

    assert info.output == {"type": "NonRetryableError", "message": "refused ***", "details": {"tried": ["***"]}}
    assert "caused by ValueError: the server said: wrong password ***" in "".join(await written(world))
    assert [text for text in await written(world) if PASSWORD in text] == []


async def test_a_secret_that_comes_later_is_waited_for(world: World, tmp_path: Path) -> None:
    """A missing one is a failed attempt like any other: the retry policy says for how long."""
    instance_id = await begun(world, tmp_path, "connect")
    rows = await world.until("select convert_from(last_error, 'utf8') as said from tasks")

    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "password").write_text(PASSWORD)

    assert (await world.end(instance_id)).output == f"connected with {len(PASSWORD)} characters"
    assert "PERDURE-1801" in rows[0]["said"]

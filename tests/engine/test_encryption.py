"""Runs whose payloads are sealed: nothing of them can be read in the database, and without its key a run only waits."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from perdure import (
    ActivityContext,
    Fixed,
    JsonValue,
    NonRetryableError,
    OrchestrationContext,
    RetryPolicy,
    activity,
    errors,
    orchestration,
)
from perdure._core.codec import Codec
from perdure.client import Client
from perdure.encryption import EncryptionCodec
from tests.engine.world import PATIENCE_SECONDS, PUPPET, SETTINGS, Puppet, World, relay

MARKER = "xyzzy-plugh-1847"
OLD = EncryptionCodec({"old": b"o" * 32})
NEW = EncryptionCodec({"new": b"n" * 32, "old": b"o" * 32})


@contextlib.asynccontextmanager
async def client_with(world: World, codec: Codec | None) -> AsyncIterator[Client]:
    """Give a client with these keys."""
    async with await Client.connect(world.dsn, codec=codec) as client:
        yield client


async def dump(world: World) -> dict[str, list[str]]:
    """Give every row of every table as text, bytes as the text that they are where they are text."""
    tables = await world.fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
    found = {}
    for name in (row["tablename"] for row in tables):
        rows = await world.fetch(f"select * from {name}")  # noqa: S608 - a name that Postgres has just given
        found[name] = [
            " ".join(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in row)
            for row in rows
        ]
    return found


@activity("test::activity::tell")
async def tell(ctx: ActivityContext, input: JsonValue) -> JsonValue:
    """Fail twice with the secret in the sentence, then return it."""
    if ctx.attempt < 3:
        raise ValueError(f"refused {input}")
    return [input]


@activity("test::activity::refuse")
async def refuse(ctx: ActivityContext, input: JsonValue) -> JsonValue:
    """Fail for good, with details."""
    raise NonRetryableError(f"never {input}", details={"said": input})


@orchestration("test::orchestration::whisper")
async def whisper(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Send the secret through every kind of payload: results, errors, signals, a queue, a child, the next execution."""
    ctx.set_custom_status({"at": input})
    ctx.send_signal("deaf", "word", input)
    ctx.schedule_activity(PUPPET, input, queue="unserved")
    told = await ctx.schedule_activity(tell, input, retry=RetryPolicy(3, backoff=Fixed(0)))
    heard = await ctx.schedule_wait("word", type=str)
    try:
        await ctx.schedule_activity(refuse, heard)
    except errors.ActivityError as error:
        told = [told, error.details, error.message]
    answer = await ctx.schedule_sub_orchestration(relay, told)
    if ctx.execution == 1:
        ctx.continue_as_new(input)
    raise RuntimeError(f"in the end {answer}")


async def test_nothing_of_a_run_can_be_read_in_the_database(world: World, puppet: Puppet) -> None:
    """Inputs, results, errors, signals, children, what is carried on: no table has a word of it, at any time."""
    await world.worker(whisper, tell, refuse, relay, puppet.activity, codec=OLD)
    async with client_with(world, OLD) as client:
        await client.start_orchestration("deaf", "test::orchestration::unoffered")
        handle = await client.start_orchestration("whisper", whisper, MARKER)
        seen = []
        for _ in range(2):
            await client.send_signal(handle.instance_id, "word", MARKER)
            await client.send_signal(handle.instance_id, "more", MARKER)
            call = await puppet.called()
            seen.append(await dump(world))
            assert isinstance(call.input, list)
            call.returns(MARKER)
        info = await client.wait_for_orchestration(handle.instance_id, PATIENCE_SECONDS)
        seen.append(await dump(world))

    assert (info.input, info.custom_status) == (MARKER, {"at": MARKER})
    assert info.error is not None
    assert info.error.message == f"in the end {MARKER}"
    assert all(rows["instances"] for rows in seen)
    assert [bool(seen[0][table]) for table in ("history", "inbox", "tasks")] == [True, True, True]
    assert [row for rows in seen for table in rows.values() for row in table if MARKER in row] == []


async def test_without_a_key_the_same_run_can_be_read(world: World, puppet: Puppet) -> None:
    """The look at the database finds what is there to be found: it is the key that hides it."""
    await world.worker(relay, puppet.activity)
    await world.start(relay, MARKER)
    await puppet.called()

    rows = await dump(world)

    assert [row for row in rows["instances"] if MARKER in row]
    assert [row for row in rows["history"] if MARKER in row]


async def test_a_run_goes_on_through_a_change_of_keys(world: World, puppet: Puppet) -> None:
    """Begun before there was a key, gone on under the first, ended under the second: one history, read as one."""
    instance_id = await world.start(relay, "in the open")
    for codec in (None, OLD):
        hand = await world.worker(relay, puppet.activity, codec=codec)
        await puppet.called()
        await hand.stop()
    await world.worker(relay, puppet.activity, codec=NEW)
    (await puppet.called()).returns(MARKER)

    async with client_with(world, NEW) as client:
        info = await client.wait_for_orchestration(instance_id, PATIENCE_SECONDS)
    assert (info.input, info.output) == ("in the open", MARKER)


async def held(world: World, instance_id: str) -> str:
    """Wait until an instance is held for its key; give what is said of it."""
    rows = await world.until(
        "select error from instances"
        " where instance_id = $1 and phase = 'Suspended' and hold_reason = 'PayloadSealed' and owner_id is null",
        instance_id,
    )
    return NEW.decode(rows[0]["error"]).decode()


async def test_a_run_whose_key_is_missing_waits_and_goes_on_when_it_is_back(world: World, puppet: Puppet) -> None:
    """Held, with the key that is missing; neither failed nor changed. A worker with the key takes it up by itself."""
    hand = await world.worker(relay, puppet.activity, codec=OLD)
    async with client_with(world, OLD) as client:
        handle = await client.start_orchestration("run", relay, MARKER)
        await puppet.called()
        await hand.stop()

        keyless = await world.worker(relay, puppet.activity)
        said = await held(world, handle.instance_id)
        await keyless.stop()
        await world.worker(relay, puppet.activity, codec=OLD)
        (await puppet.called()).returns("done")
        info = await client.wait_for_orchestration(handle.instance_id, PATIENCE_SECONDS)

    assert "PERDURE-1811" in said
    assert "'old'" in said
    assert (info.phase, info.output, info.hold_reason, info.error) == ("Completed", "done", "", None)


async def test_a_run_that_has_not_begun_waits_for_its_key_too(world: World, puppet: Puppet) -> None:
    """Its input cannot be read: nothing of it runs, nothing of it is written."""
    async with client_with(world, OLD) as client:
        handle = await client.start_orchestration("run", relay, MARKER)
        keyless = await world.worker(relay, puppet.activity)
        await held(world, handle.instance_id)
        await keyless.stop()
        turns = await world.fetch("select from history")
        await world.worker(relay, puppet.activity, codec=OLD)
        (await puppet.called()).returns("done")
        info = await client.wait_for_orchestration(handle.instance_id, PATIENCE_SECONDS)

    assert (turns, info.phase) == ([], "Completed")


async def test_a_cancel_of_a_run_whose_key_is_missing_waits_for_the_key(world: World, puppet: Puppet) -> None:
    """Its code has to compensate, so it is not ended without it; and it is not asked for over and over again."""
    hand = await world.worker(relay, puppet.activity, codec=OLD)
    async with client_with(world, OLD) as client:
        handle = await client.start_orchestration("run", relay, MARKER)
        await puppet.called()
        await hand.stop()
        keyless = await world.worker(relay, puppet.activity)
        await held(world, handle.instance_id)

        await client.cancel_instance(handle.instance_id, "no longer needed")
        await world.until("select from instances where wake_at > now() + interval '30 s'")
        await held(world, handle.instance_id)
        await keyless.stop()
        await world.worker(relay, puppet.activity, codec=OLD)
        info = await client.wait_for_orchestration(handle.instance_id, PATIENCE_SECONDS)

    assert info.phase == "Cancelled"


async def test_a_run_whose_key_is_lost_can_be_ended_and_removed(world: World, puppet: Puppet) -> None:
    """What nobody can ever read again need not stay for ever: to terminate it takes no key."""
    hand = await world.worker(relay, puppet.activity, codec=OLD)
    async with client_with(world, OLD) as client:
        handle = await client.start_orchestration("run", relay, MARKER)
    await puppet.called()
    await hand.stop()
    await world.worker(relay, puppet.activity)
    await held(world, handle.instance_id)

    await world.client.terminate_instance(handle.instance_id, "the key is lost")

    [info] = (await world.client.list_instances()).items
    assert (info.phase, info.input) == ("Cancelled", None)
    assert info.error is not None
    assert "the key is lost" in info.error.message


async def test_a_message_under_an_unknown_key_holds_its_instance_and_no_other(world: World, puppet: Puppet) -> None:
    """A sender that has the new key before the workers do: the message stays, and is taken in when they have it."""
    worker = await world.worker(listen, relay, puppet.activity, codec=OLD)
    async with client_with(world, NEW) as ahead, client_with(world, OLD) as client:
        await client.start_orchestration("listening", listen)
        await world.until("select from instances where instance_id = 'listening' and turn = 1")
        await ahead.send_signal("listening", "word", MARKER)
        said = await held(world, "listening")
        await client.start_orchestration("other", relay, "beside")
        (await puppet.called()).returns("fine")
        other = await client.wait_for_orchestration("other", PATIENCE_SECONDS)

        await worker.stop()
        await world.worker(listen, codec=NEW)
        info = await ahead.wait_for_orchestration("listening", PATIENCE_SECONDS)

    assert "'new'" in said
    assert (other.output, info.output) == ("fine", MARKER)


@orchestration("test::orchestration::listen")
async def listen(ctx: OrchestrationContext) -> str:
    """Wait for a word, and return it."""
    return await ctx.schedule_wait("word", type=str)


@orchestration("test::orchestration::elsewhere")
async def elsewhere(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Ask the puppet, on a worker that serves its queue."""
    return await ctx.schedule_activity(PUPPET, input, queue="far")


async def test_a_task_whose_key_is_missing_goes_back_to_its_queue(world: World, puppet: Puppet) -> None:
    """It was no attempt: a worker that has the key makes the first."""
    await world.worker(elsewhere, codec=OLD)
    serving = dataclasses.replace(SETTINGS, queues=("far",))
    async with client_with(world, OLD) as client:
        handle = await client.start_orchestration("run", elsewhere, MARKER)
        keyless = await world.worker(puppet.activity, settings=serving)
        rows = await world.until(
            "select failed_attempts, losses from tasks where worker_id is null and visible_at > now() + interval '30 s'"
        )
        await keyless.stop()
        await world.worker(puppet.activity, settings=serving, codec=OLD)
        await world.fetch("update tasks set visible_at = now()")
        call = await puppet.called()
        call.returns("done")
        info = await client.wait_for_orchestration(handle.instance_id, PATIENCE_SECONDS)

    assert (rows[0]["failed_attempts"], rows[0]["losses"], call.info.attempt, puppet.count) == (0, 0, 1, 1)
    assert (call.input, info.output) == (MARKER, "done")


async def test_an_activity_whose_progress_is_sealed_under_a_missing_key_holds_its_instance(
    world: World, puppet: Puppet
) -> None:
    """The next attempt must not begin without what the last one said; the rest of the history would be readable."""
    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay, "in the open")
    await puppet.called()
    await hand.stop()
    await world.fetch(
        "insert into tasks (instance_id, execution, seq, detail) values ($1, 1, 1, $2)", instance_id, OLD.encode(b"1")
    )

    keyless = await world.worker(relay, puppet.activity)
    said = await held(world, instance_id)
    await keyless.stop()
    await world.worker(relay, puppet.activity, codec=OLD)
    (await puppet.called()).returns("done")

    assert "'old'" in said
    async with client_with(world, OLD) as client:
        assert (await client.wait_for_orchestration(instance_id, PATIENCE_SECONDS)).output == "done"


async def test_a_client_without_the_key_sees_that_there_is_a_run_and_not_what_it_is_about(
    world: World, puppet: Puppet
) -> None:
    """A list shows phases and names; what is read of one instance says which key is missing."""
    await world.worker(relay, puppet.activity, codec=OLD)
    async with client_with(world, OLD) as client:
        await client.start_orchestration("run", relay, MARKER)
        await puppet.called()

    page = await world.client.list_instances()

    assert [(info.instance_id, info.phase, info.input) for info in page.items] == [("run", "Running", None)]
    with pytest.raises(errors.EncryptionKeyMissingError, match="'old'"):
        await world.client.get_instance_info("run")
    with pytest.raises(errors.EncryptionKeyMissingError, match="'old'"):
        await world.client.get_history("run")


async def test_changed_bytes_hold_a_run(world: World, puppet: Puppet) -> None:
    """What somebody wrote over a sealed history is found, and never taken for what happened."""
    hand = await world.worker(relay, puppet.activity, codec=OLD)
    async with client_with(world, OLD) as client:
        handle = await client.start_orchestration("run", relay, MARKER)
        await puppet.called()
        await hand.stop()
        await world.fetch("update history set body = set_byte(body, 40, (get_byte(body, 40) + 1) % 256)")
        await world.worker(relay, puppet.activity, codec=OLD)

        said = await held(world, handle.instance_id)

    assert "PERDURE-1812" in said

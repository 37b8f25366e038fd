"""Heartbeats: silence ends an attempt, and what was said last survives the attempt, the worker and the stop."""

from __future__ import annotations

import asyncio
import dataclasses
import threading

import pytest

from perdure import (
    ActivityContext,
    ActivityTimeoutError,
    Fixed,
    JsonValue,
    OrchestrationContext,
    RetryPolicy,
    activity,
    orchestration,
)
from tests.engine import proxy
from tests.engine.world import SETTINGS, World

SERVING = dataclasses.replace(SETTINGS, queues=("gpu",))
COPY = "test::activity::copy"
EITHER = pytest.mark.parametrize("queue", [None, "gpu"], ids=["local", "queued"])


@orchestration("test::orchestration::copying")
async def copying(ctx: OrchestrationContext, input: str | None) -> JsonValue:
    """Copy, here or on a queue, with a second attempt."""
    return await ctx.schedule_activity(COPY, queue=input, retry=RetryPolicy(2, backoff=Fixed(0)))


class Copier:
    """An activity that says how far it is, and then waits for what the test wants."""

    def __init__(self) -> None:
        """Begin with nothing copied."""
        self.found: list[JsonValue] = []
        self.has_said = asyncio.Event()
        self.goes_on: asyncio.Future[JsonValue] = asyncio.get_running_loop().create_future()

        @activity(COPY)
        async def copy(ctx: ActivityContext) -> JsonValue:
            self.found.append(ctx.heartbeat_detail)
            if len(self.found) > 1:
                return self.found
            ctx.heartbeat({"row": 41})
            ctx.heartbeat({"row": 42})
            self.has_said.set()
            return await self.goes_on

        self.activity = copy


@EITHER
async def test_a_silent_attempt_fails_and_is_retried(world: World, queue: str | None) -> None:
    """Without a heartbeat in time the attempt is cancelled; the next may succeed; the last failure says heartbeat."""
    attempts = 0

    @activity("test::activity::hang")
    async def hang(ctx: ActivityContext) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.Event().wait()

    @orchestration("test::orchestration::hanging")
    async def hanging(ctx: OrchestrationContext) -> str:
        twice = RetryPolicy(2, backoff=Fixed(0))
        try:
            await ctx.schedule_activity(hang, queue=queue, retry=twice, heartbeat_timeout=0.05)
        except ActivityTimeoutError as error:
            return error.message
        return ""

    await world.worker(hanging, hang, settings=SERVING)

    output = (await world.run(hanging)).output

    assert isinstance(output, str)
    assert "no heartbeat within 0.05 s" in output
    assert attempts == 2


@EITHER
async def test_the_next_attempt_goes_on_where_the_failed_one_was(world: World, queue: str | None) -> None:
    """A failed attempt's last word is written with the failure, and given to the next, wherever it is made."""
    copier = Copier()
    await world.worker(copying, copier.activity, settings=SERVING)
    instance_id = await world.start(copying, queue)
    await copier.has_said.wait()

    copier.goes_on.set_exception(ConnectionError())

    assert (await world.end(instance_id)).output == [None, {"row": 42}]
    assert await world.fetch("select 1 from tasks") == []


@EITHER
async def test_what_a_heartbeat_said_survives_the_death_of_the_worker(world: World, queue: str | None) -> None:
    """It is in the database about a second later; whoever runs the activity again is given it."""
    copier = Copier()
    first = await world.worker(copying, copier.activity, settings=SERVING)
    instance_id = await world.start(copying, queue)
    await world.until("""select 1 from tasks where detail = '{"row":42}'""")
    await world.crash(first)

    await world.worker(copying, copier.activity, settings=SERVING)

    assert (await world.end(instance_id)).output == [None, {"row": 42}]


@EITHER
async def test_what_a_heartbeat_said_survives_a_stop(world: World, queue: str | None) -> None:
    """A stopping worker writes the last words down before it gives back, those of the clean-up too."""
    has_begun = asyncio.Event()

    @activity(COPY)
    async def copy(ctx: ActivityContext) -> JsonValue:
        if ctx.heartbeat_detail is not None:
            return ctx.heartbeat_detail
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ctx.heartbeat("tidied up")
        raise AssertionError

    leaving = await world.worker(copying, copy, settings=SERVING)
    instance_id = await world.start(copying, queue)
    await has_begun.wait()

    await leaving.stop()
    await world.worker(copying, copy, settings=SERVING)

    assert (await world.end(instance_id)).output == "tidied up"


async def test_an_activity_that_succeeds_leaves_no_word_behind(world: World) -> None:
    """The row that its heartbeats made goes with the turn that takes the result."""
    copier = Copier()

    @orchestration("test::orchestration::going-on")
    async def going_on(ctx: OrchestrationContext) -> JsonValue:
        result = await ctx.schedule_activity(copier.activity)
        await ctx.schedule_timer(3_600)
        return result

    await world.worker(going_on, copier.activity)
    await world.start(going_on)
    await world.until("select 1 from tasks where detail is not null")

    copier.goes_on.set_result("done")

    await world.until("select 1 from instances where turn = 2")
    assert await world.fetch("select 1 from tasks") == []


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_word_is_written_again_when_its_answer_is_lost(world: World, lost: proxy.Lost) -> None:
    """The wire breaks while a detail is written: it is there all the same, and the activity goes on."""
    copier = Copier()
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        wire.lose(lost, "tasks_note")
        hand = await world.worker(copying, copier.activity, dsn=dsn)
        instance_id = await world.start(copying, None)
        await wire.broken()

        await world.until("""select 1 from tasks where detail = '{"row":42}'""")
        copier.goes_on.set_result("done")

        assert (await world.end(instance_id)).output == "done"
        await hand.stop()


@EITHER
async def test_a_sync_activity_sees_that_it_was_cancelled(world: World, queue: str | None) -> None:
    """A thread that looks at `is_cancelled` ends soon after its instance was cancelled; its slot is free again."""
    has_begun, has_seen = threading.Event(), threading.Event()

    @activity(COPY)
    def grind(ctx: ActivityContext) -> None:
        has_begun.set()
        while not ctx.is_cancelled:
            has_seen.wait(0.01)
        has_seen.set()

    hand = await world.worker(copying, grind, settings=SERVING)
    instance_id = await world.start(copying, queue)
    await asyncio.to_thread(has_begun.wait, 30)

    await world.client.cancel_instance(instance_id)

    assert await asyncio.to_thread(has_seen.wait, 30)
    assert (await world.end(instance_id)).phase == "Cancelled"
    assert hand.worker.running_activities == 0


async def test_a_sync_activity_speaks_from_its_thread(world: World) -> None:
    """Heartbeats of a thread are written too, while it works."""
    may_end = threading.Event()

    @activity(COPY)
    def grind(ctx: ActivityContext) -> JsonValue:
        ctx.heartbeat("from a thread")
        may_end.wait(30)
        return "done"

    await world.worker(copying, grind)
    instance_id = await world.start(copying, None)

    await world.until("""select 1 from tasks where detail = '"from a thread"'""")
    may_end.set()

    assert (await world.end(instance_id)).output == "done"

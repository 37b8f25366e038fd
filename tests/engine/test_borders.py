"""Errors that cannot be told, written or counted: each is one instance's trouble, and that instance hears of it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import time
from typing import Never

import pytest
import structlog

from perdure import (
    ActivityContext,
    ActivityError,
    Fixed,
    JsonValue,
    NonRetryableError,
    OrchestrationContext,
    RetryPolicy,
    activity,
    orchestration,
)
from perdure._core.definition import AnyActivity
from tests.engine.world import PUPPET, SETTINGS, Puppet, World, relay

NO_UTF8 = "lost \udcff"


class _UntellableError(NonRetryableError):
    def __init__(self) -> None:
        """Forget the message that the base class would have kept."""

    def __str__(self) -> str:
        raise KeyError


class _Rude(BaseException):
    """No `Exception`."""


def raising(error: BaseException) -> AnyActivity:
    """Give an activity that fails with this."""

    @activity("test::activity::raising")
    async def raise_it(ctx: ActivityContext) -> Never:
        raise error

    return raise_it


@orchestration("test::orchestration::told")
async def told(ctx: OrchestrationContext, input: int) -> JsonValue:
    """Tell what an activity failed with."""
    try:
        await ctx.schedule_activity("test::activity::raising", retry=RetryPolicy(input, backoff=Fixed(0)))
    except ActivityError as error:
        return [error.type, error.attempts]
    return None


async def test_a_turn_that_cannot_be_written_fails_its_instance_only(world: World, puppet: Puppet) -> None:
    """Text without UTF-8 in a command ends that instance; the worker lives its one life, and its neighbours too."""

    @orchestration("test::orchestration::unwritable")
    async def unwritable(ctx: OrchestrationContext) -> None:
        ctx.set_progress(1, 2, NO_UTF8)
        await ctx.schedule_activity(NO_UTF8)

    hand = await world.worker(unwritable, relay, puppet.activity)
    neighbour = await world.start(relay)
    call = await puppet.called()

    assert (await world.run(unwritable)).phase == "Failed"
    call.returns("fine")
    assert (await world.end(neighbour)).output == "fine"
    assert hand.worker.lives == 1


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize(
    "error", [OSError(NO_UTF8), _UntellableError(), _Rude()], ids=lambda error: type(error).__name__
)
async def test_an_error_that_cannot_be_told_is_still_one(world: World, error: BaseException, attempts: int) -> None:
    """A message without UTF-8, a `str()` that raises, no `Exception` at all: the await fails, with the type's name."""
    await world.worker(told, raising(error))

    output = (await world.run(told, attempts)).output

    assert isinstance(output, list)
    assert output[0] == type(error).__name__


async def test_stop_iteration_out_of_a_sync_activity_is_an_error(world: World) -> None:
    """`next()` of nothing in a thread fails the activity as it would in a coroutine."""

    @activity("test::activity::raising")
    def exhausted(ctx: ActivityContext) -> object:
        return next(iter([]))

    await world.worker(told, exhausted)

    assert (await world.run(told, 1)).output == ["RuntimeError", 1]


async def test_a_total_timeout_may_be_as_long_as_it_likes(world: World, puppet: Puppet) -> None:
    """`timedelta.max` is a way to say: for ever."""

    @orchestration("test::orchestration::for-ever")
    async def for_ever(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_activity(PUPPET, total_timeout=datetime.timedelta.max)

    await world.worker(for_ever, puppet.activity)
    instance_id = await world.start(for_ever)
    (await puppet.called()).returns("in time")

    assert (await world.end(instance_id)).output == "in time"


async def test_an_attempt_that_cannot_be_recorded_strands_no_other(world: World) -> None:
    """Two attempts fail together and one row is refused: that activity ends with an error, the other is tried again."""
    both = asyncio.Barrier(2)
    tries: dict[str, int] = {}

    @activity("test::activity::together")
    async def together(ctx: ActivityContext) -> int:
        tries[ctx.instance_id] = tries.get(ctx.instance_id, 0) + 1
        if tries[ctx.instance_id] == 1:
            await both.wait()
            raise ValueError
        return ctx.attempt

    @orchestration("test::orchestration::persist")
    async def persist(ctx: OrchestrationContext) -> int:
        return await ctx.schedule_activity(together, retry=RetryPolicy(5, backoff=Fixed(0)))

    ids = [f"instance-{name}" for name in ("good", "bad")]
    await world.fetch("alter table tasks add constraint no_bad check (instance_id <> 'instance-bad')")
    await world.worker(persist, together)
    for instance_id in ids:
        await world.client.start_orchestration(instance_id, persist)

    good, bad = [await world.end(instance_id) for instance_id in ids]

    assert (good.phase, good.output, bad.phase) == ("Completed", 2, "Failed")


async def test_a_thread_is_taken_until_it_is_free(world: World) -> None:
    """A sync attempt that timed out still has its thread: the next one waits for it, and its time does not run yet."""

    @activity("test::activity::stuck")
    def stuck(ctx: ActivityContext) -> int:
        if ctx.attempt == 1:
            time.sleep(1.0)
        return ctx.attempt

    @orchestration("test::orchestration::stuck")
    async def patience(ctx: OrchestrationContext) -> int:
        return await ctx.schedule_activity(stuck, retry=RetryPolicy(2, backoff=Fixed(0), timeout=0.3))

    await world.worker(patience, stuck, settings=dataclasses.replace(SETTINGS, activity_threads=1))

    assert (await world.run(patience)).output == 2


async def test_the_fields_of_a_log_line_may_have_any_name(world: World) -> None:
    """An author's `instance=` in a log line is no error; whose line it is, the engine says."""

    @activity("test::activity::logs")
    async def logs(ctx: ActivityContext) -> str:
        ctx.trace_info("made", instance="i-123", size=3)
        return ctx.instance_id

    @orchestration("test::orchestration::logs")
    async def log(ctx: OrchestrationContext) -> str:
        return await ctx.schedule_activity(logs)

    await world.worker(log, logs)

    with structlog.testing.capture_logs() as lines:
        info = await world.run(log)

    [line] = [line for line in lines if line["event"] == "made"]
    assert (line["instance"], line["size"]) == (info.output, 3)

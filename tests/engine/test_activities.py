"""Activities on a worker: attempts, retries, timeouts, and what an orchestration sees of them."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time

import pytest

from perdure import (
    ActivityContext,
    ActivityError,
    ActivityTimeoutError,
    Fixed,
    JsonValue,
    NonRetryableError,
    OrchestrationContext,
    RetryPolicy,
    activity,
    orchestration,
)
from perdure._core import history, limits
from tests.engine.world import ALONE, PUPPET, SETTINGS, Puppet, World, relay

AT_ONCE = Fixed(0)


@orchestration("test::orchestration::try")
async def persist(ctx: OrchestrationContext, input: int) -> JsonValue:
    """Ask the puppet, with so many attempts, and tell what came of it."""
    try:
        return await ctx.schedule_activity(PUPPET, retry=RetryPolicy(input, backoff=AT_ONCE))
    except ActivityError as error:
        return {"type": error.type, "message": error.message, "attempts": error.attempts, "retryable": error.retryable}


async def test_sync_activities_run_in_threads_and_async_ones_in_the_loop(world: World) -> None:
    """A plain function may block without stopping the worker; an async one shares its loop."""

    @activity("test::activity::sync")
    def in_thread(ctx: ActivityContext) -> bool:
        return threading.current_thread() is threading.main_thread()

    @activity("test::activity::async")
    async def in_loop(ctx: ActivityContext) -> bool:
        return threading.current_thread() is threading.main_thread()

    @orchestration("test::orchestration::both")
    async def both(ctx: OrchestrationContext) -> list[bool]:
        return await ctx.join(ctx.schedule_activity(in_thread), ctx.schedule_activity(in_loop))

    await world.worker(both, in_thread, in_loop)

    assert (await world.run(both)).output == [False, True]


async def test_waiting_for_a_thread_is_no_part_of_an_attempt(world: World) -> None:
    """The timeout of a sync activity begins when it has a thread, however long the ones before it take."""

    @activity("test::activity::slow")
    def slow(ctx: ActivityContext) -> int:
        time.sleep(0.2)
        return ctx.attempt

    @orchestration("test::orchestration::queue")
    async def queue(ctx: OrchestrationContext) -> list[int]:
        once = RetryPolicy(1, timeout=1.0)
        return await ctx.join(*(ctx.schedule_activity(slow, retry=once) for _ in range(8)))

    await world.worker(queue, slow, settings=dataclasses.replace(SETTINGS, activity_threads=1))

    assert (await world.run(queue)).output == 8 * [1]


async def test_identical_activities_get_their_own_results(world: World, puppet: Puppet) -> None:
    """Two calls of the same name and input are two operations, and each gets the result of its own."""

    @orchestration("test::orchestration::twins")
    async def twins(ctx: OrchestrationContext) -> list[JsonValue]:
        return await ctx.join(ctx.schedule_activity(PUPPET, 1), ctx.schedule_activity(PUPPET, 1))

    await world.worker(twins, puppet.activity)
    instance_id = await world.start(twins)
    calls = {call.info.seq: call for call in [await puppet.called(), await puppet.called()]}

    calls[2].returns("second")
    calls[1].returns("first")

    assert (await world.end(instance_id)).output == ["first", "second"]


async def test_an_activity_is_tried_as_often_as_its_policy_says(world: World, puppet: Puppet) -> None:
    """With max_attempts=3 a failing activity is tried three times; the error is the last one, and names the count."""
    await world.worker(persist, puppet.activity)
    instance_id = await world.start(persist, 3)

    for attempt in (1, 2, 3):
        call = await puppet.called()
        assert call.info.attempt == attempt
        call.fails(ValueError(f"attempt {attempt} failed"))

    info = await world.end(instance_id)
    assert info.output == {"type": "ValueError", "message": "attempt 3 failed", "attempts": 3, "retryable": True}
    assert await world.fetch("select 1 from tasks") == []


async def test_success_ends_the_attempts(world: World, puppet: Puppet) -> None:
    """An activity that succeeds at the second attempt is not tried again, and its row is gone."""
    await world.worker(persist, puppet.activity)
    instance_id = await world.start(persist, 5)
    (await puppet.called()).fails(ValueError("not yet"))
    (await puppet.called()).returns("done")

    assert (await world.end(instance_id)).output == "done"
    assert puppet.count == 2
    assert await world.fetch("select 1 from tasks") == []


async def test_what_was_noted_of_attempts_goes_with_the_result(world: World, puppet: Puppet) -> None:
    """The code goes on with the next activity, and the row of the one before is not there any more."""

    @orchestration("test::orchestration::persist-and-go-on")
    async def persist_and_go_on(ctx: OrchestrationContext) -> JsonValue:
        await ctx.schedule_activity(PUPPET, retry=RetryPolicy(2, backoff=AT_ONCE))
        return await ctx.schedule_activity(PUPPET)

    await world.worker(persist_and_go_on, puppet.activity)
    instance_id = await world.start(persist_and_go_on)
    (await puppet.called()).fails(ValueError("not yet"))
    again = await puppet.called()
    assert [row["seq"] for row in await world.fetch("select seq from tasks")] == [1]
    again.returns("first")

    second = await puppet.called()
    assert await world.fetch("select seq from tasks") == []
    second.returns("second")
    assert (await world.end(instance_id)).output == "second"


async def test_without_a_policy_there_is_one_attempt(world: World, puppet: Puppet) -> None:
    """A plain activity that fails, fails its orchestration, which does not catch it, with its words."""
    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    (await puppet.called()).fails(KeyError("lost"))

    info = await world.end(instance_id)

    assert info.phase == "Failed"
    assert info.error is not None
    assert (info.error.code, info.error.activity, info.error.attempts) == ("PERDURE-1301", PUPPET, 1)
    assert "lost" in info.error.message


async def test_a_non_retryable_error_ends_at_once(world: World, puppet: Puppet) -> None:
    """An activity that says that trying again is of no use is not tried again."""
    await world.worker(persist, puppet.activity)
    instance_id = await world.start(persist, 5)
    (await puppet.called()).fails(NonRetryableError("no such region"))

    output = (await world.end(instance_id)).output

    assert output == {"type": "NonRetryableError", "message": "no such region", "attempts": 1, "retryable": False}


async def test_a_timed_out_attempt_is_cancelled_and_tried_again(world: World, puppet: Puppet) -> None:
    """The policy's timeout bounds one attempt: the activity is cancelled, and the next attempt may succeed."""

    @orchestration("test::orchestration::hurry")
    async def hurry(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_activity(PUPPET, retry=RetryPolicy(2, backoff=AT_ONCE, timeout=0.05))

    await world.worker(hurry, puppet.activity)
    instance_id = await world.start(hurry)
    first, second = await puppet.called(), await puppet.called()
    second.returns("in time")

    await first.cancelled.wait()
    assert (await world.end(instance_id)).output == "in time"


@pytest.mark.slow
async def test_the_total_timeout_bounds_all_attempts(world: World, puppet: Puppet) -> None:
    """However many attempts the policy has left: when the total time is over, the orchestration gets a timeout."""

    @orchestration("test::orchestration::patience")
    async def patience(ctx: OrchestrationContext) -> str:
        forever = RetryPolicy(1_000_000, backoff=Fixed(0.01))
        try:
            await ctx.schedule_activity(PUPPET, retry=forever, total_timeout=1)
        except ActivityTimeoutError as error:
            return error.code
        return "no timeout"

    await world.worker(patience, puppet.activity)
    instance_id = await world.start(patience)
    (await puppet.called()).fails(ValueError("try again"))

    assert (await world.end(instance_id)).output == "PERDURE-1302"


async def test_an_activity_nobody_knows_fails_with_the_known_names(world: World, puppet: Puppet) -> None:
    """A name that no registry has is an error at the await, not a wait for ever."""

    @orchestration("test::orchestration::typo")
    async def typo(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_activity("test::activity::pupett", retry=RetryPolicy(5, backoff=AT_ONCE))

    await world.worker(typo, puppet.activity)

    info = await world.run(typo)

    assert info.error is not None
    assert (info.phase, info.error.code, info.error.attempts) == ("Failed", "PERDURE-1304", 1)
    assert PUPPET in info.error.message


async def test_a_result_over_the_limit_is_an_error_of_the_activity(world: World, puppet: Puppet) -> None:
    """An activity that returns too much fails, once: the orchestration may catch it."""
    await world.worker(persist, puppet.activity)
    instance_id = await world.start(persist, 5)
    (await puppet.called()).returns("x" * limits.PAYLOAD_BYTES)

    output = (await world.end(instance_id)).output

    assert isinstance(output, dict)
    assert (output["type"], output["attempts"]) == ("PayloadTooLargeError", 1)


async def test_an_activity_input_that_does_not_fit_is_an_error_of_the_activity(world: World) -> None:
    """What an orchestration sends wrongly is refused before the activity's code runs, with the path."""

    @activity("test::activity::typed")
    async def typed(ctx: ActivityContext, input: dict[str, int]) -> int:
        raise AssertionError

    @orchestration("test::orchestration::careless")
    async def careless(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_activity(typed.name, {"count": "many"}, retry=RetryPolicy(3, backoff=AT_ONCE))

    await world.worker(careless, typed)

    info = await world.run(careless)

    assert info.error is not None
    assert info.error.attempts == 1
    assert "count" in info.error.message


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "thread"])
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), TimeoutError("upstream")], ids=repr
)
async def test_an_activity_can_neither_stop_nor_confuse_its_worker(
    world: World, error: BaseException, *, is_async: bool
) -> None:
    """What would end a process, and a CancelledError or TimeoutError of its own, fail that activity and no more."""

    async def in_the_loop(ctx: ActivityContext) -> None:
        raise error

    def in_a_thread(ctx: ActivityContext) -> None:
        raise error

    rude = activity("test::activity::rude")(in_the_loop if is_async else in_a_thread)

    @orchestration("test::orchestration::polite")
    async def polite(ctx: OrchestrationContext) -> str:
        try:
            await ctx.schedule_activity(rude)
        except ActivityError as failed:
            return failed.type
        return ""

    hand = await world.worker(polite, rude)

    assert (await world.run(polite)).output == type(error).__name__
    assert hand.is_working


async def test_failed_attempts_are_counted_across_the_death_of_the_worker(world: World, puppet: Puppet) -> None:
    """What was tried stays tried; the attempt that a worker died of is made again and is not counted as a failure."""
    first = await world.worker(persist, puppet.activity)
    instance_id = await world.start(persist, 2)
    (await puppet.called()).fails(ValueError("once"))
    assert (await puppet.called()).info.attempt == 2
    await world.crash(first)

    await world.worker(persist, puppet.activity)
    again = await puppet.called()
    again.fails(ValueError("twice"))

    assert again.info.attempt == 2
    output = (await world.end(instance_id)).output
    assert isinstance(output, dict)
    assert (output["message"], output["attempts"]) == ("twice", 2)


async def test_every_attempt_is_of_a_later_epoch_over_retries_and_deaths(world: World, puppet: Puppet) -> None:
    """What an attempt leaves its epoch on tells who came later, whichever worker made it; it is the database's time."""
    [before] = await world.fetch("select now() as at")
    first = await world.worker(persist, puppet.activity)
    instance_id = await world.start(persist, 3)
    failed = await puppet.called()
    failed.fails(ValueError("once"))
    lost = await puppet.called()
    await world.crash(first)

    await world.worker(persist, puppet.activity)
    again = await puppet.called()
    again.returns("done")

    await world.end(instance_id)
    [after] = await world.fetch("select now() as at")
    epochs = [call.info.epoch for call in (failed, lost, again)]
    assert epochs == sorted(set(epochs))
    assert before["at"].timestamp() * 1e6 <= epochs[0] < epochs[-1] <= after["at"].timestamp() * 1e6


async def test_an_activity_in_flight_is_run_again_when_its_worker_dies(world: World, puppet: Puppet) -> None:
    """At least once: a lost worker is not an attempt, also where no policy allows a second one."""
    first = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    lost = await puppet.called()
    await world.crash(first)

    await world.worker(relay, puppet.activity)
    found = await puppet.called()
    [row] = await world.fetch("select losses, failed_attempts from tasks")
    found.returns("done")

    assert (row["losses"], row["failed_attempts"]) == (1, 0)
    assert (lost.info.attempt, found.info.attempt) == (1, 1)
    assert (await world.end(instance_id)).output == "done"


async def test_an_activity_that_kills_its_workers_is_poison(world: World, puppet: Puppet) -> None:
    """After so many convictions an activity is not run again: its orchestration gets an error that says so."""
    first = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    await puppet.called()
    await world.crash(first)
    await world.fetch(
        "insert into tasks (instance_id, execution, seq, losses, convictions) values ($1, 1, 1, 9, $2)",
        instance_id,
        limits.ACTIVITY_CONVICTIONS,
    )

    await world.worker(relay, puppet.activity)

    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, info.error.type) == ("Failed", "ActivityPoisonError")
    assert puppet.count == 1


@pytest.mark.slow
async def test_a_killer_without_neighbours_costs_five_workers(world: World, puppet: Puppet) -> None:
    """The first death makes it suspect, four more while it alone is on trial convict it: then it is not run again."""
    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)

    for _ in range(1 + limits.ACTIVITY_CONVICTIONS):
        await puppet.called()
        await world.crash(hand)
        hand = await world.worker(relay, puppet.activity)

    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.error.type, info.error.attempts) == ("ActivityPoisonError", 1 + limits.ACTIVITY_CONVICTIONS)
    assert puppet.count == 1 + limits.ACTIVITY_CONVICTIONS


async def test_completed_activities_are_never_run_again(world: World, puppet: Puppet) -> None:
    """A worker that takes over goes on behind the last result: ten steps are ten calls, whoever dies in between."""

    @orchestration("test::orchestration::ten")
    async def ten(ctx: OrchestrationContext) -> list[JsonValue]:
        return [await ctx.schedule_activity(PUPPET, number) for number in range(10)]

    hand = await world.worker(ten, puppet.activity)
    instance_id = await world.start(ten)
    for number in range(10):
        call = await puppet.called()
        assert call.input == number
        call.returns(number * number)
        if number == 6:
            await puppet.called()
            await world.crash(hand)
            hand = await world.worker(ten, puppet.activity)

    assert (await world.end(instance_id)).output == [number * number for number in range(10)]
    assert puppet.count == 11
    results = [event.seq for event in await world.events(instance_id) if isinstance(event, history.ActivityCompleted)]
    assert results == list(range(1, 11))


async def test_what_waits_for_nothing_needs_no_task_of_its_own(world: World) -> None:
    """A hundred activities at once that never wait share a few tasks: each leaves its task as good as new."""
    tasks: set[asyncio.Task[object] | None] = set()

    @activity("test::activity::note")
    async def note(ctx: ActivityContext, input: int) -> int:
        tasks.add(asyncio.current_task())
        return input

    @orchestration("test::orchestration::at-once")
    async def at_once(ctx: OrchestrationContext) -> int:
        return sum(await ctx.join(*(ctx.schedule_activity(note, number) for number in range(100))))

    await world.worker(at_once, note)

    assert (await world.run(at_once)).output == 4950
    assert len(tasks) < 10


async def test_more_activities_than_slots_all_run(world: World) -> None:
    """A fan-out wider than the worker's slots comes to its end, with never more at once than there are slots."""
    running = peak = 0

    @activity("test::activity::count")
    async def count(ctx: ActivityContext, input: int) -> int:
        nonlocal running, peak
        running, peak = running + 1, max(peak, running + 1)
        await asyncio.sleep(0)
        running -= 1
        return input

    @orchestration("test::orchestration::wide")
    async def wide(ctx: OrchestrationContext) -> int:
        return sum(await ctx.join(*(ctx.schedule_activity(count, number) for number in range(100))))

    await world.worker(wide, count, settings=dataclasses.replace(SETTINGS, max_activities=3))

    assert (await world.run(wide)).output == 4950
    assert peak == 3


async def test_the_last_turn_takes_along_what_nobody_has_seen(world: World, puppet: Puppet) -> None:
    """A message and the row of an activity that lie there unread go with their instance: nobody will ask for them."""
    await world.worker(relay, puppet.activity, settings=ALONE)
    instance_id = await world.start(relay)
    call = await puppet.called()
    await world.fetch("insert into inbox (instance_id, kind, payload) values ($1, 'Signal', '{}')", instance_id)
    await world.fetch("insert into tasks (instance_id, execution, seq) values ($1, 1, 99)", instance_id)
    call.returns("done")

    assert (await world.end(instance_id)).output == "done"
    assert await world.fetch("select 1 from inbox union all select 1 from tasks") == []

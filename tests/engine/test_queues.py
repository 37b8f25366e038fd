"""Activities with a queue: they run where it is served, by priority and within its limits, and end like all others."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import uuid

import pytest

from perdure import (
    ActivityContext,
    ActivityError,
    ActivityRegistry,
    ActivityTimeoutError,
    Fixed,
    JsonValue,
    OrchestrationContext,
    RetryPolicy,
    activity,
    orchestration,
)
from perdure._engine.attempt import Job
from perdure._engine.attempts import Attempts, Capacity
from perdure._engine.clock import Clock
from perdure._engine.queued import QueueRunner
from perdure._engine.trials import ActivityTrials
from tests.engine.world import ALONE, PATIENCE_SECONDS, PUPPET, SETTINGS, Puppet, World, relay

SERVING = dataclasses.replace(SETTINGS, queues=("gpu",))
LISTENING = dataclasses.replace(ALONE, queues=("gpu",))
"""A server of the queue that neither polls nor looks after its lease: what it notices, it was told."""


@orchestration("test::orchestration::sent-away")
async def sent_away(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Ask the puppet, on whoever serves the queue; tell what came of it."""
    try:
        return await ctx.schedule_activity(PUPPET, input, queue="gpu", retry=RetryPolicy(2, backoff=Fixed(0)))
    except ActivityError as error:
        return {"type": error.type, "message": error.message, "attempts": error.attempts}


@orchestration("test::orchestration::spread")
async def spread(ctx: OrchestrationContext, input: int) -> list[int]:
    """Send many activities away at once."""
    return await ctx.join(
        *(ctx.schedule_activity("test::activity::part", number, queue="gpu", returns=int) for number in range(input))
    )


async def test_an_activity_with_a_queue_runs_where_its_queue_is_served(world: World, puppet: Puppet) -> None:
    """The owner knows the activity too and does not run it; who serves the queue needs no orchestration."""
    owner = await world.worker(sent_away, puppet.activity, settings=ALONE)
    server = await world.worker(puppet.activity, settings=LISTENING)
    await world.until("select 1 from workers having count(*) = 2")
    instance_id = await world.start(sent_away, "work")

    call = await puppet.called()
    where = (owner.worker.running_activities, server.worker.running_activities)
    call.returns("done")

    assert where == (0, 1)
    assert (call.info.orchestration, call.info.attempt, call.input) == (sent_away.name, 1, "work")
    assert (await world.end(instance_id)).output == "done"
    assert await world.fetch("select 1 from tasks union all select 1 from inbox") == []


async def test_a_worker_may_serve_the_queue_of_its_own_instances(world: World, puppet: Puppet) -> None:
    """One process is enough: what it puts into the queue it finds there at once, without a poll."""
    await world.worker(sent_away, puppet.activity, settings=LISTENING)
    await world.until("select 1 from workers")
    instance_id = await world.start(sent_away)

    (await puppet.called()).returns("done")

    assert (await world.end(instance_id)).output == "done"


async def test_workers_share_a_queue_and_every_task_runs_once(world: World) -> None:
    """Two workers with a slot each meet at every task: both take part, and no task runs on both."""
    meeting, ran = asyncio.Barrier(2), list[int]()

    @activity("test::activity::part")
    async def part(ctx: ActivityContext, input: int) -> int:
        ran.append(input)
        await meeting.wait()
        return input

    await world.worker(spread, settings=SETTINGS)
    for _ in range(2):
        await world.worker(part, settings=dataclasses.replace(SERVING, max_activities=1))

    assert (await world.run(spread, 30)).output == list(range(30))
    assert sorted(ran) == list(range(30))


@pytest.mark.parametrize("is_async", [True, False])
async def test_no_worker_takes_more_than_it_has_slots_for(world: World, *, is_async: bool) -> None:
    """A worker works on as much of a queue as it has slots, in the loop or threads; own activities share them."""
    running, peak, lock = 0, 0, threading.Lock()

    def count(by: int) -> None:
        nonlocal running, peak
        with lock:
            running += by
            peak = max(peak, running)

    @activity("test::activity::part")
    async def in_loop(ctx: ActivityContext, input: int) -> int:
        count(1)
        await asyncio.sleep(0)
        count(-1)
        return input

    @activity("test::activity::part")
    def in_thread(ctx: ActivityContext, input: int) -> int:
        count(1)
        count(-1)
        return input

    @orchestration("test::orchestration::both-ways")
    async def both_ways(ctx: OrchestrationContext) -> int:
        name = "test::activity::part"
        asked = [ctx.schedule_activity(name, 1, queue=queue, returns=int) for queue in 20 * ["gpu", None]]
        return sum(await ctx.join(*asked))

    few = dataclasses.replace(SERVING, max_activities=3, activity_threads=3)
    await world.worker(both_ways, in_loop if is_async else in_thread, settings=few)

    assert (await world.run(both_ways)).output == 40
    assert peak <= 3


async def test_a_queue_never_runs_more_than_its_limit(world: World) -> None:
    """However many workers serve it: what runs at once, by the database's own count, is at most what is allowed."""
    running: list[int] = []

    @activity("test::activity::part")
    async def part(ctx: ActivityContext, input: int) -> int:
        running.append(len(await world.fetch("select 1 from tasks where worker_id is not null")))
        return input

    await world.client.set_queue_limits("gpu", max_running=2)
    await world.worker(spread)
    for _ in range(3):
        await world.worker(part, settings=SERVING)

    assert (await world.run(spread, 40)).output == list(range(40))
    assert max(running) <= 2
    [queue] = await world.fetch("select started from queues")
    assert queue["started"] == 40


async def test_a_queue_never_starts_more_than_its_rate(world: World) -> None:
    """At any moment the starts so far are at most those of the first second and of the time since, by one clock."""
    rate, seen = 20.0, list[tuple[int, float]]()

    @activity("test::activity::part")
    async def part(ctx: ActivityContext, input: int) -> int:
        [row] = await world.fetch(
            "select started, extract(epoch from clock_timestamp() - $1)::float8 as seconds from queues", begin
        )
        seen.append((row["started"], row["seconds"]))
        return input

    [row] = await world.fetch("select now()")
    begin = row[0]
    await world.client.set_queue_limits("gpu", per_second=rate)
    await world.worker(spread)
    for _ in range(2):
        await world.worker(part, settings=SERVING)

    assert (await world.run(spread, 30)).output == list(range(30))
    assert [(started, seconds) for started, seconds in seen if started > rate + rate * seconds] == []


async def test_a_queue_without_limits_is_not_held_up_by_others(world: World, puppet: Puppet) -> None:
    """A worker that serves two queues goes on with the one while the other may start nothing."""

    @orchestration("test::orchestration::other-queue")
    async def other_queue(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_activity(PUPPET, "free", queue="free")

    await world.client.set_queue_limits("gpu", max_running=1)
    settings = dataclasses.replace(SERVING, queues=("free", "gpu"))
    await world.worker(sent_away, other_queue, puppet.activity, settings=settings)
    first, second = await world.start(sent_away, 1), await world.start(sent_away, 2)
    blocking = await puppet.called()
    free = await world.start(other_queue)

    (await puppet.called()).returns("passed by")
    assert (await world.end(free)).output == "passed by"
    blocking.returns("first")
    (await puppet.called()).returns("second")

    assert {(await world.end(first)).output, (await world.end(second)).output} == {"first", "second"}


@pytest.mark.parametrize("queue", [None, "gpu"], ids=["local", "queued"])
async def test_higher_priority_goes_first_then_who_came_first(world: World, queue: str | None) -> None:
    """With one slot, activities that wait run by priority, and in the order of asking within one."""
    order: list[str] = []

    @activity("test::activity::note")
    async def note(ctx: ActivityContext, input: str) -> None:
        order.append(input)

    @activity("test::activity::first")
    async def block(ctx: ActivityContext) -> None:
        await world.until("select 1 from history where turn = 1 and body like '%low%'")
        while queue is None and hand.worker.running_activities < 5:  # noqa: ASYNC110 - it is told of its own commit
            await asyncio.sleep(0)

    @orchestration("test::orchestration::ranked")
    async def ranked(ctx: OrchestrationContext) -> None:
        first = ctx.schedule_activity(block, queue=queue, priority=100)
        await ctx.schedule_timer(0)
        ranks = [("low", -1), ("usual", 0), ("usual too", 0), ("high", 7)]
        notes = [ctx.schedule_activity(note, name, queue=queue, priority=priority) for name, priority in ranks]
        await ctx.join(first, *notes)

    hand = await world.worker(ranked, block, note, settings=dataclasses.replace(SERVING, max_activities=1))

    assert (await world.run(ranked)).phase == "Completed"
    assert order == ["high", "usual", "usual too", "low"]


async def test_a_failed_attempt_goes_back_into_the_queue_and_is_counted(world: World, puppet: Puppet) -> None:
    """The next attempt is made by whoever comes first; the last failure is the result, with the number of attempts."""
    await world.worker(sent_away)
    first = await world.worker(puppet.activity, settings=SERVING)
    instance_id = await world.start(sent_away)
    call = await puppet.called()
    await world.worker(puppet.activity, settings=SERVING)

    call.fails(ValueError("once"))
    again = await puppet.called()
    [row] = await world.fetch("select failed_attempts, losses, convert_from(last_error, 'UTF8') as error from tasks")
    again.fails(ValueError("twice"))

    assert (call.info.attempt, again.info.attempt, row["failed_attempts"], row["losses"]) == (1, 2, 1, 0)
    assert "once" in row["error"]
    assert (await world.end(instance_id)).output == {"type": "ValueError", "message": "twice", "attempts": 2}
    assert first.is_working


async def test_an_activity_that_nobody_has_waits_for_who_has_it(world: World, puppet: Puppet) -> None:
    """A worker that serves the queue leaves what it has not registered to the others."""

    @activity("test::activity::something-else")
    async def something_else(ctx: ActivityContext) -> None:
        """Never asked for."""

    await world.worker(sent_away, something_else, settings=SERVING)
    instance_id = await world.start(sent_away)
    [row] = await world.until("select claims from tasks")

    await world.worker(puppet.activity, settings=SERVING)
    (await puppet.called()).returns("found")

    assert row["claims"] == 0
    assert (await world.end(instance_id)).output == "found"


async def test_a_queue_that_nobody_serves_ends_by_the_total_timeout(world: World, puppet: Puppet) -> None:
    """The owner ends what nobody takes, says where to look, and leaves nothing in the queue."""

    @orchestration("test::orchestration::deserted")
    async def deserted(ctx: OrchestrationContext) -> str:
        try:
            await ctx.schedule_activity(PUPPET, queue="nobody", total_timeout=0.2)
        except ActivityTimeoutError as error:
            return error.message
        return ""

    await world.worker(deserted, puppet.activity, settings=SERVING)

    output = (await world.run(deserted)).output

    assert isinstance(output, str)
    assert "queue 'nobody'" in output
    assert await world.fetch("select 1 from tasks") == []


async def test_a_cancel_reaches_a_running_task(world: World, puppet: Puppet) -> None:
    """Cancelling the instance deletes the task; whoever runs it finds out, and tells the activity."""
    await world.worker(sent_away)
    server = await world.worker(puppet.activity, settings=LISTENING)
    instance_id = await world.start(sent_away)
    call = await puppet.called()

    await world.client.cancel_instance(instance_id, "changed my mind")

    await call.cancelled.wait()
    assert (await world.end(instance_id)).phase == "Cancelled"
    assert server.worker.running_activities == 0
    assert await world.fetch("select 1 from tasks union all select 1 from inbox") == []


async def test_a_cancel_takes_what_waits_out_of_the_queue(world: World, puppet: Puppet) -> None:
    """What nobody has begun is never begun: who comes to serve the queue afterwards finds nothing."""
    await world.worker(sent_away)
    instance_id = await world.start(sent_away)
    await world.until("select 1 from tasks")

    await world.client.cancel_instance(instance_id)
    info = await world.end(instance_id)
    await world.worker(sent_away, puppet.activity, settings=SERVING)
    after = await world.start(sent_away, "after")
    call = await puppet.called()
    call.returns(None)

    assert info.phase == "Cancelled"
    assert call.input == "after"
    await world.end(after)
    assert puppet.count == 1


async def test_the_loser_of_a_select_is_told(world: World, puppet: Puppet) -> None:
    """A task that its orchestration gives up is taken out of the queue, running or not, and the instance goes on."""

    @orchestration("test::orchestration::impatient")
    async def impatient(ctx: OrchestrationContext) -> JsonValue:
        index, _ = await ctx.select(
            ctx.schedule_activity(PUPPET, "slow", queue="gpu"), ctx.schedule_activity(PUPPET, "fast")
        )
        return [index, await ctx.schedule_activity(PUPPET, "after", queue="gpu")]

    await world.worker(impatient, puppet.activity, settings=SERVING)
    instance_id = await world.start(impatient)
    calls = {call.input: call for call in [await puppet.called(), await puppet.called()]}

    calls["fast"].returns(None)
    after = await puppet.called()
    await calls["slow"].cancelled.wait()
    after.returns("went on")

    assert after.input == "after"
    assert (await world.end(instance_id)).output == [1, "went on"]


async def test_a_task_that_nobody_told_of_is_found_all_the_same(world: World, puppet: Puppet) -> None:
    """A lost NOTIFY, a delay that is over: the heartbeat of the lease sees that something waits in a served queue."""
    await world.worker(sent_away)
    instance_id = await world.start(sent_away)
    await world.until("select 1 from tasks")
    await world.fetch("update tasks set visible_at = now() + interval '1 h'")
    server = await world.worker(puppet.activity, settings=SERVING)
    await world.until("select 1 from workers where queues = '{gpu}'")

    await world.fetch("update tasks set visible_at = now()")
    (await puppet.called()).returns("found")

    assert (await world.end(instance_id)).output == "found"
    assert server.is_working


async def test_a_task_whose_command_cannot_be_read_fails_and_stops_nobody(world: World, puppet: Puppet) -> None:
    """A broken row in the queue is an error at the await of its orchestration, not a worker in a loop."""
    await world.worker(sent_away)
    instance_id = await world.start(sent_away)
    await world.until("select 1 from tasks")
    await world.fetch("update tasks set command = '{broken'")

    server = await world.worker(puppet.activity, settings=SERVING)

    output = (await world.end(instance_id)).output
    assert isinstance(output, dict)
    assert output["type"] == "DecodeError"
    assert server.is_working


async def test_a_server_with_nothing_to_do_asks_nothing(world: World, puppet: Puppet) -> None:
    """Having found nothing it waits to be told: its connections do nothing while we look at them again and again."""
    await world.worker(sent_away, puppet.activity, settings=LISTENING)
    await world.until("select 1 from workers")
    instance_id = await world.start(sent_away)
    (await puppet.called()).returns("done")
    await world.end(instance_id)

    last = "select max(query_start) from pg_stat_activity where application_name = 'perdure-test'"
    looks = [(await world.fetch(last))[0][0] for _ in range(400)]

    assert len(set(looks[200:])) == 1


async def test_a_worker_without_queues_asks_for_nothing(world: World, puppet: Puppet) -> None:
    """Nothing served, or nothing to offer: not one query."""

    async def try_nobody(_: list[Job]) -> list[Job]:
        raise AssertionError

    owner = await world.worker(relay, puppet.activity)
    clock = Clock(asyncio.get_running_loop().time)
    capacity = Capacity(1, 1)
    trials = ActivityTrials(try_nobody, asyncio.Event().wait)
    for registry, queues in ((ActivityRegistry.of(puppet.activity), ()), (ActivityRegistry(), ("gpu",))):
        attempts = Attempts(registry, clock, capacity=capacity, kubernetes=None)
        runner = QueueRunner(owner.store, uuid.uuid4(), attempts=attempts, trials=trials, queues=queues)

        await runner.run()


async def test_a_task_of_a_removed_instance_is_stopped_when_its_id_is_used_again(world: World, puppet: Puppet) -> None:
    """The same server takes the same key for the first time once more: the earlier attempt ends, and tells nobody."""
    await world.worker(sent_away, puppet.activity, settings=LISTENING)
    instance_id = await world.start(sent_away, "earlier")
    earlier = await puppet.called()

    await world.client.delete_instance(instance_id, force=True)
    await world.client.start_orchestration(instance_id, sent_away, "later")
    later = await puppet.called()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await earlier.cancelled.wait()
    later.returns("later")

    assert (await world.end(instance_id)).output == "later"

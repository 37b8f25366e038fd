"""Queues whose workers die, stop or are taken for dead, and a database that goes away: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from perdure import ActivityContext, Fixed, JsonValue, OrchestrationContext, RetryPolicy, activity, orchestration
from perdure._core import history, limits
from perdure._engine import queued
from perdure._store.embedded import EmbeddedPostgres
from tests.engine import proxy
from tests.engine import world as worlds
from tests.engine.test_queues import LISTENING, SERVING
from tests.engine.world import ALONE, PUPPET, Puppet, World


@orchestration("test::orchestration::away-once")
async def away_once(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Ask the puppet on the queue, with one attempt."""
    return await ctx.schedule_activity(PUPPET, input, queue="gpu")


@orchestration("test::orchestration::persistent")
async def persistent(ctx: OrchestrationContext) -> JsonValue:
    """Ask the puppet on the queue, as often as it takes."""
    return await ctx.schedule_activity(PUPPET, queue="gpu", retry=worlds.AT_ONCE)


async def test_a_task_whose_worker_dies_is_run_elsewhere(world: World, puppet: Puppet) -> None:
    """The death is counted, the attempt is not: at least once, also where the policy allows one attempt only."""
    await world.worker(away_once)
    first = await world.worker(puppet.activity, settings=SERVING)
    instance_id = await world.start(away_once)
    lost = await puppet.called()
    await world.crash(first)

    await world.worker(puppet.activity, settings=SERVING)
    found = await puppet.called()
    [row] = await world.fetch("select losses, failed_attempts, claims from tasks")
    found.returns("done")

    assert (lost.info.attempt, found.info.attempt) == (1, 1)
    assert (row["losses"], row["failed_attempts"], row["claims"]) == (1, 0, 2)
    assert (await world.end(instance_id)).output == "done"


async def test_a_task_that_kills_its_workers_is_poison(world: World, puppet: Puppet) -> None:
    """After so many convictions a task is not run again: its orchestration gets an error that says so."""
    await world.worker(away_once)
    instance_id = await world.start(away_once)
    await world.until("select 1 from tasks")
    await world.fetch("update tasks set losses = 9, convictions = $1", limits.ACTIVITY_CONVICTIONS)

    await world.worker(puppet.activity, settings=SERVING)

    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, info.error.type) == ("Failed", "ActivityPoisonError")
    assert puppet.count == 0


async def test_what_a_zombie_reports_is_applied_never(world: World, puppet: Puppet) -> None:
    """A worker taken for dead goes on working: its result finds no task of its own, the heir's is the one result.

    What the two have written elsewhere is told apart by their epochs.
    """
    owner = await world.worker(away_once)
    zombie = await world.worker(puppet.activity, settings=LISTENING)
    instance_id = await world.start(away_once)
    late = await puppet.called()
    await world.worker(puppet.activity, settings=SERVING)

    await world.outlives(zombie)
    again = await puppet.called()
    if not late.cancelled.is_set():  # else it has found out already
        late.returns("from the zombie")
    again.returns("from the heir")

    assert (await world.end(instance_id)).output == "from the heir"
    results = [event for event in await world.events(instance_id) if isinstance(event, history.ActivityCompleted)]
    assert len(results) == 1
    assert late.info.epoch < again.info.epoch
    assert owner.is_working
    assert zombie.is_working


async def test_a_graceful_stop_gives_tasks_back_at_once(world: World, puppet: Puppet) -> None:
    """A peer that neither polls nor waits for leases goes on with them; the broken-off attempt does not count."""
    await world.worker(away_once, settings=ALONE)
    leaving = await world.worker(puppet.activity, settings=LISTENING)
    instance_id = await world.start(away_once)
    interrupted = await puppet.called()
    await world.worker(puppet.activity, settings=LISTENING)
    await world.until("select 1 from workers having count(*) = 3")

    await leaving.stop()
    again = await puppet.called()
    [row] = await world.fetch("select losses, failed_attempts from tasks")
    again.returns("from the peer")

    await interrupted.cancelled.wait()
    assert (again.info.attempt, row["losses"], row["failed_attempts"]) == (1, 0, 0)
    assert (await world.end(instance_id)).output == "from the peer"
    assert len(await world.fetch("select 1 from workers")) == 2


async def test_a_task_that_ends_while_its_worker_stops_is_reported(world: World) -> None:
    """What is done need not be done again: a result in the grace of a stopping worker is kept."""
    started, may_end, count = asyncio.Event(), asyncio.Event(), 0

    @activity(PUPPET)
    async def stubborn(ctx: ActivityContext) -> str:
        nonlocal count
        count += 1
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await may_end.wait()
        return "done all the same"

    await world.worker(away_once)
    leaving = await world.worker(stubborn, settings=dataclasses.replace(SERVING, shutdown_grace_seconds=3_600))
    instance_id = await world.start(away_once)
    await started.wait()

    stopping = asyncio.create_task(leaving.stop())
    may_end.set()
    await stopping

    assert (await world.end(instance_id)).output == "done all the same"
    assert count == 1


async def test_a_worker_in_a_new_life_takes_its_old_tasks_again(world: World, puppet: Puppet) -> None:
    """One that lost its lease drops what it had; under its new id it finds the task in the queue like anybody else."""
    await world.worker(away_once)
    server = await world.worker(puppet.activity, settings=SERVING)
    instance_id = await world.start(away_once)
    first = await puppet.called()
    old_id = server.worker.worker_id

    # At once: a task that is free while its worker still has a row is taken again in the old life.
    await world.fetch(
        "with gone as (delete from workers where worker_id = $1) update tasks set worker_id = null", old_id
    )
    (await puppet.called()).returns("in the new life")

    await first.cancelled.wait()
    assert (await world.end(instance_id)).output == "in the new life"
    assert server.worker.worker_id != old_id


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("statement", ["queue_claim", "queue_finish", "queue_fail", "queue_watch"])
async def test_no_lost_answer_loses_a_task(world: World, statement: str, lost: proxy.Lost) -> None:
    """Whatever a server of the queue asks the database when the wire breaks: the task ends, with one result."""
    tries = 0

    @activity(PUPPET)
    async def third_time(ctx: ActivityContext, input: JsonValue) -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError
        if statement == "queue_watch":
            await wire.broken()
        return ctx.attempt

    async with proxy.wire_to(world.dsn) as (wire, dsn):
        wire.lose(lost, statement)
        await world.worker(persistent)
        server = await world.worker(third_time, settings=SERVING, dsn=dsn)

        instance_id = await world.start(persistent)
        await wire.broken()

        assert ((await world.end(instance_id)).output, tries) == (3, 3)
        results = [event for event in await world.events(instance_id) if isinstance(event, history.ActivityCompleted)]
        assert len(results) == 1
        await server.stop()
    assert await world.fetch("select 1 from tasks union all select 1 from inbox") == []


async def test_a_failed_attempt_whose_report_was_not_answered_is_followed_by_the_next(
    world: World, puppet: Puppet
) -> None:
    """Said again it finds nothing, for it was written before: who has said it looks when the next attempt is due."""

    @orchestration("test::orchestration::patient")
    async def patient(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_activity(PUPPET, queue="gpu", retry=RetryPolicy(2, backoff=Fixed(0.2)))

    await world.worker(patient, settings=ALONE)
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        server = await world.worker(puppet.activity, settings=LISTENING, dsn=dsn)
        await world.until("select 1 from workers having count(*) = 2")
        instance_id = await world.start(patient)
        call = await puppet.called()

        wire.lose("answer", "queue_fail")
        call.fails(ConnectionError())
        await wire.broken()
        (await puppet.called()).returns("done")

        assert (await world.end(instance_id)).output == "done"
        await server.stop()


@pytest.mark.parametrize("landing_seconds", [0.001, limits.LATE_LANDING_SECONDS])
async def test_what_a_lost_answer_took_waits_for_no_slot(
    world: World, puppet: Puppet, monkeypatch: pytest.MonkeyPatch, landing_seconds: float
) -> None:
    """A claim takes a task, nobody hears of it, and the slot goes to the worker's own activity: another runs the task.

    So it is, too, when the time in which such a claim may land is over before anybody could look.
    """
    monkeypatch.setattr(limits, "LATE_LANDING_SECONDS", landing_seconds)
    monkeypatch.setattr(queued, "_AFTER_LOSS_SECONDS", 0.01)
    await world.client.set_queue_limits("gpu", max_running=1)
    await world.worker(away_once, settings=ALONE)
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        full = dataclasses.replace(LISTENING, max_activities=1)
        server = await world.worker(worlds.relay, puppet.activity, settings=full, dsn=dsn)
        first = await world.start(worlds.relay, "first")
        has_slot = await puppet.called()
        wire.lose("answer", "queue_claim")
        instance_id = await world.start(away_once, "queued")
        await world.until("select 1 from tasks")
        second = await world.start(worlds.relay, "second")
        while server.worker.running_activities < 2:  # noqa: ASYNC110 - the worker tells nobody
            await asyncio.sleep(0.01)

        has_slot.returns("over")
        await wire.broken()
        has_slot = await puppet.called()
        await world.worker(puppet.activity, settings=LISTENING)
        found = await puppet.called()
        assert (has_slot.input, found.input) == ("second", "queued")
        found.returns("done")
        assert (await world.end(instance_id)).output == "done"

        has_slot.returns("over")
        for ended in (first, second):
            await world.end(ended)
        await asyncio.gather(*(hand.stop() for hand in world.hands))


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_stop_with_a_lost_answer_keeps_no_task(world: World, puppet: Puppet, lost: proxy.Lost) -> None:
    """Giving back is done again until it is known to be done: the next worker takes the task."""
    await world.worker(away_once)
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        leaving = await world.worker(puppet.activity, settings=SERVING, dsn=dsn)
        instance_id = await world.start(away_once)
        await puppet.called()

        wire.lose(lost, "queue_release")
        await leaving.stop()
    await wire.broken()
    await world.worker(puppet.activity, settings=SERVING)
    (await puppet.called()).returns("from the next")

    assert (await world.end(instance_id)).output == "from the next"


async def test_a_result_that_the_database_refuses_fails_its_task_alone(world: World, puppet: Puppet) -> None:
    """Of two results in one batch the bad one becomes a failure with the reason; the other is applied."""
    await world.fetch("alter table inbox add constraint no_swearing check (position('damn'::bytea in payload) = 0)")
    await world.worker(away_once)
    await world.worker(puppet.activity, settings=SERVING)
    ids = [await world.start(away_once, word) for word in ("damn", "hello")]

    for call in (await puppet.called(), await puppet.called()):
        call.returns(call.input)

    bad, good = [await world.end(instance_id) for instance_id in ids]
    assert (good.phase, good.output) == ("Completed", "hello")
    assert bad.error is not None
    assert "no_swearing" in bad.error.message


async def test_a_task_that_the_database_lets_nobody_end_is_put_back(world: World, puppet: Puppet) -> None:
    """When not even a failure can be written it is not the task's fault: it is tried again later."""
    await world.worker(away_once)
    server = await world.worker(puppet.activity, settings=SERVING)
    instance_id = await world.start(away_once)
    call = await puppet.called()
    await world.fetch("alter table inbox add constraint closed check (kind <> 'Event')")

    call.returns("too early")
    await world.until("select 1 from tasks where worker_id is null and visible_at > now() and failed_attempts = 0")
    await world.fetch("alter table inbox drop constraint closed")
    await world.fetch("update tasks set visible_at = now()")
    (await puppet.called()).returns("later")

    assert (await world.end(instance_id)).output == "later"
    assert server.is_working


async def test_a_database_that_crashes_loses_no_task(crashable_postgres: EmbeddedPostgres, puppet: Puppet) -> None:
    """A result that came while the database was away is reported when it is back: the activity ran once."""
    async with worlds.created(crashable_postgres.dsn) as world:
        await world.worker(away_once)
        await world.worker(puppet.activity, settings=LISTENING)
        instance_id = await world.start(away_once)
        call = await puppet.called()

        crashable_postgres.crash()
        call.returns("during the outage")
        crashable_postgres.restart()

        await world.reconnect()
        assert (await world.end(instance_id)).output == "during the outage"
        assert puppet.count == 1

"""Workers that die, stop, are taken for dead or fill up, and a database that goes away: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal

import pytest

from perdure import ActivityContext, JsonValue, OrchestrationContext, activity, orchestration
from perdure._core import history
from perdure._core.definition import AnyActivity
from perdure._store.embedded import EmbeddedPostgres
from tests.engine import proxy
from tests.engine import world as worlds
from tests.engine.world import ALONE, PUPPET, SETTINGS, Puppet, World, relay


@orchestration("test::orchestration::two-steps")
async def two_steps(ctx: OrchestrationContext) -> list[JsonValue]:
    """Ask the puppet twice."""
    return [await ctx.schedule_activity(PUPPET, number) for number in (1, 2)]


@orchestration("test::orchestration::doze")
async def doze(ctx: OrchestrationContext, input: float) -> float:
    """Sleep and wake up."""
    await ctx.schedule_timer(input)
    return input


async def test_a_graceful_stop_hands_over_at_once(world: World, puppet: Puppet) -> None:
    """A peer that neither polls nor waits for leases goes on with what a stopping worker gives back."""
    leaving = await world.worker(relay, puppet.activity, settings=ALONE)
    instance_id = await world.start(relay)
    interrupted = await puppet.called()
    staying = await world.worker(relay, puppet.activity, settings=ALONE)
    await world.until("select 1 from workers having count(*) = 2")

    await leaving.stop()
    (await puppet.called()).returns("from the peer")

    await interrupted.cancelled.wait()
    assert (await world.end(instance_id)).output == "from the peer"
    assert [row["worker_id"] for row in await world.fetch("select worker_id from workers")] == [
        staying.worker.worker_id
    ]


async def test_an_activity_that_cleans_up_slowly_keeps_no_other_instance(world: World, puppet: Puppet) -> None:
    """A stopping worker gives back at once what is quiet; only the instance whose activity still runs waits for it."""
    started, cleaned_up = asyncio.Event(), asyncio.Event()

    @activity("test::activity::slow-to-leave")
    async def slow_to_leave(ctx: ActivityContext) -> str:
        try:
            await started.wait()
        except asyncio.CancelledError:
            await cleaned_up.wait()
            raise
        return "slow too"

    @orchestration("test::orchestration::slow")
    async def slow(ctx: OrchestrationContext) -> str:
        return await ctx.schedule_activity(slow_to_leave)

    patient = dataclasses.replace(ALONE, shutdown_grace_seconds=3_600)
    leaving = await world.worker(relay, slow, slow_to_leave, puppet.activity, settings=patient)
    ids = [await world.start(slow), await world.start(relay)]
    await puppet.called()
    await world.worker(relay, slow, slow_to_leave, puppet.activity, settings=ALONE)
    await world.until("select 1 from workers having count(*) = 2")

    stopping = asyncio.create_task(leaving.stop())
    (await puppet.called()).returns("quick")
    assert (await world.end(ids[1])).output == "quick"
    assert not stopping.done()
    started.set()
    cleaned_up.set()
    await stopping

    assert (await world.end(ids[0])).output == "slow too"


async def test_what_was_claimed_in_the_moment_of_the_stop_is_given_back(world: World) -> None:
    """An instance that is owned but not yet in memory is handed over too, not left to the end of the lease."""
    first = await world.worker(doze, settings=ALONE)
    instance_id = await world.start(doze, 0.5)
    await world.until("select 1 from instances where turn = 1")
    await first.stop()
    await world.fetch("update instances set wake_at = now()")
    async with world.outside.transaction():
        await world.fetch("lock table history in access exclusive mode")
        leaving = await world.worker(doze, settings=ALONE)
        await world.until("select 1 from pg_locks where relation = 'history'::regclass and not granted")
        await leaving.stop()

    assert await world.fetch("select 1 from workers union all select 1 from instances where owner_id is not null") == []
    await world.worker(doze, settings=ALONE)
    assert (await world.end(instance_id)).phase == "Completed"


async def test_a_worker_taken_for_dead_cannot_commit(world: World, puppet: Puppet) -> None:
    """A zombie's turn is refused whole: its result is not applied, its next step not asked for. It evicts and lives."""
    zombie = await world.worker(two_steps, puppet.activity, settings=ALONE)
    instance_id = await world.start(two_steps)
    late = await puppet.called()
    heir = await world.worker(two_steps, puppet.activity)

    await world.outlives(zombie)
    again = await puppet.called()
    late.returns("from the zombie")
    again.returns("from the heir")
    second = await puppet.called()
    second.returns("second")

    assert (await world.end(instance_id)).output == ["from the heir", "second"]
    await zombie.evicts()
    assert puppet.count == 3
    assert zombie.is_working
    assert heir.is_working


async def test_a_worker_that_lost_its_lease_starts_a_new_life(world: World, puppet: Puppet) -> None:
    """Taken for dead, a worker finds out at its next heartbeat, drops everything and works on under a new id."""
    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    first = await puppet.called()
    old_id = hand.worker.worker_id

    await world.fetch("delete from workers")
    await world.fetch("update instances set owner_id = null, wake_at = now()")
    (await puppet.called()).returns("in the new life")

    await first.cancelled.wait()
    assert (await world.end(instance_id)).output == "in the new life"
    assert hand.worker.worker_id != old_id
    assert hand.worker.lives == 2


async def test_two_workers_share_the_work_and_each_instance_has_one(world: World) -> None:
    """One with as many as it has room for leaves the rest to the other, and every activity runs exactly once."""
    ran: list[tuple[str, str]] = []
    both_work = asyncio.Event()

    def sign(name: str) -> AnyActivity:
        @activity("test::activity::sign")
        async def signed(ctx: ActivityContext) -> None:
            ran.append((ctx.instance_id, name))
            if {name for _, name in ran} == {"a", "b"}:
                both_work.set()
            await both_work.wait()

        return signed

    @orchestration("test::orchestration::signed")
    async def signed_twice(ctx: OrchestrationContext) -> None:
        await ctx.schedule_activity("test::activity::sign")
        await ctx.schedule_activity("test::activity::sign")

    small = dataclasses.replace(SETTINGS, max_instances=5)
    ids = [await world.start(signed_twice) for _ in range(40)]
    await world.worker(signed_twice, sign("a"), settings=small)
    await world.worker(signed_twice, sign("b"), settings=small)

    assert {(await world.end(instance_id)).phase for instance_id in ids} == {"Completed"}
    assert sorted(instance_id for instance_id, _ in ran) == sorted(2 * ids)


async def test_more_instances_wait_than_fit_in_memory(world: World) -> None:
    """A worker with room for five runs thirty that wait at once: what is idle is put away and comes back in time."""
    hand = await world.worker(doze, settings=dataclasses.replace(SETTINGS, max_instances=5, poll_seconds=0.05))

    ids = [await world.start(doze, 0.5) for _ in range(30)]

    assert {(await world.end(instance_id)).output for instance_id in ids} == {0.5}
    assert hand.worker.resident_count <= 5


async def test_a_full_worker_takes_more_as_soon_as_there_is_room(world: World, puppet: Puppet) -> None:
    """Busy instances are never put away; the next one is claimed when one ends, not at the next poll."""
    ids = [await world.start(relay) for _ in range(6)]
    await world.worker(relay, puppet.activity, settings=dataclasses.replace(ALONE, max_instances=2))

    for number in range(6):
        (await puppet.called()).returns(number)

    assert {(await world.end(instance_id)).phase for instance_id in ids} == {"Completed"}


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_commit_of_unknown_outcome_is_read_back(world: World, puppet: Puppet, lost: proxy.Lost) -> None:
    """The wire breaks before a commit arrives, or before its answer does: both times the turn stands exactly once."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(two_steps, puppet.activity, dsn=dsn)
        instance_id = await world.start(two_steps)
        first = await puppet.called()

        wire.lose(lost, "commit_turn")
        first.returns("first")
        await wire.broken()
        (await puppet.called()).returns("second")

        assert (await world.end(instance_id)).output == ["first", "second"]
        assert puppet.count == 2
        assert len(await world.client.get_history(instance_id)) == 3
        await hand.stop()


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_the_last_commit_of_unknown_outcome_is_read_back(world: World, puppet: Puppet, lost: proxy.Lost) -> None:
    """The same for the turn that ends the instance, after which nobody owns it."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(relay, puppet.activity, dsn=dsn)
        instance_id = await world.start(relay)
        call = await puppet.called()

        wire.lose(lost, "commit_turn")
        call.returns("done")
        await wire.broken()

        assert (await world.end(instance_id)).output == "done"
        assert len(await world.client.get_history(instance_id)) == 2
        await hand.stop()


@pytest.mark.parametrize("statement", ["claim", "worker_register", "worker_heartbeat", "tasks_record_failure"])
@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_no_other_lost_answer_loses_an_instance(world: World, statement: str, lost: proxy.Lost) -> None:
    """Whatever else a worker asks the database when the wire breaks, it goes on, and the instance comes to its end."""
    tries = 0

    @activity("test::activity::third-time")
    async def third_time(ctx: ActivityContext) -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError
        return ctx.attempt

    @orchestration("test::orchestration::third-time")
    async def persist(ctx: OrchestrationContext) -> int:
        return await ctx.schedule_activity(third_time, retry=worlds.AT_ONCE)

    async with proxy.wire_to(world.dsn) as (wire, dsn):
        wire.lose(lost, statement)
        hand = await world.worker(persist, third_time, dsn=dsn)

        info = await world.run(persist)
        await wire.broken()
        await world.until("select 1 from workers where lease_until > now()")

        assert (info.output, tries) == (3, 3)
        assert hand.is_working
        await hand.stop()


async def test_a_database_that_crashes_fails_no_instance(crashable_postgres: EmbeddedPostgres, puppet: Puppet) -> None:
    """Postgres crashes with an activity running and comes back: the result is committed, nothing runs twice."""
    async with worlds.created(crashable_postgres.dsn) as world:
        hand = await world.worker(two_steps, puppet.activity, settings=ALONE)
        instance_id = await world.start(two_steps)
        first = await puppet.called()

        crashable_postgres.crash()
        first.returns("during the outage")
        crashable_postgres.restart()
        (await puppet.called()).returns("after it")

        await world.reconnect()
        assert (await world.end(instance_id)).output == ["during the outage", "after it"]
        assert (puppet.count, hand.worker.lives) == (2, 1)


async def test_a_crash_of_the_database_takes_from_nobody_what_it_went_on_with(
    crashable_postgres: EmbeddedPostgres, puppet: Puppet
) -> None:
    """An activity that was found pending begins at once, and no other worker gets it: its claim was on disk before."""
    async with worlds.created(crashable_postgres.dsn) as world:
        leaving = await world.worker(relay, puppet.activity, settings=ALONE)
        instance_id = await world.start(relay)
        await puppet.called()
        await leaving.stop()
        await world.fetch("update instances set wake_at = null")
        heir = await world.worker(relay, doze, puppet.activity, settings=ALONE)
        await world.run(doze, 0.0)
        [writer] = await world.fetch("select pid from pg_stat_activity where backend_type = 'walwriter'")
        os.kill(writer["pid"], signal.SIGSTOP)  # now only who waits for the disk has something written to it
        await world.fetch("update instances set wake_at = now() where finished_at is null")
        heir.worker.nudge()
        found = await puppet.called()

        os.kill(writer["pid"], signal.SIGKILL)
        crashable_postgres.crash()
        crashable_postgres.restart()
        await world.reconnect()
        await world.worker(relay, puppet.activity, settings=ALONE)
        found.returns("once")

        assert (await world.end(instance_id)).output == "once"
        assert puppet.count == 2


async def test_one_turn_that_the_database_refuses_fails_alone(world: World) -> None:
    """In a batch of many, the one bad turn is found: its instance fails with the reason, all others complete."""

    @orchestration("test::orchestration::say")
    async def say(ctx: OrchestrationContext, input: str) -> str:
        await ctx.schedule_timer(0)
        return input

    await world.fetch("alter table history add constraint no_swearing check (position('damn'::bytea in body) = 0)")
    words = ["hello"] * 20 + ["damn"] + ["goodbye"] * 20
    ids = [await world.start(say, word) for word in words]
    await world.worker(say)

    infos = [await world.end(instance_id) for instance_id in ids]

    assert [info.phase for info in infos] == ["Failed" if word == "damn" else "Completed" for word in words]
    assert infos[20].error is not None
    assert "no_swearing" in infos[20].error.message


async def test_an_instance_that_the_database_never_takes_is_held(world: World, puppet: Puppet) -> None:
    """When not even a failure can be written, it is not the turn's fault: the instance is held, and goes on later."""
    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    call = await puppet.called()
    await world.fetch("alter table history add constraint closed check (turn < 1)")

    call.returns("too early")
    held = await world.phase(instance_id, "Suspended")
    await world.fetch("alter table history drop constraint closed")
    await hand.stop()
    await world.worker(relay, puppet.activity)
    (await puppet.called()).returns("later")

    assert held.hold_reason == "TurnRefused"
    assert (await world.end(instance_id)).output == "later"


async def test_effects_wait_for_the_commit(world: World, puppet: Puppet) -> None:
    """No activity starts before the turn that asked for it stands: while the commit is blocked, nothing runs."""
    await world.worker(relay, puppet.activity)
    await world.until("select 1 from workers")
    async with world.outside.transaction():
        await world.fetch("lock table history in access exclusive mode")
        instance_id = await world.start(relay)
        await world.until("select 1 from pg_locks where relation = 'history'::regclass and not granted")
        assert puppet.count == 0

    (await puppet.called()).returns("after the commit")
    assert (await world.end(instance_id)).output == "after the commit"
    scheduled = [
        command for command in await world.commands(instance_id) if isinstance(command, history.ScheduleActivity)
    ]
    assert len(scheduled) == 1

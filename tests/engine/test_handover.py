"""From one worker to the next: what is done stays done, no message sleeps, and the living are not taken for dead."""

from __future__ import annotations

import asyncio
import dataclasses

import msgspec

from perdure import JsonValue, OrchestrationContext, orchestration
from perdure._core import history
from tests.engine import proxy
from tests.engine.world import ALONE, PUPPET, SETTINGS, Puppet, World, relay


@orchestration("test::orchestration::two")
async def two(ctx: OrchestrationContext) -> list[JsonValue]:
    """Ask the puppet twice."""
    return [await ctx.schedule_activity(PUPPET, number) for number in (1, 2)]


@orchestration("test::orchestration::sleep")
async def sleep(ctx: OrchestrationContext, input: float) -> None:
    """Sleep and wake up."""
    await ctx.schedule_timer(input)


@orchestration("test::orchestration::listen")
async def listen(ctx: OrchestrationContext) -> list[JsonValue]:
    """Wait for two words."""
    return [await ctx.schedule_wait("word") for _ in range(2)]


async def test_results_that_are_there_are_committed_before_the_hand_over(world: World, puppet: Puppet) -> None:
    """One result is on its way to the database, one waits behind it: neither activity is run again by the next owner.

    What they let their instances ask for is not begun by the worker that leaves.
    """
    leaving = await world.worker(two, puppet.activity, settings=ALONE)
    ids = [await world.start(two) for _ in range(2)]
    calls = [await puppet.called() for _ in ids]
    async with world.outside.transaction():
        await world.fetch("lock table history in access exclusive mode")
        calls[0].returns("first")
        await world.until("select 1 from pg_locks where relation = 'history'::regclass and not granted")
        calls[1].returns("first")
        while leaving.worker.running_activities:  # noqa: ASYNC110 - it is over in a few rounds of the loop
            await asyncio.sleep(0)
        stopping = asyncio.create_task(leaving.stop())
        for _ in range(20):  # rounds of the loop: it hears of the stop in a few, and nothing is committed meanwhile
            await asyncio.sleep(0)
    await stopping
    assert puppet.count == 2

    await world.worker(two, puppet.activity)
    for _ in ids:
        call = await puppet.called()
        assert call.input == 2
        call.returns("second")

    assert [(await world.end(instance_id)).output for instance_id in ids] == 2 * [["first", "second"]]


async def test_a_message_noted_but_not_taken_in_wakes_the_next_owner(world: World) -> None:
    """A worker stops with a cancel still in the inbox of a long sleeper: who comes next takes it in at once."""
    leaving = await world.worker(sleep, settings=ALONE)
    instance_id = await world.start(sleep, 3_600.0)
    await world.until("select 1 from instances where turn = 1")
    await world.fetch("insert into inbox (instance_id, kind, payload) values ($1, 'Cancel', '{}')", instance_id)
    await leaving.stop()

    await world.worker(sleep, settings=ALONE)

    assert (await world.end(instance_id)).phase == "Cancelled"


async def test_the_checker_finds_a_message_that_sleeps(world: World) -> None:
    """An ownerless instance with news must wake now; one that would sleep over it is called stranded."""
    leaving = await world.worker(sleep, settings=ALONE)
    instance_id = await world.start(sleep, 3_600.0)
    await world.until("select 1 from instances where turn = 1")
    store = leaving.store
    await world.fetch("insert into inbox (instance_id, kind, payload) values ($1, 'Cancel', '{}')", instance_id)
    await world.fetch("update instances set owner_id = null, wake_at = now() + interval '1 hour'")

    assert [row["instance_id"] for row in await store.fetch("stranded")] == [instance_id]

    await world.fetch("update instances set wake_at = now()")
    assert await store.fetch("stranded") == []


async def test_a_claim_whose_answer_is_lost_loses_no_message(world: World) -> None:
    """The claim noted a cancel, and nobody heard it: the inboxes of all residents are read again."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(sleep, dsn=dsn, settings=ALONE)
        instance_id = await world.start(sleep, 3_600.0)
        await world.until("select 1 from instances where turn = 1")

        wire.lose("answer", "claim")
        await world.client.cancel_instance(instance_id, "heard")
        await wire.broken()

        assert (await world.end(instance_id)).phase == "Cancelled"
        await hand.stop()


async def test_a_claim_that_lands_late_loses_no_message(world: World) -> None:
    """It took the mark of a message after all was read again; as long as one may land, that is done once more."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(listen, dsn=dsn, settings=ALONE)
        instance_id = await world.start(listen)
        await world.until("select 1 from instances where turn = 1")
        wire.lose("answer", "claim")
        await world.client.send_signal(instance_id, "word", "first")
        await wire.broken()
        await world.until("select 1 from instances where turn = 2")

        unmarked = "insert into inbox (instance_id, kind, payload) values ($1, 'Signal', $2)"
        await world.fetch(
            unmarked, instance_id, history.encode_event(history.SignalReceived("word", msgspec.Raw(b"2")))
        )

        assert (await world.end(instance_id)).output == ["first", 2]
        await hand.stop()


async def test_what_came_for_one_that_is_not_in_memory_is_given_to_its_next_owner(world: World) -> None:
    """Its worker owns it by a claim that it knows nothing of, and takes the mark: it gives back instance and mark."""
    await world.worker(sleep, settings=ALONE)
    instance_id = await world.start(listen)
    await world.client.send_signal(instance_id, "word", 1)
    await world.client.send_signal(instance_id, "word", 2)
    await world.fetch(
        "update instances set owner_id = (select worker_id from workers) where instance_id = $1", instance_id
    )

    assert (await world.run(sleep, 0.0)).phase == "Completed"
    await world.worker(listen, settings=ALONE)

    assert (await world.end(instance_id)).output == [1, 2]


async def test_a_hand_over_is_no_death(world: World, puppet: Puppet) -> None:
    """Deaths in a row are counted, and of activities those they died of; a worker that leaves ends the row."""
    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    await puppet.called()
    await world.crash(hand)
    for _ in range(2):
        hand = await world.worker(relay, puppet.activity)
        await puppet.called()
        await hand.stop()
        [row] = await world.fetch("select recoveries, losses from instances join tasks using (instance_id)")
        assert (row["recoveries"], row["losses"]) == (0, 1)

    await world.worker(relay, puppet.activity)
    (await puppet.called()).returns("done")

    assert (await world.end(instance_id)).output == "done"


async def test_who_has_just_come_takes_nobody_for_dead(world: World, puppet: Puppet) -> None:
    """After an outage all leases have ended: the first worker back leaves the others a whole lease to come back."""
    slow = await world.worker(relay, puppet.activity, settings=ALONE)
    instance_id = await world.start(relay)
    call = await puppet.called()
    await world.fetch("update workers set lease_until = now() - interval '1 s'")

    await world.worker(sleep, settings=ALONE)
    assert (await world.run(sleep, 0.1)).phase == "Completed"
    call.returns("still mine")

    assert (await world.end(instance_id)).output == "still mine"
    assert (puppet.count, slow.worker.lives) == (1, 1)


async def test_a_heartbeat_without_an_answer_does_not_cost_the_lease(world: World) -> None:
    """A heartbeat that hangs is given up after a third of the lease and made again on a new connection."""
    hand = await world.worker(sleep, settings=dataclasses.replace(SETTINGS, lease_seconds=6.0))
    await world.until("select 1 from workers")
    async with world.outside.transaction():
        await world.fetch("select from workers for update")
        async with asyncio.timeout(120):
            while hand.store.availability.outages == 0:  # noqa: ASYNC110 - the worker tells nobody
                await asyncio.sleep(0.01)

    assert (await world.run(sleep, 0.0)).phase == "Completed"
    assert hand.worker.lives == 1


async def test_between_two_replays_everybody_gets_a_turn(world: World) -> None:
    """However many instances a worker takes over at once, its event loop goes round after each."""
    rounds, seen = 0, []

    async def go_round() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    @orchestration("test::orchestration::seen")
    async def doze(ctx: OrchestrationContext) -> None:
        seen.append(rounds)
        await ctx.schedule_timer(3_600)

    first = await world.worker(doze, settings=ALONE)
    for _ in range(60):
        await world.start(doze)
    await world.until("select 1 from instances where turn = 1 having count(*) = 60")
    await first.stop()
    await world.fetch("update instances set wake_at = now()")
    seen.clear()
    going = asyncio.create_task(go_round())

    await world.worker(doze, settings=ALONE)
    async with asyncio.timeout(120):
        while len(seen) < 60:  # noqa: ASYNC110 - orchestrations set no events
            await asyncio.sleep(0)
    going.cancel()

    assert len(set(seen)) == 60


@orchestration("test::orchestration::twice")
async def twice(ctx: OrchestrationContext, input: int) -> int:
    """Live two times."""
    if input < 2:
        ctx.continue_as_new(input + 1)
    return input


async def test_a_start_may_be_repeated_after_its_instance_has_continued_as_new(world: World) -> None:
    """Whoever lost the answer to a start asks again with the same input, also when the instance is in its next life."""
    await world.worker(twice)
    await world.client.start_orchestration("lives", twice, 1)
    await world.end("lives")

    again = await world.client.start_orchestration("lives", twice, 1)

    assert not again.created
    assert (await world.end("lives")).output == 2


async def test_a_claim_that_lands_after_its_answer_was_lost_strands_nothing(world: World) -> None:
    """The answer to a claim is lost, and it is done when the worker has claimed again: what it took is given back."""
    async with proxy.wire_to(world.dsn) as (wire, address):
        hand = await world.worker(sleep, dsn=address)
        await world.until("select 1 from workers")
        wire.lose("answer", "claim")
        await wire.broken()
        await world.run(sleep, 0.0)
        await world.fetch(
            "insert into instances (instance_id, name, input, owner_id) "
            "values ('late', 'test::orchestration::sleep', '0', $1)",
            hand.worker.worker_id,
        )

        ended = await world.end("late")

    assert ended.phase == "Completed"


async def test_a_turn_is_never_written_for_a_later_one_of_the_same_id(world: World, puppet: Puppet) -> None:
    """An instance is removed and started again while its turn is on the way, and by chance the same worker owns the new
    one, at the same turn: the old turn is refused, and the new one is taken up by whoever can.
    """
    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    call = await puppet.called()
    await world.fetch("update instances set created_at = created_at + interval '1 s'")

    call.returns("of another life")
    again = await puppet.called()
    again.returns("of this life")

    assert (await world.end(instance_id)).output == "of this life"

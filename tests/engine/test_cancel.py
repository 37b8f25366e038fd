"""Cancelling instances: their code may compensate, then they end Cancelled."""

from __future__ import annotations

import dataclasses

from perdure import JsonValue, OrchestrationCancelled, OrchestrationContext, orchestration
from tests.engine.world import PUPPET, SETTINGS, Puppet, World, relay


@orchestration("test::orchestration::careful")
async def careful(ctx: OrchestrationContext) -> str:
    """Do something, and undo it when cancelled."""
    try:
        await ctx.schedule_activity(PUPPET, "do")
    except OrchestrationCancelled as cancelled:
        await ctx.schedule_activity(PUPPET, f"undo: {cancelled.reason}")
        raise
    return "done"


async def test_a_cancel_stops_the_activity_and_ends_the_instance(world: World, puppet: Puppet) -> None:
    """The running activity is cancelled, the instance ends Cancelled, the error says why."""
    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    call = await puppet.called()

    await world.client.cancel_instance(instance_id, "changed my mind")

    await call.cancelled.wait()
    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, info.output, info.error.message) == ("Cancelled", None, "changed my mind")


async def test_cancelled_code_may_compensate(world: World, puppet: Puppet) -> None:
    """The cancel is raised at the await, with its reason; the code schedules what undoes its work, then ends."""
    await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    await puppet.called()

    await world.client.cancel_instance(instance_id, "too late")
    undo = await puppet.called()
    assert (await world.client.get_instance_info(instance_id)).phase == "Running"
    undo.returns(None)

    assert undo.input == "undo: too late"
    assert (await world.end(instance_id)).phase == "Cancelled"


async def test_compensation_goes_on_where_its_worker_died(world: World, puppet: Puppet) -> None:
    """A crash in the middle of compensating neither forgets the cancel nor starts it again."""
    hand = await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    await puppet.called()
    await world.client.cancel_instance(instance_id, "stop")
    await puppet.called()
    await world.crash(hand)

    await world.worker(careful, puppet.activity)
    undo = await puppet.called()
    undo.returns(None)

    assert undo.input == "undo: stop"
    assert (await world.end(instance_id)).phase == "Cancelled"
    assert puppet.count == 3


async def test_compensation_that_takes_too_long_is_ended_by_force(world: World, puppet: Puppet) -> None:
    """After the grace the instance ends whatever its code does, and says that it was forced."""
    await world.worker(careful, puppet.activity, settings=dataclasses.replace(SETTINGS, cancel_grace_seconds=0.2))
    instance_id = await world.start(careful)
    await puppet.called()

    await world.client.cancel_instance(instance_id)
    undo = await puppet.called()

    info = await world.end(instance_id)
    await undo.cancelled.wait()
    assert info.error is not None
    assert (info.phase, info.error.type) == ("Cancelled", "CancelGraceEndedError")


async def test_cancelling_again_changes_nothing(world: World, puppet: Puppet) -> None:
    """However often it is asked for, an instance takes in one cancel, with the first reason."""
    await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    await puppet.called()

    for reason in ("first", "second", "third"):
        await world.client.cancel_instance(instance_id, reason)
    undo = await puppet.called()
    await world.client.cancel_instance(instance_id, "while compensating")
    undo.returns(None)

    assert undo.input == "undo: first"
    info = await world.end(instance_id)
    assert (info.phase, puppet.count) == ("Cancelled", 2)
    assert await world.fetch("select 1 from inbox") == []


async def test_an_instance_that_nobody_owns_is_cancelled_too(world: World, puppet: Puppet) -> None:
    """Asked for while no worker was there, the cancel is taken in by the next one."""
    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    await puppet.called()
    await hand.stop()

    await world.client.cancel_instance(instance_id, "while you were out")
    await world.worker(relay, puppet.activity)

    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, info.error.message) == ("Cancelled", "while you were out")


async def test_an_instance_that_never_began_is_cancelled_without_running(world: World, puppet: Puppet) -> None:
    """A cancel that comes before the first turn wins: no activity is asked for."""
    instance_id = await world.start(careful)
    await world.client.cancel_instance(instance_id, "never mind")

    await world.worker(careful, puppet.activity)

    assert (await world.end(instance_id)).phase == "Cancelled"
    assert puppet.count == 0


async def test_a_cancel_needs_no_reason(world: World, puppet: Puppet) -> None:
    """None is no reason, and no error of the caller's."""
    instance_id = await world.start(careful)
    await world.client.cancel_instance(instance_id, None)

    await world.worker(careful, puppet.activity)

    assert (await world.end(instance_id)).phase == "Cancelled"


async def test_a_finished_instance_stays_as_it_is(world: World, puppet: Puppet) -> None:
    """A cancel after the end is harmless and leaves nothing behind."""
    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    (await puppet.called()).returns("done")
    await world.end(instance_id)

    await world.client.cancel_instance(instance_id, "too late")

    info = await world.client.get_instance_info(instance_id)
    assert (info.phase, info.output) == ("Completed", "done")
    assert await world.fetch("select 1 from inbox") == []


async def test_code_that_swallows_its_cancel_ends_cancelled_all_the_same(world: World, puppet: Puppet) -> None:
    """Whatever the code returns after a cancel: the instance was cancelled, and says so."""

    @orchestration("test::orchestration::stubborn")
    async def stubborn(ctx: OrchestrationContext) -> JsonValue:
        try:
            return await ctx.schedule_activity(PUPPET)
        except OrchestrationCancelled:
            return "I do not care"

    await world.worker(stubborn, puppet.activity)
    instance_id = await world.start(stubborn)
    await puppet.called()

    await world.client.cancel_instance(instance_id)

    assert (await world.end(instance_id)).phase == "Cancelled"


async def test_a_message_that_cannot_be_read_stops_no_worker(world: World, puppet: Puppet) -> None:
    """A broken row in the inbox is still a cancel; the worker goes on with all others."""
    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    await puppet.called()

    await world.fetch("insert into inbox (instance_id, kind, payload) values ($1, 'Cancel', '{broken')", instance_id)
    await world.fetch("update instances set wake_at = now() where instance_id = $1", instance_id)

    assert (await world.end(instance_id)).phase == "Cancelled"
    assert hand.is_working

"""Deadlines: an instance that does not end in time fails, its code may compensate, and no crash forgets it.

A deadline is a column; whoever starts a run for a resource sets it. Here it is set by hand.
"""

from __future__ import annotations

import dataclasses

from perdure import OrchestrationContext, orchestration
from perdure._core import history
from tests.engine import proxy
from tests.engine.test_cancel import careful
from tests.engine.world import PUPPET, SETTINGS, Puppet, World, relay


@orchestration("test::orchestration::parent")
async def parent(ctx: OrchestrationContext) -> object:
    """Wait for a child."""
    return await ctx.schedule_sub_orchestration(relay, None, instance_id="child")


@orchestration("test::orchestration::rounds")
async def rounds(ctx: OrchestrationContext) -> None:
    """Go on for ever."""
    await ctx.schedule_activity(PUPPET, None)
    await ctx.continue_as_new(None)


async def over(world: World, instance_id: str) -> None:
    """Let the time of an instance be over."""
    await world.fetch("update instances set deadline_at = now() where instance_id = $1", instance_id)


async def test_an_instance_whose_time_is_over_fails_after_compensating(world: World, puppet: Puppet) -> None:
    """Its code sees a cancel with the reason, and undoes what it did; the end is a failure with a code of its own."""
    await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    call = await puppet.called()

    await over(world, instance_id)
    await call.cancelled.wait()
    undo = await puppet.called()
    undo.returns(None)

    info = await world.end(instance_id)
    assert "undo: It took longer than" in str(undo.input)
    assert info.error is not None
    assert (info.phase, info.error.code) == ("Failed", "PERDURE-1223")


async def test_one_that_ends_in_time_is_left_alone(world: World, puppet: Puppet) -> None:
    """What has ended has no deadline."""
    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    await world.fetch(
        "update instances set deadline_at = now() + interval '1 hour' where instance_id = $1", instance_id
    )
    (await puppet.called()).returns(1)
    await world.end(instance_id)
    await over(world, instance_id)
    other = await world.start(relay)
    await over(world, other)
    await world.end(other)

    assert (await world.client.get_instance_info(instance_id)).phase == "Completed"


async def test_a_deadline_whose_answer_is_lost_is_told_all_the_same(world: World, puppet: Puppet) -> None:
    """It was noted, and nobody heard of it: looking again finds nothing, and its owner hears of it without a poll."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        settings = dataclasses.replace(SETTINGS, poll_seconds=3_600)
        hand = await world.worker(relay, puppet.activity, settings=settings, dsn=dsn)
        instance_id = await world.start(relay)
        await puppet.called()

        wire.lose("answer", "deadlines_pass")
        await over(world, instance_id)
        await wire.broken()

        assert (await world.end(instance_id)).phase == "Failed"
        await hand.stop()


async def test_compensation_that_takes_too_long_is_cut_off(world: World, puppet: Puppet) -> None:
    """The grace is that of a cancel; the error says both."""
    await world.worker(careful, puppet.activity, settings=dataclasses.replace(SETTINGS, cancel_grace_seconds=0.2))
    instance_id = await world.start(careful)
    await puppet.called()

    await over(world, instance_id)
    await puppet.called()

    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, info.error.code) == ("Failed", "PERDURE-1223")
    assert "PERDURE-1205" in info.error.message


async def test_a_deadline_that_passes_while_nobody_is_there_is_kept_by_the_next(world: World, puppet: Puppet) -> None:
    """The worker dies, the time goes by, another worker comes: what was taken goes on to its end by failure."""
    hand = await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    await puppet.called()
    await world.crash(hand)
    await over(world, instance_id)

    await world.worker(careful, puppet.activity)
    call = await puppet.called()
    while not str(call.input).startswith("undo"):
        call = await puppet.called()
    call.returns(None)

    info = await world.end(instance_id)
    assert info.error is not None
    assert info.error.code == "PERDURE-1223"


async def test_compensation_after_a_deadline_goes_on_where_its_worker_died(world: World, puppet: Puppet) -> None:
    """The deadline has passed and been told; the next owner neither forgets it nor takes it for a cancel."""
    hand = await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    await puppet.called()
    await over(world, instance_id)
    await puppet.called()
    await world.crash(hand)

    await world.worker(careful, puppet.activity)
    (await puppet.called()).returns(None)

    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, info.error.code) == ("Failed", "PERDURE-1223")


async def test_one_that_nobody_took_up_fails_without_a_worker_that_has_it(world: World) -> None:
    """Any worker ends it, and whoever waits for it hears of it."""
    instance_id = await world.start("test::orchestration::unknown")
    await over(world, instance_id)

    await world.worker(relay)

    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, info.error.code) == ("Failed", "PERDURE-1223")
    assert "No worker had taken it up" in info.error.message


async def test_a_pause_keeps_nobody_from_its_end(world: World, puppet: Puppet) -> None:
    """Suspended or not, its time is over."""
    await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    (await puppet.called())
    await world.client.suspend_instance(instance_id)
    await world.phase(instance_id, "Suspended")

    await over(world, instance_id)
    call = await puppet.called()
    while not str(call.input).startswith("undo"):
        call = await puppet.called()
    call.returns(None)

    assert (await world.end(instance_id)).phase == "Failed"


async def test_a_deadline_is_one_of_all_executions(world: World, puppet: Puppet) -> None:
    """Whoever continues as new does not get out of it."""
    await world.worker(rounds, puppet.activity)
    instance_id = await world.start(rounds)
    (await puppet.called()).returns(None)
    await puppet.called()

    await over(world, instance_id)

    info = await world.end(instance_id)
    assert (info.phase, info.execution) == ("Failed", 2)


async def test_children_end_with_their_parent(world: World, puppet: Puppet) -> None:
    """They are cancelled, as by any end of it; a deadline of a child is its parent's to hear of."""
    await world.worker(parent, relay, puppet.activity)
    instance_id = await world.start(parent)
    await puppet.called()

    await over(world, instance_id)
    await world.end(instance_id)

    assert (await world.end("child")).phase == "Cancelled"


async def test_a_parent_hears_that_its_child_was_out_of_time(world: World, puppet: Puppet) -> None:
    """As of any failure of it, whether or not somebody had taken the child up."""
    await world.worker(parent, relay, puppet.activity)
    instance_id = await world.start(parent)
    await puppet.called()

    await over(world, "child")

    info = await world.end(instance_id)
    assert info.error is not None
    assert "RunTimedOutError" in info.error.message


async def test_a_cancel_that_came_before_the_deadline_is_a_cancel(world: World, puppet: Puppet) -> None:
    """The first wish to end it says how it ends."""
    await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    await puppet.called()
    await world.client.cancel_instance(instance_id, "mine")
    undo = await puppet.called()
    await over(world, instance_id)
    await world.until("select 1 from instances where instance_id = $1 and deadline_at is null", instance_id)
    undo.returns(None)

    info = await world.end(instance_id)
    cancels = [event for event in await world.events(instance_id) if isinstance(event, history.CancelRequested)]
    assert info.phase == "Cancelled"
    assert cancels[0] == history.CancelRequested("mine")

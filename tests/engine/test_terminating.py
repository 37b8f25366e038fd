"""Terminating: an instance ends at once and without its code, whoever owns it and whatever it is doing."""

from __future__ import annotations

import asyncio

import pytest

from perdure import ChildOrchestrationError, JsonValue, OrchestrationCancelled, OrchestrationContext, orchestration
from perdure._core import history
from tests.engine import proxy
from tests.engine.world import ALONE, PUPPET, WAITING, Puppet, World, in_the_way, relay


@orchestration("test::orchestration::careful")
async def careful(ctx: OrchestrationContext) -> str:
    """Do something, and undo it when cancelled."""
    try:
        await ctx.schedule_activity(PUPPET, "do")
    except OrchestrationCancelled:
        await ctx.schedule_activity(PUPPET, "undo")
        raise
    return "done"


@orchestration("test::orchestration::parent")
async def parent(ctx: OrchestrationContext) -> JsonValue:
    """Wait for two children."""
    children = [ctx.schedule_sub_orchestration(relay, n, instance_id=f"child-{n}") for n in (1, 2)]
    return await ctx.join(*children)


async def is_ended(world: World, instance_id: str, reason: str) -> None:
    """Check that an instance was ended by force, and says so."""
    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, info.error.type, info.hold_reason) == ("Cancelled", "InstanceTerminatedError", "")
    assert reason in info.error.message
    last = (await world.client.get_history(instance_id))[-1]
    assert history.GraceEnded(is_termination=True) in last.events
    rows = "select 1 from inbox where instance_id = $1 union all select 1 from tasks where instance_id = $1"
    assert await world.fetch(rows, instance_id) == []


async def test_an_owned_instance_ends_without_compensation(world: World, puppet: Puppet) -> None:
    """Its activity is cancelled, its code is not asked; a worker that does not poll hears of it."""
    await world.worker(careful, puppet.activity, settings=ALONE)
    instance_id = await world.start(careful)
    call = await puppet.called()

    await world.client.terminate_instance(instance_id, "now")

    await call.cancelled.wait()
    await is_ended(world, instance_id, "now")
    assert puppet.count == 1


async def test_an_instance_that_nobody_owns_has_ended_when_the_call_returns(world: World, puppet: Puppet) -> None:
    """No worker is needed to end it, and none that comes later runs anything of it."""
    hand = await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    await puppet.called()
    await hand.stop()

    await world.client.terminate_instance(instance_id, "nobody there")

    await is_ended(world, instance_id, "nobody there")
    await world.worker(careful, puppet.activity)
    other = await world.start(careful)
    call = await puppet.called()
    call.returns(None)
    assert (call.info.instance_id, (await world.end(other)).output, puppet.count) == (other, "done", 2)


async def test_an_instance_that_never_began_ends_too(world: World) -> None:
    """Its history is the end alone."""
    instance_id = await world.start(careful)

    await world.client.terminate_instance(instance_id, "never mind")

    await is_ended(world, instance_id, "never mind")


async def test_one_that_compensates_is_ended_in_the_middle(world: World, puppet: Puppet) -> None:
    """A termination does not wait for the grace of the cancel before it."""
    await world.worker(careful, puppet.activity, settings=ALONE)
    instance_id = await world.start(careful)
    await puppet.called()
    await world.client.cancel_instance(instance_id, "gently")
    undo = await puppet.called()

    await world.client.terminate_instance(instance_id, "gently")

    await undo.cancelled.wait()
    await is_ended(world, instance_id, "gently")


@pytest.mark.parametrize("pause", ["owned", "given back"])
async def test_a_suspended_instance_ends(world: World, puppet: Puppet, pause: str) -> None:
    """A pause keeps nobody from being ended, whether its activity still runs or it was given back."""
    hand = await world.worker(careful, puppet.activity, settings=ALONE)
    instance_id = await world.start(careful)
    await puppet.called()
    await world.client.suspend_instance(instance_id)
    if pause == "given back":
        await hand.stop()

    await world.client.terminate_instance(instance_id, "paused or not")

    await is_ended(world, instance_id, "paused or not")


async def test_a_held_instance_ends(world: World, puppet: Puppet) -> None:
    """Nobody needs code that fits the history to end it, nor a worker."""

    @orchestration("test::orchestration::careful")
    async def changed(ctx: OrchestrationContext) -> None:
        await ctx.schedule_timer(1)

    first = await world.worker(careful, puppet.activity)
    instance_id = await world.start(careful)
    await puppet.called()
    await first.stop()
    second = await world.worker(changed)
    await world.phase(instance_id, "Suspended")
    await second.stop()

    await world.client.terminate_instance(instance_id, "held")

    await is_ended(world, instance_id, "held")


@pytest.mark.parametrize("whose", ["owned", "nobody's"])
async def test_children_are_asked_to_end(world: World, puppet: Puppet, whose: str) -> None:
    """They are cancelled, which lets them compensate; the terminated one itself does not wait for them."""
    hand = await world.worker(parent, relay, puppet.activity, settings=ALONE)
    instance_id = await world.start(parent)
    for _ in range(2):
        await puppet.called()
    if whose != "owned":
        await hand.stop()

    await world.client.terminate_instance(instance_id, "all")
    if whose != "owned":
        await world.worker(parent, relay, puppet.activity)

    await is_ended(world, instance_id, "all")
    assert [(await world.end(f"child-{number}")).phase for number in (1, 2)] == ["Cancelled", "Cancelled"]


async def test_a_terminated_child_is_a_failed_one_for_its_parent(world: World, puppet: Puppet) -> None:
    """The parent may catch it and go on."""

    @orchestration("test::orchestration::robust")
    async def robust(ctx: OrchestrationContext) -> JsonValue:
        try:
            return await ctx.schedule_sub_orchestration(relay, instance_id="the-child")
        except ChildOrchestrationError as error:
            return error.type

    await world.worker(robust, relay, puppet.activity, settings=ALONE)
    instance_id = await world.start(robust)
    await puppet.called()

    await world.client.terminate_instance("the-child")

    assert (await world.end(instance_id)).output == "InstanceTerminatedError"


async def test_a_finished_instance_stays_as_it_is(world: World) -> None:
    """A termination after the end is harmless and leaves nothing behind."""

    @orchestration("test::orchestration::quick")
    async def quick(ctx: OrchestrationContext) -> str:
        return "done"

    await world.worker(quick)
    info = await world.run(quick)

    await world.client.terminate_instance(info.instance_id)

    assert (await world.client.get_instance_info(info.instance_id)).phase == "Completed"
    assert await world.fetch("select 1 from inbox") == []


async def test_a_termination_that_meets_a_commit_finds_its_instance(world: World, puppet: Puppet) -> None:
    """It comes while a turn is on its way: the instance takes that turn, and no other."""
    await world.worker(careful, puppet.activity, settings=ALONE)
    instance_id = await world.start(careful)
    await puppet.called()
    async with in_the_way(world, "lock table history in access exclusive mode"):
        await world.client.cancel_instance(instance_id, "first")
        await world.until(WAITING, "-- commit_turn%")
        terminating = asyncio.create_task(world.client.terminate_instance(instance_id, "first"))
        await world.until(WAITING, "-- instance_terminate.sql%")
    await terminating

    await is_ended(world, instance_id, "first")


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_the_end_of_an_owned_one_stands_once_whatever_becomes_of_the_wire(
    world: World, puppet: Puppet, lost: proxy.Lost
) -> None:
    """The commit that ends it is of unknown outcome, and its history has one end."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(careful, puppet.activity, dsn=dsn)
        instance_id = await world.start(careful)
        await puppet.called()
        wire.lose(lost, "commit_turn")

        await world.client.terminate_instance(instance_id, "cut")
        await wire.broken()

        await is_ended(world, instance_id, "cut")
        ends = [event for event in await world.events(instance_id) if isinstance(event, history.GraceEnded)]
        assert len(ends) == 1
        await hand.stop()

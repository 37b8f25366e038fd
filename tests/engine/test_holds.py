"""Code that no longer fits its history: held before any effect, told apart from failure, resumed by right code."""

from __future__ import annotations

from perdure import JsonValue, OrchestrationContext, orchestration
from perdure._core.definition import AnyOrchestration
from tests.engine.world import PUPPET, Puppet, World

NAME = "test::orchestration::changing"


@orchestration(NAME)
async def right(ctx: OrchestrationContext) -> JsonValue:
    """Ask the puppet, sleep, ask again."""
    first = await ctx.schedule_activity(PUPPET, "first")
    second = await ctx.schedule_activity(PUPPET, "second")
    return [first, second]


@orchestration(NAME)
async def wrong(ctx: OrchestrationContext) -> JsonValue:
    """Ask for something else, under the same version."""
    return await ctx.schedule_activity(PUPPET, "other")


async def begin(world: World, puppet: Puppet) -> str:
    """Bring an instance of the right code behind its first activity, and stop its worker."""
    hand = await world.worker(right, puppet.activity)
    instance_id = await world.start(right)
    (await puppet.called()).returns(1)
    await puppet.called()
    await hand.stop()
    return instance_id


async def meet(world: World, puppet: Puppet, code: AnyOrchestration) -> None:
    """Let a worker with this code work, and nobody else."""
    for hand in world.hands:
        if hand.is_working:
            await hand.stop()
    await world.worker(code, puppet.activity)


async def test_changed_code_is_held_and_right_code_resumes_it(world: World, puppet: Puppet) -> None:
    """Held: Suspended, with what was expected and what came, nothing run. The right code goes on by itself."""
    instance_id = await begin(world, puppet)
    await meet(world, puppet, wrong)
    held = await world.phase(instance_id, "Suspended")

    await meet(world, puppet, right)
    again = await puppet.called()
    again.returns(2)

    assert held.hold_reason == "Nondeterministic"
    assert held.error is not None
    assert held.error.code == "PERDURE-1201"
    assert '"first"' in held.error.message
    assert '"other"' in held.error.message
    assert again.input == "second"
    info = await world.end(instance_id)
    assert (info.phase, info.output, info.error, info.hold_reason) == ("Completed", [1, 2], None, "")


async def test_a_held_instance_stops_no_other(world: World, puppet: Puppet) -> None:
    """Beside a held instance the same worker runs new ones of the same orchestration."""
    held = await begin(world, puppet)
    await meet(world, puppet, wrong)
    await world.phase(held, "Suspended")

    fresh = await world.start(wrong)
    (await puppet.called()).returns("fine")

    assert (await world.end(fresh)).output == "fine"
    assert (await world.client.get_instance_info(held)).phase == "Suspended"


async def test_a_held_instance_can_be_cancelled(world: World, puppet: Puppet) -> None:
    """Nobody needs the right code to get rid of an instance: a cancel ends it by force."""
    held = await begin(world, puppet)
    await meet(world, puppet, wrong)
    await world.phase(held, "Suspended")

    await world.client.cancel_instance(held, "no longer wanted")

    info = await world.end(held)
    assert info.phase == "Cancelled"
    assert puppet.count == 2


async def test_history_that_cannot_be_read_is_held_and_stops_no_other(world: World, puppet: Puppet) -> None:
    """A row that is no turn holds its own instance; the worker and all others go on."""
    instance_id = await begin(world, puppet)
    await world.fetch("update history set body = '{broken' where turn = 0")

    await meet(world, puppet, right)

    info = await world.phase(instance_id, "Suspended")
    assert info.hold_reason == "ReplayFailed"
    other = await world.start(right)
    for answer in (1, 2):
        (await puppet.called()).returns(answer)
    assert (await world.end(other)).phase == "Completed"

"""Code or rows that do not fit: an instance fails by it when its starter wants so, and else waits, with nothing run."""

from __future__ import annotations

import pytest

from perdure import JsonValue, OrchestrationContext, orchestration
from perdure._core import history
from tests.engine.world import PUPPET, Puppet, World, relay

NAME = "test::orchestration::changing"


@orchestration(NAME)
async def right(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Ask the puppet twice."""
    return [await ctx.schedule_activity(PUPPET, number) for number in (1, 2)]


@orchestration(NAME)
async def wrong(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Ask for something else, under the same version."""
    return await ctx.schedule_activity(PUPPET, "wrong")


@orchestration("test::orchestration::parent")
async def parent(ctx: OrchestrationContext) -> JsonValue:
    """Wait for one whose code changes."""
    return await ctx.schedule_sub_orchestration(NAME, instance_id="the-child")


async def begin(world: World, puppet: Puppet, instance_id: str) -> None:
    """Bring an instance of the right code behind its first activity, and stop its worker."""
    hand = await world.worker(right, puppet.activity)
    await world.client.start_orchestration(instance_id, NAME, on_nondeterminism="Fail")
    (await puppet.called()).returns(1)
    await puppet.called()
    await hand.stop()


async def test_one_that_is_to_fail_fails_at_once_and_runs_nothing(world: World, puppet: Puppet) -> None:
    """It says what was expected and what came; the activity that the wrong code asks for is not run."""
    await begin(world, puppet, "strict")

    await world.worker(wrong, relay, puppet.activity)

    info = await world.end("strict")
    assert (info.phase, info.error and info.error.code) == ("Failed", "PERDURE-1201")
    other = await world.start(relay, "other")
    call = await puppet.called()
    call.returns(None)
    assert (call.info.instance_id, puppet.count) == (other, 3)


async def test_its_parent_hears_of_it(world: World, puppet: Puppet) -> None:
    """A child is as strict as its parent, which sees a failed child."""
    hand = await world.worker(parent, right, puppet.activity)
    await world.client.start_orchestration("the-parent", parent, on_nondeterminism="Fail")
    await puppet.called()
    await hand.stop()

    await world.worker(parent, wrong, puppet.activity)

    info = await world.end("the-parent")
    assert (info.phase, info.error and "Replay differs" in info.error.message) == ("Failed", True)


async def test_only_code_that_does_not_fit_is_a_reason_to_fail(world: World, puppet: Puppet) -> None:
    """A history that cannot be read is nobody's code: it is held, whatever its starter wanted."""
    await begin(world, puppet, "strict")
    await world.fetch("update history set body = '{broken' where turn = 0")

    await world.worker(right, puppet.activity)

    assert (await world.phase("strict", "Suspended")).hold_reason == "ReplayFailed"


async def test_a_child_start_that_changed_is_found(world: World, puppet: Puppet) -> None:
    """Another version or id of a child is another command: it is held before a second child is started."""

    @orchestration("test::orchestration::parent")
    async def changed(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_sub_orchestration(NAME, instance_id="another-child")

    hand = await world.worker(parent, right, puppet.activity)
    await world.client.start_orchestration("the-parent", parent)
    await puppet.called()
    await hand.stop()
    await world.fetch("update instances set wake_at = now()")

    await world.worker(changed)

    held = await world.phase("the-parent", "Suspended")
    assert held.error is not None
    assert "another-child" in held.error.message
    assert await world.fetch("select 1 from instances where instance_id = 'another-child'") == []
    await world.worker(right, puppet.activity)


@pytest.mark.parametrize("missing", [[0, 1], [0], [1]])
async def test_a_history_with_holes_is_held(world: World, puppet: Puppet, missing: list[int]) -> None:
    """Rows of committed turns are gone: nothing is run on half a history; it goes on when they are back."""
    await begin(world, puppet, "robbed")
    loot = await world.fetch("delete from history where turn = any($1::integer[]) returning *", missing)

    hand = await world.worker(right, puppet.activity)
    held = await world.phase("robbed", "Suspended")
    assert (held.hold_reason, held.error and held.error.code, puppet.count) == ("HistoryMissing", "PERDURE-1220", 2)
    for row in loot:
        await world.fetch("insert into history values ($1, $2, $3, $4, $5)", *row)
    await world.client.resume_instance("robbed")
    (await puppet.called()).returns(2)

    assert (await world.end("robbed")).output == [1, 2]
    assert hand.is_working


async def test_a_later_execution_with_holes_is_held_too(world: World, puppet: Puppet) -> None:
    """Of an execution that continued the turns are counted on from the last one."""

    @orchestration("test::orchestration::again")
    async def again(ctx: OrchestrationContext, input: int) -> JsonValue:
        answer = await ctx.schedule_activity(PUPPET, ctx.execution)
        if input:
            ctx.continue_as_new(input - 1)
        return [answer, await ctx.schedule_activity(PUPPET, "last")]

    first = await world.worker(again, puppet.activity)
    instance_id = await world.start(again, 1)
    for _ in range(2):
        (await puppet.called()).returns(None)
    await puppet.called()
    await first.stop()
    await world.fetch("delete from history where execution = 2 and turn = 3")

    await world.worker(again, puppet.activity)

    held = await world.phase(instance_id, "Suspended")
    assert (held.error and held.error.code, puppet.count) == ("PERDURE-1220", 3)
    last = [c for c in await world.commands(instance_id) if isinstance(c, history.ScheduleActivity)]
    assert len(last) == 1

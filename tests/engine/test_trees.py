"""Trees: a cancel goes down to the leaves, an end goes up by one, and no crash between loses either."""

from __future__ import annotations

import dataclasses

import pytest

from perdure import (
    ChildOrchestrationError,
    JsonValue,
    OrchestrationCancelled,
    OrchestrationContext,
    orchestration,
)
from perdure._core import history
from perdure._store import removal
from tests.engine import proxy
from tests.engine.world import ALONE, PUPPET, SETTINGS, Puppet, World, relay


@orchestration("test::orchestration::branch")
async def branch(ctx: OrchestrationContext, input: int) -> JsonValue:
    """Be the parent of two of the same, so deep; ask the puppet at the bottom."""
    if input == 0:
        return await ctx.schedule_activity(PUPPET, ctx.instance_id)
    return await ctx.join(*(ctx.schedule_sub_orchestration(branch, input - 1) for _ in range(2)))


async def phases(world: World) -> dict[str, int]:
    """Count the instances by phase."""
    return {row["phase"]: row["count"] for row in await world.fetch("select phase, count(*) from instances group by 1")}


async def test_a_tree_grows_and_every_end_reaches_its_parent(world: World, puppet: Puppet) -> None:
    """Three floors on two workers, all of whose leaves end at once."""
    for _ in range(2):
        await world.worker(branch, puppet.activity, settings=dataclasses.replace(SETTINGS, max_instances=12))
    root = await world.start(branch, 3)

    calls = [await puppet.called() for _ in range(8)]
    for call in calls:
        call.returns(1)

    assert (await world.end(root)).output == [[[1, 1], [1, 1]], [[1, 1], [1, 1]]]
    assert await phases(world) == {"Completed": 15}


async def test_a_cancelled_root_takes_everybody_along(world: World, puppet: Puppet) -> None:
    """Children and grandchildren are cancelled and the activities at the bottom told; nothing is left behind."""
    hand, _ = [await world.worker(branch, puppet.activity, settings=ALONE) for _ in range(2)]
    root = await world.start(branch, 2)
    calls = [await puppet.called() for _ in range(4)]

    await world.client.cancel_instance(root, "cut down")

    assert (await world.end(root)).phase == "Cancelled"
    for call in calls:
        await call.cancelled.wait()
    await world.until("select 1 from instances where phase = 'Cancelled' having count(*) = 7")
    await removal.sweep(hand.store)  # a child may tell its parent while the parent's last turn is being committed
    assert await world.fetch("select 1 from inbox union all select 1 from tasks") == []


async def test_a_cancel_that_finds_nobody_goes_down_when_somebody_comes(world: World, puppet: Puppet) -> None:
    """No worker is there when the root is cancelled; the next one takes the whole tree down, running nothing again."""
    hand = await world.worker(branch, puppet.activity)
    root = await world.start(branch, 2)
    for _ in range(4):
        await puppet.called()
    await hand.stop()

    await world.client.cancel_instance(root)
    await world.worker(branch, puppet.activity)

    assert (await world.end(root)).phase == "Cancelled"
    await world.until("select 1 from instances where phase = 'Cancelled' having count(*) = 7")


async def test_a_parent_may_compensate_for_its_cancelled_children(world: World, puppet: Puppet) -> None:
    """The cancel is raised at the await of the child; what undoes it may be a child too."""

    @orchestration("test::orchestration::undoing")
    async def undoing(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_sub_orchestration(relay, "do")
        except OrchestrationCancelled as cancelled:
            await ctx.schedule_sub_orchestration(relay, f"undo: {cancelled.reason}")
            raise

    await world.worker(undoing, relay, puppet.activity)
    instance_id = await world.start(undoing)
    do = await puppet.called()

    await world.client.cancel_instance(instance_id, "back")
    undo = await puppet.called()
    await do.cancelled.wait()
    undo.returns(None)

    assert undo.input == "undo: back"
    assert (await world.end(instance_id)).phase == "Cancelled"
    children = await world.fetch("select phase from instances where parent_id = $1 order by instance_id", instance_id)
    assert [row["phase"] for row in children] == ["Cancelled", "Completed"]


async def test_one_failed_child_does_not_lose_the_results_of_the_others(world: World, puppet: Puppet) -> None:
    """A join waits for all; with exceptions asked for, each stands in its place."""

    @orchestration("test::orchestration::collects")
    async def collects(ctx: OrchestrationContext) -> JsonValue:
        children = [ctx.schedule_sub_orchestration(relay, number) for number in range(3)]
        results = await ctx.join(*children, return_exceptions=True)
        return [r.type if isinstance(r, ChildOrchestrationError) else r for r in results]  # type: ignore[misc]  # what is left is what leaves return

    await world.worker(collects, relay, puppet.activity)
    parent = await world.start(collects)
    for call in [await puppet.called() for _ in range(3)]:
        if call.input == 1:
            call.fails(KeyError("one"))
        else:
            call.returns(call.input)

    assert (await world.end(parent)).output == [0, "KeyError", 2]


async def test_a_tree_goes_on_after_all_its_workers_died(world: World, puppet: Puppet) -> None:
    """Parents and children are rebuilt each from its own history, in whatever order; every end is told once."""
    hands = [await world.worker(branch, puppet.activity) for _ in range(2)]
    root = await world.start(branch, 2)
    calls = [await puppet.called() for _ in range(4)]
    calls[0].returns(0)
    await world.end(str(calls[0].input))
    for hand in hands:
        await world.crash(hand)

    await world.worker(branch, puppet.activity)
    for call in [await puppet.called() for _ in range(3)]:
        call.returns(0)

    assert (await world.end(root)).output == [[0, 0], [0, 0]]
    for row in await world.fetch(
        "select instance_id from instances where instance_id in (select parent_id from instances)"
    ):
        ends = [e for e in await world.events(row["instance_id"]) if isinstance(e, history.ChildCompleted)]
        assert len(ends) == 2


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_cancel_goes_down_whatever_becomes_of_the_wire(world: World, puppet: Puppet, lost: proxy.Lost) -> None:
    """The commit that asks the children to end is of unknown outcome: they are asked, and once."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(branch, puppet.activity, dsn=dsn)
        root = await world.start(branch, 1)
        for _ in range(2):
            await puppet.called()
        wire.lose(lost, "commit_turn")
        await world.client.cancel_instance(root)
        await wire.broken()

        assert (await world.end(root)).phase == "Cancelled"
        await world.until("select 1 from instances where phase = 'Cancelled' having count(*) = 3")
        await hand.stop()


async def test_code_that_fails_on_its_history_asks_its_children_to_end(world: World, puppet: Puppet) -> None:
    """Ended without its code, a parent still takes its children along: they are found by their rows."""

    @orchestration("test::orchestration::parent")
    async def right(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_sub_orchestration(relay, "x", instance_id="the-child")

    @orchestration("test::orchestration::parent")
    async def wrong(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_activity(PUPPET, "wrong")

    first = await world.worker(right, relay, puppet.activity)
    await world.client.start_orchestration("the-parent", right, on_nondeterminism="Fail")
    await puppet.called()
    await first.stop()
    await world.worker(wrong, relay, puppet.activity)
    await world.client.send_signal("the-parent", "wake up")

    info = await world.end("the-parent")
    assert (info.phase, info.error and info.error.code) == ("Failed", "PERDURE-1201")
    assert (await world.end("the-child")).phase == "Cancelled"


async def test_a_worker_taken_for_dead_ends_no_pause_of_others(world: World, puppet: Puppet) -> None:
    """Its turn gives up a child and is refused: the one that somebody paused is not asked to end, nor let go on."""

    @orchestration("test::orchestration::paused")
    async def paused(ctx: OrchestrationContext) -> None:
        await ctx.schedule_wait("never")

    @orchestration("test::orchestration::racer")
    async def racer(ctx: OrchestrationContext) -> None:
        await ctx.select2(ctx.schedule_sub_orchestration(paused, instance_id="child"), ctx.schedule_activity(PUPPET))
        await ctx.schedule_wait("never")

    zombie = await world.worker(racer, puppet.activity, settings=ALONE)
    await world.worker(paused)
    await world.start(racer)
    call = await puppet.called()
    await world.until("select 1 from instances where instance_id = 'child' and turn = 1")
    await world.client.suspend_instance("child")
    await world.outlives(zombie)

    call.returns("too late")
    await zombie.evicts()

    info = await world.client.get_instance_info("child")
    assert (info.phase, info.is_suspended) == ("Suspended", True)
    assert await world.fetch("select 1 from inbox") == []

"""Detached instances: started with the turn that asks, whatever else that turn does, and on their own from then on."""

from __future__ import annotations

import pytest

from perdure import JsonValue, OrchestrationCancelled, OrchestrationContext, orchestration
from perdure._core import history
from tests.engine.world import ALONE, PUPPET, Puppet, World, relay


@orchestration("test::orchestration::echo")
async def echo(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Return what comes in."""
    return input


@orchestration("test::orchestration::launcher")
async def launcher(ctx: OrchestrationContext, input: str) -> JsonValue:
    """Start a detached instance, and do in the same turn what is asked for."""
    if ctx.execution > 1:
        return "second execution"
    try:
        await ctx.schedule_wait("go")
    except OrchestrationCancelled:
        ctx.schedule_orchestration(echo, "launched", "on a cancel")
        raise
    ctx.schedule_orchestration(echo, "launched", f"beside: {input}")
    if input == "continue":
        ctx.continue_as_new(input)
    if input == "fail":
        raise ValueError(input)
    return input


@pytest.mark.parametrize(
    ("ends", "phase"), [("return", "Completed"), ("fail", "Failed"), ("continue", "Completed"), ("cancel", "Cancelled")]
)
async def test_it_is_started_whatever_else_the_turn_does(world: World, ends: str, phase: str) -> None:
    """Asked for in the turn that returns, raises, continues as new or is cancelled, it is not lost."""
    await world.worker(launcher, echo, settings=ALONE)
    instance_id = await world.start(launcher, ends)
    await world.until("select 1 from instances where turn = 1")

    if ends == "cancel":
        await world.client.cancel_instance(instance_id)
    else:
        await world.client.send_signal(instance_id, "go")

    assert (await world.end(instance_id)).phase == phase
    launched = await world.end("launched")
    assert launched.output == ("on a cancel" if ends == "cancel" else f"beside: {ends}")
    assert launched.parent_id is None


async def test_what_follows_a_start_replays(world: World, puppet: Puppet) -> None:
    """A start stands in history like any command, and is made once however often its turn is replayed."""

    @orchestration("test::orchestration::continues")
    async def continues(ctx: OrchestrationContext) -> JsonValue:
        ctx.schedule_orchestration(relay, "beside", "once", version="1.0.0")
        return await ctx.schedule_activity(PUPPET, "own")

    first = await world.worker(continues, puppet.activity)
    instance_id = await world.start(continues)
    await puppet.called()
    await world.crash(first)
    await world.worker(continues, relay, puppet.activity)
    for call in [await puppet.called() for _ in range(2)]:
        call.returns(call.input)

    assert (await world.end(instance_id)).output == "own"
    assert (await world.end("beside")).output == "once"
    starts = [c for c in await world.commands(instance_id) if isinstance(c, history.StartOrchestration)]
    assert len(starts) == 1


async def test_an_id_that_is_taken_is_left_alone(world: World, puppet: Puppet) -> None:
    """Whoever has it goes on as before, and the one that asked does too."""
    await world.worker(launcher, relay, echo, puppet.activity)
    await world.client.start_orchestration("launched", relay, "mine")
    call = await puppet.called()
    instance_id = await world.start(launcher, "return")

    await world.client.send_signal(instance_id, "go")

    assert (await world.end(instance_id)).phase == "Completed"
    call.returns("untouched")
    assert (await world.end("launched")).output == "untouched"


async def test_it_is_neither_cancelled_nor_heard_of(world: World, puppet: Puppet) -> None:
    """Who started it may end as it likes: the detached instance goes its own way, and its end is its own."""

    @orchestration("test::orchestration::parent")
    async def parent(ctx: OrchestrationContext) -> None:
        ctx.schedule_orchestration(relay, "free", "x")
        await ctx.schedule_wait("never")

    await world.worker(parent, relay, puppet.activity)
    instance_id = await world.start(parent)
    call = await puppet.called()

    await world.client.cancel_instance(instance_id)
    assert (await world.end(instance_id)).phase == "Cancelled"
    call.returns("went on")

    assert (await world.end("free")).output == "went on"
    assert await world.fetch("select 1 from inbox") == []


async def test_a_version_nobody_offers_yet_waits(world: World) -> None:
    """The exact version that was asked for is never replaced; its instance runs when somebody offers it."""

    @orchestration("test::orchestration::edition", version="2.0.0")
    async def edition(ctx: OrchestrationContext) -> str:
        return ctx.version

    @orchestration("test::orchestration::starter")
    async def starter(ctx: OrchestrationContext) -> None:
        ctx.schedule_orchestration("test::orchestration::edition", "later", version="2.0.0")

    await world.worker(starter)
    await world.run(starter)
    assert (await world.client.get_instance_info("later")).phase == "Pending"

    await world.worker(edition)

    assert (await world.end("later")).output == "2.0.0"

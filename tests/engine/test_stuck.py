"""Code that never awaits: its instance is held, everything else goes on, and the worker keeps its lease."""

from __future__ import annotations

import asyncio
import dataclasses

from perdure import OrchestrationContext, orchestration
from tests.engine.world import ALONE, SETTINGS, Puppet, World, relay

PATIENT = dataclasses.replace(SETTINGS, lease_seconds=3.0)


@orchestration("test::orchestration::endless")
async def endless(ctx: OrchestrationContext) -> None:
    """Loop without an await, after one timer."""
    await ctx.schedule_timer(0)
    while True:
        pass


@orchestration("test::orchestration::rude")
async def rude(ctx: OrchestrationContext) -> None:
    """End the process, or so it thinks."""
    raise KeyboardInterrupt


@orchestration("test::orchestration::polite")
async def at_once(ctx: OrchestrationContext) -> None:
    """Return."""


async def test_code_that_never_awaits_is_held_and_its_neighbours_complete(world: World, puppet: Puppet) -> None:
    """It is interrupted before the lease ends: the worker lives on, and only this instance waits for better code."""
    hand = await world.worker(endless, relay, puppet.activity, settings=PATIENT)
    ids = [await world.start(relay) for _ in range(5)]
    calls = [await puppet.called() for _ in ids]

    stuck = await world.start(endless)
    held = await world.phase(stuck, "Suspended")
    for call in calls:
        call.returns("not stuck")

    assert {(await world.end(instance_id)).output for instance_id in ids} == {"not stuck"}
    assert (held.hold_reason, held.error and held.error.code) == ("Stuck", "PERDURE-1222")
    assert (hand.worker.lives, puppet.count) == (1, 5)


async def test_code_that_raises_a_keyboard_interrupt_ends_no_worker(world: World) -> None:
    """It is held as what it is; its worker goes on, with the same life, and others complete."""
    hand = await world.worker(rude, at_once)

    held = await world.phase(await world.start(rude), "Suspended")
    other = await world.end(await world.start(at_once))

    assert (held.hold_reason, other.phase, hand.worker.lives) == ("ReplayFailed", "Completed", 1)
    assert held.error is not None
    assert "KeyboardInterrupt" in held.error.message


async def test_a_stuck_instance_can_be_cancelled(world: World) -> None:
    """It ends by force when somebody asks: its code cannot take the cancel in."""
    await world.worker(endless, settings=PATIENT)
    stuck = await world.start(endless)
    await world.phase(stuck, "Suspended")

    await world.client.cancel_instance(stuck, "enough")

    assert (await world.end(stuck)).phase == "Cancelled"


async def test_better_code_goes_on_with_a_stuck_instance(world: World) -> None:
    """The turn that was interrupted was never taken: corrected code takes it, when its worker joins."""
    first = await world.worker(endless, settings=PATIENT)
    stuck = await world.start(endless)
    await world.phase(stuck, "Suspended")
    await first.stop()

    @orchestration("test::orchestration::endless")
    async def ending(ctx: OrchestrationContext) -> str:
        await ctx.schedule_timer(0)
        return "ended"

    await world.worker(ending, settings=ALONE)

    assert (await world.end(stuck)).output == "ended"


async def test_code_that_never_ends_being_put_away_keeps_no_worker(world: World) -> None:
    """A `finally` without end is interrupted too: the worker stops in order, and its peer goes on with everything."""

    @orchestration("test::orchestration::clinging")
    async def clinging(ctx: OrchestrationContext) -> str:
        try:
            return str(await ctx.schedule_wait("go"))
        except GeneratorExit:
            while True:
                pass

    leaving = await world.worker(clinging, settings=PATIENT)
    instance_id = await world.start(clinging)
    await world.until("select 1 from instances where turn = 1")
    await leaving.stop()

    staying = await world.worker(clinging, settings=PATIENT)
    await world.client.send_signal(instance_id, "go", "on")

    assert (await world.end(instance_id)).output == "on"
    assert staying.is_working


async def test_the_other_instances_of_a_batch_take_their_turns(world: World) -> None:
    """Turns are taken one after the other: the stuck one costs those behind it time, and nothing else."""

    @orchestration("test::orchestration::quick")
    async def quick(ctx: OrchestrationContext, input: int) -> int:
        return input

    ids = [await world.start(quick, number) for number in range(20)]
    stuck = await world.start(endless)
    more = [await world.start(quick, number) for number in range(20, 40)]
    await world.worker(endless, quick, settings=PATIENT)

    outputs = await asyncio.gather(*(world.end(instance_id) for instance_id in [*ids, *more]))

    assert [info.output for info in outputs] == list(range(40))
    assert (await world.phase(stuck, "Suspended")).hold_reason == "Stuck"

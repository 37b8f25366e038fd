"""What authors do to their worker, in all innocence: it harms their instance and nobody else's."""

from __future__ import annotations

import asyncio

from perdure import JsonValue, OrchestrationContext, orchestration
from tests.engine.world import ALONE, Puppet, World, relay


async def test_asyncio_timeout_in_an_orchestration_harms_only_that_instance(world: World, puppet: Puppet) -> None:
    """A timeout of the event loop fails its instance with an error; the worker and its other instances go on."""

    @orchestration("test::orchestration::impatient")
    async def impatient(ctx: OrchestrationContext) -> None:
        async with asyncio.timeout(0.01):
            await ctx.schedule_timer(3_600)

    hand = await world.worker(impatient, relay, puppet.activity, settings=ALONE)

    failed = await world.run(impatient)
    other = await world.start(relay)
    (await puppet.called()).returns("fine")

    assert failed.error is not None
    assert (failed.phase, failed.error.type) == ("Failed", "RuntimeError")
    assert (await world.end(other)).output == "fine"
    assert hand.worker.lives == 1


async def test_waiting_for_the_event_loop_fails_with_the_durable_call(world: World) -> None:
    """asyncio.sleep in an orchestration is an error that says what to write instead; there is no hidden wait."""

    @orchestration("test::orchestration::sleepy")
    async def sleepy(ctx: OrchestrationContext) -> None:
        await asyncio.sleep(3_600)

    await world.worker(sleepy)

    info = await world.run(sleepy)

    assert info.error is not None
    assert (info.phase, info.error.code) == ("Failed", "PERDURE-1202")
    assert "ctx.schedule_timer" in info.error.message


async def test_a_task_of_the_event_loop_fails_with_the_durable_call(world: World, puppet: Puppet) -> None:
    """asyncio.create_task in an orchestration is an error of that instance, awaited or not, and nothing of it runs."""
    ran = []

    async def beside() -> None:
        ran.append("beside")

    @orchestration("test::orchestration::busy")
    async def busy(ctx: OrchestrationContext) -> None:
        await ctx.schedule_timer(0)
        left_alone = asyncio.create_task(beside())
        del left_alone

    await world.worker(busy, relay, puppet.activity)

    failed = await world.run(busy)
    other = await world.start(relay)
    (await puppet.called()).returns("fine")

    assert failed.error is not None
    assert (failed.phase, failed.error.code) == ("Failed", "PERDURE-1202")
    assert "ctx.spawn" in failed.error.message
    assert (await world.end(other)).output == "fine"
    assert ran == []


async def test_cleanup_code_that_fails_harms_nobody(world: World, puppet: Puppet) -> None:
    """When a coroutine is put away, errors in its `finally` blocks stop neither the hand-over nor the worker."""

    @orchestration("test::orchestration::messy")
    async def messy(ctx: OrchestrationContext) -> JsonValue:
        result = None
        try:
            result = await ctx.schedule_activity("test::activity::puppet")
        finally:
            if result is None:
                raise LookupError
        return result

    hand = await world.worker(messy, puppet.activity)
    instance_id = await world.start(messy)
    await puppet.called()
    await hand.stop()

    await world.worker(messy, puppet.activity)
    (await puppet.called()).returns("in order")

    assert (await world.end(instance_id)).output == "in order"

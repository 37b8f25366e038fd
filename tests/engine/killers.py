"""What workers die of, and what must not be taken for it: for tests with worker processes (`worker_process.py`).

Whoever kills here kills by SIGKILL, every time, as the kernel does to one that eats up the memory. No orchestration
fails of an activity: each tells the type of the error instead.
"""

from __future__ import annotations

import asyncio
import os
import signal

from perdure import (
    ActivityContext,
    ActivityError,
    ActivityRegistry,
    OrchestrationContext,
    OrchestrationRegistry,
    activity,
    orchestration,
)

QUEUE = "killers"
POISON = "ActivityPoisonError"
DONE = "done"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@activity("killers::activity::kill")
async def kill(ctx: ActivityContext, input: float) -> None:
    """Kill the worker, so many seconds after the start."""
    if input:
        await asyncio.sleep(input)
    _die()


@activity("killers::activity::nap")
async def nap(ctx: ActivityContext, input: float) -> str:
    """Take so many seconds, and harm nobody."""
    await asyncio.sleep(input)
    return DONE


@orchestration("killers::orchestration::killing")
async def killing(ctx: OrchestrationContext, input: float) -> str:
    """Run the killer."""
    try:
        await ctx.schedule_activity(kill, input)
    except ActivityError as error:
        return error.type
    return DONE


@orchestration("killers::orchestration::killing-elsewhere")
async def killing_elsewhere(ctx: OrchestrationContext, input: float) -> str:
    """Run the killer on whoever serves the queue."""
    try:
        await ctx.schedule_activity(kill, input, queue=QUEUE)
    except ActivityError as error:
        return error.type
    return DONE


@orchestration("killers::orchestration::napping")
async def napping(ctx: OrchestrationContext, input: float) -> str:
    """Take a nap."""
    return await ctx.schedule_activity(nap, input)


@orchestration("killers::orchestration::napping-on")
async def napping_on(ctx: OrchestrationContext, input: int) -> str:
    """Take so many naps of a second, one after the other."""
    for _ in range(input):
        await ctx.schedule_activity(nap, 1.0)
    return DONE


@orchestration("killers::orchestration::napping-elsewhere")
async def napping_elsewhere(ctx: OrchestrationContext, input: float) -> str:
    """Take a nap, on whoever serves the queue."""
    return await ctx.schedule_activity(nap, input, queue=QUEUE)


@orchestration("killers::orchestration::crowd")
async def crowd(ctx: OrchestrationContext, input: list[float]) -> list[str]:
    """Take naps of these lengths all at once, with a killer in the middle of them."""
    naps = [ctx.schedule_activity(nap, seconds) for seconds in input]
    middle = len(naps) // 2
    ended = await ctx.join(*naps[:middle], ctx.schedule_activity(kill, 0.0), *naps[middle:], return_exceptions=True)
    return [getattr(item, "type", str(item)) for item in ended]


@orchestration("killers::orchestration::deadly")
async def deadly(ctx: OrchestrationContext) -> str:
    """Kill the worker by its own code, in the turn after the nap."""
    await ctx.schedule_activity(nap, 0.0)
    _die()
    return DONE


ORCHESTRATIONS = OrchestrationRegistry.of(
    killing, killing_elsewhere, napping, napping_on, napping_elsewhere, crowd, deadly
)
ACTIVITIES = ActivityRegistry.of(kill, nap)

"""The orchestrations and activities of the workloads: as plain as a user's first ones.

The activities do nothing, so that what is measured is the engine; their results carry some hundred bytes, as real ones
do.
"""

from __future__ import annotations

from perdure import ActivityContext, OrchestrationContext, activity, orchestration
from perdure._core.definition import AnyActivity, AnyOrchestration

Named = AnyOrchestration
TEXT = "x" * 110


@activity("bench::activity::step")
async def step(ctx: ActivityContext, input: dict[str, int]) -> dict[str, object]:
    """Count one further."""
    return {"number": input["number"] + 1, "text": TEXT}


@orchestration("bench::orchestration::chain")
async def chain(ctx: OrchestrationContext, input: dict[str, int]) -> dict[str, object]:
    """Five activities, each waiting for the one before."""
    last: dict[str, object] = {"number": input["number"]}
    for _ in range(5):
        last = await ctx.schedule_activity(step.name, {"number": last["number"]}, returns=dict)
    return {"number": last["number"]}


@orchestration("bench::orchestration::fan-out")
async def fan_out(ctx: OrchestrationContext, input: dict[str, int]) -> int:
    """Many activities at once, and a join."""
    results = await ctx.join(*(ctx.schedule_activity(step, {"number": number}) for number in range(input["width"])))
    return len(results)


@orchestration("bench::orchestration::listen")
async def listen(ctx: OrchestrationContext, input: dict[str, int]) -> object:
    """One signal."""
    return await ctx.schedule_wait("go")


@orchestration("bench::orchestration::sleep")
async def sleep(ctx: OrchestrationContext, input: dict[str, float]) -> None:
    """One timer."""
    await ctx.schedule_timer(input["seconds"])


@orchestration("bench::orchestration::steps")
async def steps(ctx: OrchestrationContext, input: dict[str, int]) -> int:
    """Many activities, one after the other, in one instance."""
    for number in range(input["count"]):
        await ctx.schedule_activity(step, {"number": number})
    return input["count"]


@orchestration("bench::orchestration::trivial")
async def trivial(ctx: OrchestrationContext, input: dict[str, int]) -> int:
    """Return at once."""
    return input["number"]


ACTIVITIES: tuple[AnyActivity, ...] = (step,)
ORCHESTRATIONS: tuple[AnyOrchestration, ...] = (chain, fan_out, listen, sleep, steps, trivial)

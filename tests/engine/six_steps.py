"""An orchestration of six steps that leaves a trace of every attempt outside of Perdure: what the storm is judged by.

Each attempt writes a row into a ledger, over its own connection, before it returns or fails: a unique id, and the id of
the step before it as it was told. So the ledger knows all that ever ran, and the ids chain: a result that was applied
twice, or an attempt that built on a result which was not the applied one, shows in it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import uuid

import asyncpg

from perdure import ActivityContext, Fixed, OrchestrationContext, RetryPolicy, activity, orchestration

LEDGER = """
create table ledger (
    effect_id text primary key,
    instance_id text not null,
    step integer not null,
    attempt integer not null,
    previous text not null,
    fails boolean not null
)
"""
STEPS = 6
_PERSISTENT = RetryPolicy(1_000, backoff=Fixed(0.2))


@dataclasses.dataclass(frozen=True)
class Order:
    """What the run is asked to do."""

    amount: int


@dataclasses.dataclass(frozen=True)
class Step:
    """Which step, and the id of the effect before it."""

    number: int
    amount: int
    previous: str


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one attempt did."""

    id: str
    amount: int


@dataclasses.dataclass(frozen=True)
class Receipt:
    """What the run did: the ids of its effects in order, and a sum that only six right steps give."""

    effects: list[str]
    total: int


async def _leave_trace(ctx: ActivityContext, step: Step) -> Effect:
    """Write the ledger, take a moment, fail now and then."""
    effect_id = uuid.uuid4().hex
    fails = effect_id < "18"  # one attempt in eleven
    connection = await asyncpg.connect(os.environ["PERDURE_DATABASE_URL"], timeout=5)
    try:
        await connection.execute(
            "insert into ledger values ($1, $2, $3, $4, $5, $6)",
            effect_id, ctx.instance_id, step.number, ctx.attempt, step.previous, fails,
        )  # fmt: skip
    finally:
        connection.terminate()
    await asyncio.sleep(int(effect_id[-2:], 16) / 1_000)
    if fails:
        message = "this attempt was unlucky"
        raise ConnectionError(message)
    return Effect(effect_id, step.amount * (step.number + 1))


@activity("storm::activity::step")
async def step_async(ctx: ActivityContext, input: Step) -> Effect:
    """Do a step in the event loop."""
    return await _leave_trace(ctx, input)


@activity("storm::activity::step-in-thread")
def step_sync(ctx: ActivityContext, input: Step) -> Effect:
    """Do a step in a thread."""
    return asyncio.run(_leave_trace(ctx, input))


@orchestration("storm::orchestration::six-steps")
async def six_steps(ctx: OrchestrationContext, input: Order) -> Receipt:
    """Six steps, each told what the one before did, with a timer in the middle."""
    effects: list[Effect] = []
    for number in range(STEPS):
        step = Step(number, input.amount, effects[-1].id if effects else "")
        if number == STEPS // 2:
            await ctx.schedule_timer(0.3)
        effects.append(await ctx.schedule_activity(step_sync if number == 1 else step_async, step, retry=_PERSISTENT))
    return Receipt([effect.id for effect in effects], sum(effect.amount for effect in effects))

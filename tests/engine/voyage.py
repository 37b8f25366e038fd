"""A flow that uses everything at once, and leaves a trace of every attempt outside of Perdure.

Each round: a step, three legs (children, one of which fails at its first try and is run again), a step in a queue, a
signal from outside raced against a timer, a postcard (a detached instance) that sends a signal back, a last step; then
it continues as new, and after the last round it ends. Whatever dies meanwhile, its receipt is the same.
"""

from __future__ import annotations

import dataclasses

from perdure import ActivityRegistry, Fixed, OrchestrationContext, OrchestrationRegistry, RetryPolicy, orchestration
from tests.engine.six_steps import Effect, Step, step_async, step_sync

QUEUE = "storm"
ROUNDS = 3
LEGS = 3
STEPS_A_ROUND = 3 + 2 * LEGS
_PERSISTENT = RetryPolicy(1_000, backoff=Fixed(0.2))


@dataclasses.dataclass(frozen=True)
class Order:
    """What the voyage is asked to do, and what the rounds before this one did."""

    amount: int
    round: int = 0
    effects: list[str] = dataclasses.field(default_factory=list)
    total: int = 0


@dataclasses.dataclass(frozen=True)
class Receipt:
    """The ids of its effects in order, and a sum that only right steps give."""

    effects: list[str]
    total: int


@orchestration("storm::orchestration::leg")
async def leg(ctx: OrchestrationContext, input: Step) -> list[Effect]:
    """Two steps around a timer; the leg of number 1 fails unless it is a second try."""
    first = await ctx.schedule_activity(step_async, input, retry=_PERSISTENT)
    await ctx.schedule_timer(0.05)
    second = await ctx.schedule_activity(step_sync, dataclasses.replace(input, previous=first.id), retry=_PERSISTENT)
    return [first, second]


@orchestration("storm::orchestration::stumbling")
async def stumbling(ctx: OrchestrationContext, input: Step) -> list[Effect]:
    """A leg as a child of a child, which fails at its first try, before it has done anything."""
    if not ctx.instance_id.endswith("~2"):
        message = "the first try stumbles"
        raise ConnectionError(message)
    return await ctx.schedule_sub_orchestration(leg, input)


@orchestration("storm::orchestration::postcard")
async def postcard(ctx: OrchestrationContext, input: str) -> None:
    """Tell somebody that this has arrived, and go one's own way."""
    await ctx.schedule_timer(0.05)
    ctx.send_signal(input, "arrived", ctx.instance_id)


@orchestration("storm::orchestration::voyage")
async def voyage(ctx: OrchestrationContext, input: Order) -> Receipt:
    """Rounds of everything; see the head of this module."""
    here = f"{ctx.instance_id}/{input.round}"

    async def step(number: int, previous: str, queue: str | None = None) -> Effect:
        asked = Step(number, input.amount, previous)
        return await ctx.schedule_activity(step_async, asked, retry=_PERSISTENT, queue=queue)

    first = await step(0, input.effects[-1] if input.effects else "")
    legs = await ctx.join(
        *(
            ctx.schedule_sub_orchestration(
                stumbling if number == 1 else leg,
                Step(number, input.amount, first.id),
                instance_id=f"{here}/leg-{number}",
                retry=RetryPolicy(3, backoff=Fixed(0.05)) if number == 1 else None,
            )
            for number in range(LEGS)
        )
    )
    second = await step(1, legs[-1][-1].id, QUEUE)
    winner, go = await ctx.select(ctx.schedule_wait("go", int), ctx.schedule_timer(600))
    if winner or go != input.round:
        message = f"round {input.round} was told {go!r} by {winner}"
        raise AssertionError(message)
    ctx.schedule_orchestration(postcard, f"{here}/postcard", ctx.instance_id)
    if await ctx.schedule_wait("arrived", str) != f"{here}/postcard":
        message = "the postcard of another round"
        raise AssertionError(message)
    third = await step(2, second.id)

    done = [first, *(effect for each in legs for effect in each), second, third]
    order = Order(
        input.amount,
        input.round + 1,
        [*input.effects, *(effect.id for effect in done)],
        input.total + sum(effect.amount for effect in done),
    )
    if order.round < ROUNDS:
        ctx.continue_as_new(order)
    return Receipt(order.effects, order.total)


def total_of(amount: int) -> int:
    """Give the sum of a voyage: each step adds its amount times its number from 1, each leg does so twice."""
    return amount * ROUNDS * (1 + 2 + 3 + 2 * sum(number + 1 for number in range(LEGS)))


ORCHESTRATIONS = OrchestrationRegistry.of(voyage, leg, stumbling, postcard)
ACTIVITIES = ActivityRegistry.of(step_async, step_sync)

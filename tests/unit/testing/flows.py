"""A small cast for the tests of simulations: an orchestration that uses most of what there is, and its activities."""

from __future__ import annotations

import pydantic

from perdure import (
    ActivityContext,
    ActivityError,
    Fixed,
    OrchestrationContext,
    RetryPolicy,
    activity,
    orchestration,
)

HOUR = 3_600


class Order(pydantic.BaseModel):
    """What is ordered."""

    item: str
    count: int = 1


class Receipt(pydantic.BaseModel):
    """What came of an order."""

    total: float
    approved_by: str = ""


@activity("shop::activity::price")
async def price(ctx: ActivityContext, item: str) -> float:
    """Ask what an item costs: in tests nobody does."""
    raise NotImplementedError


@activity("shop::activity::charge")
def charge(ctx: ActivityContext, amount: float) -> str:
    """Take the money."""
    ctx.trace_info("charging", amount=amount)
    return f"{ctx.idempotency_key}: {amount}"


@activity("shop::activity::refund")
async def refund(ctx: ActivityContext, amount: float) -> None:
    """Give the money back."""


RETRY = RetryPolicy(3, backoff=Fixed(10), timeout=30)


@orchestration("shop::orchestration::buy")
async def buy(ctx: OrchestrationContext, input: Order) -> Receipt:
    """Price, charge, and have large orders approved within an hour; take it back when they are not."""
    ctx.set_progress(0, 2, "asking for the price")
    total = input.count * await ctx.schedule_activity(price, input.item, retry=RETRY)
    ctx.trace_info(f"{input.item} costs {total:g}")
    await ctx.schedule_activity(charge, total)
    ctx.set_progress(1, 2, "charged")
    try:
        approved_by = await approval(ctx) if total > 100 else ""
    except BaseException:
        await ctx.schedule_activity(refund, total)
        raise
    ctx.set_progress(2, 2, "done")
    return Receipt(total=total, approved_by=approved_by)


async def approval(ctx: OrchestrationContext) -> str:
    """Wait for somebody's approval, for an hour."""
    ctx.set_custom_status("waiting for approval")
    index, by = await ctx.select(ctx.schedule_wait("approved", type=str), ctx.schedule_timer(HOUR))
    if index:
        raise ActivityError("nobody approved", type="TimeoutError")
    return str(by)

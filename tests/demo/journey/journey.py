"""Travel one leg after the other: the plainest durable loop there is."""

from __future__ import annotations

from perdure import Exponential, OrchestrationContext, RetryPolicy, orchestration
from tests.demo.journey import names
from tests.demo.journey.travel import travel
from tests.demo.journey.types import JourneyInput, JourneyOutput, Leg

__all__ = ["journey"]

RETRY = RetryPolicy(5, backoff=Exponential(base=0.5, max=5), timeout=60)


@orchestration(names.JOURNEY, version="1.0.0")
async def journey(ctx: OrchestrationContext, input: JourneyInput) -> JourneyOutput:
    """Travel to each place in turn."""
    legs = len(input.places)
    for number, place in enumerate(input.places, start=1):
        ctx.set_progress(number - 1, legs, f"on the way to {place}")
        leg = Leg(number=number, place=place, seconds=input.seconds_per_leg)
        await ctx.schedule_activity(travel, leg, retry=RETRY)
    ctx.set_progress(legs, legs, f"arrived in {input.places[-1]}")
    return JourneyOutput(place=input.places[-1], legs=legs)

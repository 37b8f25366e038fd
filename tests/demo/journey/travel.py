"""Travel one leg of the journey: write the departure down, take the time, write the arrival down."""

from __future__ import annotations

import asyncio
import os

from perdure import ActivityContext, activity
from tests.demo.journey import logbook, names
from tests.demo.journey.types import Arrival, Leg

__all__ = ["travel"]


@activity(names.TRAVEL)
async def travel(ctx: ActivityContext, leg: Leg) -> Arrival:
    """Go there. Run again after a crash it goes again, and the logbook shows it: nothing here hides a repetition."""
    await logbook.add(ctx, leg.number, "left")
    await asyncio.sleep(leg.seconds)
    await logbook.add(ctx, leg.number, "arrived")
    return Arrival(number=leg.number, place=leg.place, process=os.getpid())

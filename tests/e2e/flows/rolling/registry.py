"""An orchestration that is always in the middle of something, and the ledger of its effects.

An effect is one line, written at once and as the last thing that an attempt does: an attempt that is cancelled before
has none, and what is there twice was done twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

from perdure import (
    ActivityContext,
    ActivityRegistry,
    OrchestrationContext,
    OrchestrationRegistry,
    activity,
    orchestration,
)

__all__ = ["PARTS", "Part", "create_activity_registry", "create_orchestration_registry", "effect", "roll"]

PARTS = ("prepare", "part-0", "part-1", "part-2", "finish")
"""The effects of a run, in version 1."""


@dataclasses.dataclass(frozen=True)
class Part:
    """What to note in which ledger, after how long."""

    ledger: str
    name: str
    seconds: float


@activity("test::activity::effect")
async def effect(ctx: ActivityContext, part: Part) -> str:
    """Take some time, then leave a line in the ledger."""
    await asyncio.sleep(part.seconds)
    _append(Path(part.ledger), f"{ctx.instance_id} {part.name}\n")
    return part.name


def _append(ledger: Path, line: str) -> None:
    """Write a line as a whole, whoever else writes."""
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


@orchestration("test::orchestration::roll", version="1.0.0")
async def roll(ctx: OrchestrationContext, ledger: str) -> list[str]:
    """Prepare, do three parts side by side, wait for `go`, and finish."""
    done = [await ctx.schedule_activity(effect, Part(ledger, "prepare", 0.2))]
    done += await ctx.join(*(ctx.schedule_activity(effect, Part(ledger, f"part-{n}", n * 4.0)) for n in range(3)))
    await ctx.schedule_timer(0.3)
    await ctx.schedule_wait("go")
    await ctx.schedule_timer(0.3)
    return [*done, await ctx.schedule_activity(effect, Part(ledger, "finish", 0.2))]


@orchestration("test::orchestration::linger")
async def linger(ctx: OrchestrationContext, ledger: str) -> str:
    """Be busy for an hour."""
    return await ctx.schedule_activity(effect, Part(ledger, "linger", 3600.0))


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give version 1."""
    return OrchestrationRegistry.of(roll, linger)


def create_activity_registry() -> ActivityRegistry:
    """Give what it asks for."""
    return ActivityRegistry.of(effect)

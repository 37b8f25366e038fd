"""A custom status, names, errors and an output, each as long as it may be or longer."""

from __future__ import annotations

import contextlib
import dataclasses

from perdure import (
    ActivityContext,
    ActivityError,
    ActivityRegistry,
    NonRetryableError,
    OrchestrationContext,
    OrchestrationRegistry,
    activity,
    orchestration,
)

__all__ = ["create_activity_registry", "create_orchestration_registry"]


@dataclasses.dataclass(frozen=True)
class Size:
    """How many letters come out, or are in the error with which it fails; `ballast` only makes the resource larger."""

    output: int = 0
    error: int = 0
    ballast: str = ""


@activity(f"test::activity::{'complain-' * 19}again")
async def complain(ctx: ActivityContext) -> None:
    """Fail with a long story."""
    raise NonRetryableError(f"{ctx.instance_id} is told a story: {'ü' * 5_000}")


@orchestration("test::orchestration::sprawl")
async def sprawl(ctx: OrchestrationContext, size: Size) -> str:
    """Fill every place, wait to be asked for the end, and end large."""
    ctx.set_custom_status({"notes": "ü" * 2_000})
    ctx.set_progress(1, 2, "long " * 1_000)
    for _ in range(12):
        with contextlib.suppress(ActivityError):
            await ctx.schedule_activity(complain)
    await ctx.schedule_wait("end")
    if size.error:
        raise NonRetryableError("ü\0" * size.error)
    return "ü" * size.output


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give it."""
    return OrchestrationRegistry.of(sprawl)


def create_activity_registry() -> ActivityRegistry:
    """Give what it uses."""
    return ActivityRegistry.of(complain)

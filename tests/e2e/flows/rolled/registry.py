"""The update: version 2 does less, and version 1 is kept for the runs that have begun with it."""

from __future__ import annotations

from perdure import ActivityRegistry, OrchestrationContext, OrchestrationRegistry, orchestration
from tests.e2e.flows.rolling.registry import Part, effect, roll

__all__ = ["create_activity_registry", "create_orchestration_registry"]


@orchestration("test::orchestration::roll", version="2.0.0")
async def roll_2(ctx: OrchestrationContext, ledger: str) -> list[str]:
    """Finish."""
    return [await ctx.schedule_activity(effect, Part(ledger, "finish", 0.2))]


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give both."""
    return OrchestrationRegistry.of(roll, roll_2)


def create_activity_registry() -> ActivityRegistry:
    """Give what they ask for."""
    return ActivityRegistry.of(effect)

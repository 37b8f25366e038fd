"""A deployment that does not fit: one orchestration was edited under its version, the other has a new version alone."""

from __future__ import annotations

from perdure import OrchestrationContext, OrchestrationRegistry, orchestration

__all__ = ["create_orchestration_registry"]


@orchestration("test::orchestration::settle", version="1.0.0")
async def settle(ctx: OrchestrationContext) -> str:
    """Wait for a time, where an agreement was waited for."""
    await ctx.schedule_timer(1)
    return "settled"


@orchestration("test::orchestration::leave", version="2.0.0")
async def leave(ctx: OrchestrationContext) -> str:
    """Wait for nobody."""
    return f"{ctx.name} is over"


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give both."""
    return OrchestrationRegistry.of(settle, leave)

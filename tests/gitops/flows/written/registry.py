"""What runs begin with: two orchestrations that wait for somebody to agree."""

from __future__ import annotations

from perdure import OrchestrationContext, OrchestrationRegistry, orchestration

__all__ = ["create_orchestration_registry"]


@orchestration("test::orchestration::settle", version="1.0.0")
async def settle(ctx: OrchestrationContext) -> str:
    """Wait for an agreement."""
    await ctx.schedule_wait("agreed")
    return "settled"


@orchestration("test::orchestration::leave", version="1.0.0")
async def leave(ctx: OrchestrationContext) -> str:
    """Wait for an agreement, too."""
    await ctx.schedule_wait("agreed")
    return "left"


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give both."""
    return OrchestrationRegistry.of(settle, leave)

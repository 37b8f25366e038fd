"""One orchestration that the operators of these tests do not have until a worker joins that does.

It takes whatever input there is and needs no activity.
"""

from __future__ import annotations

from perdure import OrchestrationContext, OrchestrationRegistry, orchestration
from perdure._core.payload import JsonValue

__all__ = ["create_orchestration_registry"]


@orchestration("test::orchestration::later")
async def later(ctx: OrchestrationContext, input: JsonValue) -> str:
    """Be there."""
    return f"{ctx.name} is here"


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give it."""
    return OrchestrationRegistry.of(later)

"""A workflow that is not safe to kill: its activity makes an object under a name that is drawn anew in each attempt."""

from __future__ import annotations

import uuid

from activities.kubernetes import fencing
from perdure import (
    ActivityContext,
    ActivityRegistry,
    Manifest,
    OrchestrationContext,
    OrchestrationRegistry,
    activity,
    orchestration,
)

__all__ = ["FLAWED", "create_activity_registry", "create_orchestration_registry"]

FLAWED = "test::orchestration::flawed"


@activity("test::activity::draw")
async def draw(ctx: ActivityContext) -> None:
    """Make a ConfigMap under a name that no other attempt can know."""
    manifest: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": str(uuid.uuid4())}}
    await ctx.kubernetes.create(fencing.stamped(ctx, manifest), field_manager="test")


@orchestration(FLAWED)
async def flawed(ctx: OrchestrationContext) -> None:
    """Draw once."""
    await ctx.schedule_activity(draw)


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give it."""
    return OrchestrationRegistry.of(flawed)


def create_activity_registry() -> ActivityRegistry:
    """Give what it does."""
    return ActivityRegistry.of(draw)

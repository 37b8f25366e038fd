"""What a worker without a cluster can do and cannot: read a secret, ask an API server."""

from __future__ import annotations

from perdure import (
    ActivityContext,
    ActivityError,
    ActivityRegistry,
    OrchestrationContext,
    OrchestrationRegistry,
    SecretRef,
    activity,
    orchestration,
)

__all__ = ["create_activity_registry", "create_orchestration_registry"]


@activity("test::activity::whisper")
async def whisper(ctx: ActivityContext, reference: SecretRef) -> int:
    """Read a secret; give how long it is."""
    return len(await ctx.resolve_secret(reference))


@activity("test::activity::call")
async def call(ctx: ActivityContext) -> str:
    """Ask an API server, as whoever the run is."""
    return str(await ctx.kubernetes.get("v1", "ConfigMap", "any"))


@orchestration("test::orchestration::alone")
async def alone(ctx: OrchestrationContext, reference: SecretRef) -> list[str]:
    """Do both; give the length of the secret, and why there is nobody to be asked."""
    length = await ctx.schedule_activity(whisper, reference)
    try:
        return [str(length), await ctx.schedule_activity(call)]
    except ActivityError as error:
        return [str(length), error.type]


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give it."""
    return OrchestrationRegistry.of(alone)


def create_activity_registry() -> ActivityRegistry:
    """Give what it asks for."""
    return ActivityRegistry.of(whisper, call)

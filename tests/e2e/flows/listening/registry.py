"""An orchestration that waits for signals and says what it got.

A signal that it did not ask for stays in its mailbox: what it returns is what was delivered first.
"""

from __future__ import annotations

from perdure import ActivityContext, ActivityRegistry, OrchestrationContext, OrchestrationRegistry, SecretRef, activity
from perdure import orchestration as defined

__all__ = ["create_activity_registry", "create_orchestration_registry"]


@activity("test::activity::measure-secret")
async def measure_secret(ctx: ActivityContext, reference: SecretRef) -> int:
    """Use a secret; say how long it is, and nothing else of it."""
    return len(await ctx.resolve_secret(reference))


@defined("test::orchestration::listen")
async def listen(ctx: OrchestrationContext, count: int) -> list[object]:
    """Wait for so many signals; give their payloads."""
    return [await ctx.schedule_wait("say", object) for _ in range(count)]


@defined("test::orchestration::listen-for-secret")
async def listen_for_secret(ctx: OrchestrationContext) -> int:
    """Wait for a reference; give the length of what it refers to."""
    reference = await ctx.schedule_wait("say", SecretRef)
    return await ctx.schedule_activity(measure_secret, reference)


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give both."""
    return OrchestrationRegistry.of(listen, listen_for_secret)


def create_activity_registry() -> ActivityRegistry:
    """Give what they use."""
    return ActivityRegistry.of(measure_secret)

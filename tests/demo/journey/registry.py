"""What this package offers. A worker loads it by the package's name in `PERDURE_MODULES`."""

from __future__ import annotations

from perdure import ActivityRegistry, OrchestrationRegistry
from tests.demo.journey.journey import journey
from tests.demo.journey.travel import travel

__all__ = ["create_activity_registry", "create_orchestration_registry"]


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give the journey."""
    return OrchestrationRegistry.of(journey)


def create_activity_registry() -> ActivityRegistry:
    """Give its one activity."""
    return ActivityRegistry.of(travel)

"""What an operator that is measured offers: the orchestrations and activities of `code`."""

from __future__ import annotations

from perdure import ActivityRegistry, OrchestrationRegistry
from tests.bench import code

__all__ = ["create_activity_registry", "create_orchestration_registry"]


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give the orchestrations."""
    return OrchestrationRegistry.of(*code.ORCHESTRATIONS)


def create_activity_registry() -> ActivityRegistry:
    """Give the activities."""
    return ActivityRegistry.of(*code.ACTIVITIES)

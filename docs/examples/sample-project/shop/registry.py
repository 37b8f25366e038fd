"""What the shop offers; a worker looks for this module by its name."""

from perdure import ActivityRegistry, OrchestrationRegistry
from shop.activities import pack
from shop.order import order


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give all orchestrations, in all versions that still run."""
    return OrchestrationRegistry.of(order)


def create_activity_registry() -> ActivityRegistry:
    """Give all activities."""
    return ActivityRegistry.of(pack)

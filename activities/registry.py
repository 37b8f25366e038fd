"""What this package offers. A worker loads it by the package's name in `PERDURE_MODULES`.

Explicit on purpose: what is not in this list is not offered, wherever it is imported.
"""

from __future__ import annotations

from activities.kubernetes.apply import apply
from activities.kubernetes.delete import delete
from activities.kubernetes.get import get
from activities.kubernetes.wait_until_ready import wait_until_ready
from activities.postgres.connection import verify_connection
from activities.postgres.deploy import deploy_postgres
from activities.postgres.wait import wait_for_postgres
from perdure import ActivityRegistry

__all__ = ["create_activity_registry"]


def create_activity_registry() -> ActivityRegistry:
    """Give all activities of this package."""
    return ActivityRegistry.of(
        apply,
        delete,
        get,
        wait_until_ready,
        deploy_postgres,
        verify_connection,
        wait_for_postgres,
    )

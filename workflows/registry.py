"""What this package offers. A worker loads it by the package's name in `PERDURE_MODULES`.

Explicit on purpose: a version that runs still replay stays in this list until the last of them has ended.
"""

from __future__ import annotations

from perdure import OrchestrationRegistry
from workflows.apply_manifests import apply_manifests
from workflows.backup_postgres import backup_postgres
from workflows.create_postgres import create_postgres, create_postgres_1_0_0
from workflows.delete_postgres import delete_postgres
from workflows.greet import greet
from workflows.migrate_data import migrate_data
from workflows.onboard_tenant import onboard_tenant
from workflows.postgres_actor import postgres_actor
from workflows.roll_back_postgres import roll_back_postgres
from workflows.upgrade_postgres import upgrade_postgres

__all__ = ["create_orchestration_registry"]


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give all orchestrations of this package, in all their versions."""
    return OrchestrationRegistry.of(
        create_postgres_1_0_0,
        create_postgres,
        delete_postgres,
        upgrade_postgres,
        roll_back_postgres,
        backup_postgres,
        postgres_actor,
        apply_manifests,
        onboard_tenant,
        migrate_data,
        greet,
    )

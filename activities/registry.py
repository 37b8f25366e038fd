"""What this package offers. A worker loads it by the package's name in `PERDURE_MODULES`.

Explicit on purpose: what is not in this list is not offered, wherever it is imported.
"""

from __future__ import annotations

from activities.inventory.look import get_entry, list_names
from activities.inventory.record_event import record_event
from activities.inventory.record_health import record_health
from activities.inventory.release import release
from activities.inventory.reserve import reserve
from activities.inventory.set_state import set_state
from activities.kubernetes.apply import apply
from activities.kubernetes.create_namespace import create_namespace
from activities.kubernetes.delete import delete, delete_many
from activities.kubernetes.get import get
from activities.kubernetes.list_objects import list_objects
from activities.kubernetes.patch import patch
from activities.kubernetes.read_secret import read_secret
from activities.kubernetes.restart import restart
from activities.kubernetes.roll_out import roll_out
from activities.kubernetes.run_job import run_job
from activities.kubernetes.scale import scale
from activities.kubernetes.wait_for_condition import wait_for_condition
from activities.kubernetes.wait_until_gone import wait_until_gone
from activities.kubernetes.wait_until_ready import wait_until_ready
from activities.kubernetes.write_secret import write_secret
from activities.postgres.backup import backup_database
from activities.postgres.connection import verify_connection
from activities.postgres.copy_chunk import copy_chunk
from activities.postgres.delete import delete_postgres_objects
from activities.postgres.deploy import deploy_postgres
from activities.postgres.health import check_postgres_health
from activities.postgres.info import connection_info
from activities.postgres.plan_migration import plan_migration
from activities.postgres.reconfigure import reconfigure_postgres
from activities.postgres.restore import restore_database
from activities.postgres.verify_migration import verify_migration
from activities.postgres.wait import wait_for_postgres
from perdure import ActivityRegistry

__all__ = ["create_activity_registry"]


def create_activity_registry() -> ActivityRegistry:
    """Give all activities of this package."""
    return ActivityRegistry.of(
        apply,
        create_namespace,
        delete,
        delete_many,
        get,
        list_objects,
        patch,
        read_secret,
        restart,
        roll_out,
        run_job,
        scale,
        wait_for_condition,
        wait_until_gone,
        wait_until_ready,
        reserve,
        set_state,
        record_event,
        record_health,
        get_entry,
        list_names,
        release,
        write_secret,
        deploy_postgres,
        verify_connection,
        wait_for_postgres,
        plan_migration,
        copy_chunk,
        verify_migration,
        reconfigure_postgres,
        connection_info,
        check_postgres_health,
        backup_database,
        restore_database,
        delete_postgres_objects,
    )

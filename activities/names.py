"""The names under which the activities are offered: `{package}::{type}::{name}`.

A name is for ever: it stands in the history of every run that used it. Functions may be renamed and moved, these not.
This module imports nothing, so that anybody may refer to an activity without loading it.
"""

from __future__ import annotations

KUBERNETES_APPLY = "activities::activity::kubernetes-apply"
KUBERNETES_PATCH = "activities::activity::kubernetes-patch"
KUBERNETES_GET = "activities::activity::kubernetes-get"
KUBERNETES_LIST = "activities::activity::kubernetes-list"
KUBERNETES_DELETE = "activities::activity::kubernetes-delete"
KUBERNETES_DELETE_MANY = "activities::activity::kubernetes-delete-many"
KUBERNETES_WAIT_UNTIL_READY = "activities::activity::kubernetes-wait-until-ready"
KUBERNETES_WAIT_FOR_CONDITION = "activities::activity::kubernetes-wait-for-condition"
KUBERNETES_WAIT_UNTIL_GONE = "activities::activity::kubernetes-wait-until-gone"
KUBERNETES_RUN_JOB = "activities::activity::kubernetes-run-job"
KUBERNETES_ROLL_OUT = "activities::activity::kubernetes-roll-out"
KUBERNETES_SCALE = "activities::activity::kubernetes-scale"
KUBERNETES_RESTART = "activities::activity::kubernetes-restart"
KUBERNETES_READ_SECRET = "activities::activity::kubernetes-read-secret"  # noqa: S105 - a name
KUBERNETES_WRITE_SECRET = "activities::activity::kubernetes-write-secret"  # noqa: S105 - a name
KUBERNETES_CREATE_NAMESPACE = "activities::activity::kubernetes-create-namespace"

DEPLOY_POSTGRES = "activities::activity::deploy-postgres"
WAIT_FOR_POSTGRES = "activities::activity::wait-for-postgres"
VERIFY_POSTGRES_CONNECTION = "activities::activity::verify-postgres-connection"
PLAN_POSTGRES_MIGRATION = "activities::activity::plan-postgres-migration"
COPY_POSTGRES_CHUNK = "activities::activity::copy-postgres-chunk"
VERIFY_POSTGRES_MIGRATION = "activities::activity::verify-postgres-migration"
RECONFIGURE_POSTGRES = "activities::activity::reconfigure-postgres"
POSTGRES_CONNECTION_INFO = "activities::activity::postgres-connection-info"
CHECK_POSTGRES_HEALTH = "activities::activity::check-postgres-health"
BACKUP_POSTGRES_DATABASE = "activities::activity::backup-postgres-database"
RESTORE_POSTGRES_DATABASE = "activities::activity::restore-postgres-database"
DELETE_POSTGRES_OBJECTS = "activities::activity::delete-postgres-objects"

INVENTORY_RESERVE = "activities::activity::inventory-reserve"
INVENTORY_SET_STATE = "activities::activity::inventory-set-state"
INVENTORY_RECORD_EVENT = "activities::activity::inventory-record-event"
INVENTORY_RECORD_HEALTH = "activities::activity::inventory-record-health"
INVENTORY_GET = "activities::activity::inventory-get"
INVENTORY_LIST = "activities::activity::inventory-list"
INVENTORY_RELEASE = "activities::activity::inventory-release"

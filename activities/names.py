"""The names under which the activities are offered: `{package}::{type}::{name}`.

A name is for ever: it stands in the history of every run that used it. Functions may be renamed and moved, these not.
This module imports nothing, so that anybody may refer to an activity without loading it.
"""

from __future__ import annotations

KUBERNETES_APPLY = "activities::activity::kubernetes-apply"
KUBERNETES_GET = "activities::activity::kubernetes-get"
KUBERNETES_DELETE = "activities::activity::kubernetes-delete"
KUBERNETES_WAIT_UNTIL_READY = "activities::activity::kubernetes-wait-until-ready"

DEPLOY_POSTGRES = "activities::activity::deploy-postgres"
WAIT_FOR_POSTGRES = "activities::activity::wait-for-postgres"
VERIFY_POSTGRES_CONNECTION = "activities::activity::verify-postgres-connection"

INVENTORY_RESERVE = "activities::activity::inventory-reserve"
INVENTORY_SET_STATE = "activities::activity::inventory-set-state"
INVENTORY_RECORD_EVENT = "activities::activity::inventory-record-event"
INVENTORY_RECORD_HEALTH = "activities::activity::inventory-record-health"
INVENTORY_GET = "activities::activity::inventory-get"
INVENTORY_LIST = "activities::activity::inventory-list"
INVENTORY_RELEASE = "activities::activity::inventory-release"

"""The names under which the orchestrations are offered: `{package}::{type}::{name}`.

People write them in `spec.orchestration`; they stand in the history of every run and never change. This module imports
nothing, so that anybody may refer to an orchestration without loading it.
"""

from __future__ import annotations

CREATE_POSTGRES = "workflows::orchestration::create-postgres"
DELETE_POSTGRES = "workflows::orchestration::delete-postgres"
POSTGRES_ACTOR = "workflows::orchestration::postgres-actor"
UPGRADE_POSTGRES = "workflows::orchestration::upgrade-postgres"
ROLL_BACK_POSTGRES = "workflows::orchestration::roll-back-postgres"
BACKUP_POSTGRES = "workflows::orchestration::backup-postgres"
APPLY_MANIFESTS = "workflows::orchestration::apply-manifests"
ONBOARD_TENANT = "workflows::orchestration::onboard-tenant"
MIGRATE_DATA = "workflows::orchestration::migrate-data"
GREET = "workflows::orchestration::greet"

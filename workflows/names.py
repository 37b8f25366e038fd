"""The names under which the orchestrations are offered: `{package}::{type}::{name}`.

People write them in `spec.orchestration`; they stand in the history of every run and never change. This module imports
nothing, so that anybody may refer to an orchestration without loading it.
"""

from __future__ import annotations

CREATE_POSTGRES = "workflows::orchestration::create-postgres"
UPGRADE_POSTGRES = "workflows::orchestration::upgrade-postgres"
ROLL_BACK_POSTGRES = "workflows::orchestration::roll-back-postgres"
BACKUP_POSTGRES = "workflows::orchestration::backup-postgres"
APPLY_MANIFESTS = "workflows::orchestration::apply-manifests"
GREET = "workflows::orchestration::greet"

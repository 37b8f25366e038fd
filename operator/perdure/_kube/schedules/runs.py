"""The Orchestration that a schedule creates for a tick: its name, its labels, its owner. Pure.

It knows manifests; it must not know when a tick is due, nor how anything is sent to the API server.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from uuid import UUID

from pydantic import JsonValue

from perdure._core.activity import Manifest
from perdure._kube.api import base, orchestration, orchestration_schedule

__all__ = ["FIELD_MANAGER", "SCHEDULED_AT", "SCHEDULE_LABEL", "is_ours", "manifest", "name_of"]

SCHEDULE_LABEL = f"{base.GROUP}/schedule"
"""The label with the name of the schedule."""

SCHEDULED_AT = f"{base.GROUP}/scheduled-at"
"""The annotation with the tick."""

FIELD_MANAGER = "perdure"


def name_of(schedule_name: str, tick: datetime.datetime) -> str:
    """Give the name of the Orchestration of a tick: that of the schedule, and the minutes since 1970, as CronJobs do.

    The same tick has the same name, whoever creates it: the API server refuses the second.
    """
    return f"{schedule_name}-{int(tick.timestamp()) // 60}"


def manifest(
    uid: UUID, spec: Mapping[str, JsonValue], *, namespace: str, name: str, tick: datetime.datetime
) -> Manifest:
    """Give what to create for a tick of the schedule of this uid and name."""
    template = _mapping(spec.get("orchestrationTemplate"))
    metadata = _mapping(template.get("metadata"))
    return {
        "apiVersion": orchestration.API_VERSION,
        "kind": orchestration.KIND,
        "metadata": {
            "name": name_of(name, tick),
            "namespace": namespace,
            "labels": {**_mapping(metadata.get("labels")), SCHEDULE_LABEL: name},
            "annotations": {**_mapping(metadata.get("annotations")), SCHEDULED_AT: base.timestamp(tick)},
            "ownerReferences": [
                {
                    "apiVersion": orchestration_schedule.API_VERSION,
                    "kind": orchestration_schedule.KIND,
                    "name": name,
                    "uid": str(uid),
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": template.get("spec"),
    }


def is_ours(found: Manifest, uid: UUID) -> bool:
    """Tell whether an Orchestration belongs to the schedule of this uid."""
    metadata = _mapping(found.get("metadata"))
    owners = metadata.get("ownerReferences")
    listed = owners if isinstance(owners, list) else []
    return any(isinstance(owner, dict) and owner.get("uid") == str(uid) for owner in listed)


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}

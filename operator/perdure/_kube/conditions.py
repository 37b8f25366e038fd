"""The conditions of a resource, as kstatus reads them, with the times at which they turned. Pure.

Reconciling=True means wait, Stalled=True means failed, Ready=True means done, and no state has two of them. Kinds whose
whole state is one of a few stories take theirs from `STATES`; an Orchestration has more conditions (`verdict`). How a
list of conditions is read and written stands here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from perdure._kube.api import base
from perdure._kube.api.condition import ConditionStatus

__all__ = ["STATES", "Dated", "State", "States", "build", "by_type", "listed"]

State = Literal["Waiting", "Stuck", "Done"]

States = Mapping[str, ConditionStatus]
"""Conditions by their type, in the order shown."""

Dated = Callable[[str, ConditionStatus], datetime]
"""Says when the condition of this type took this status."""

STATES: Mapping[State, States] = {
    "Waiting": {"Ready": "False", "Reconciling": "True", "Stalled": "False"},
    "Stuck": {"Ready": "False", "Reconciling": "False", "Stalled": "True"},
    "Done": {"Ready": "True", "Reconciling": "False", "Stalled": "False"},
}
"""It waits for something, it is stuck or failed, it is done."""


def build(
    states: States, *, reason: str, message: str, generation: int, previous: Mapping[str, JsonValue], at: Dated
) -> list[JsonValue]:
    """Give every condition. One that is as it was in the `previous` status keeps its time; `at` dates the others.

    Those that are True explain themselves, and Ready always does.
    """
    before = by_type(previous)
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message if type_ == "Ready" or status == "True" else "",
            "lastTransitionTime": _kept(before.get(type_, {}), status) or base.timestamp(at(type_, status)),
            "observedGeneration": generation,
        }
        for type_, status in states.items()
    ]


def _kept(before: Mapping[str, JsonValue], status: ConditionStatus) -> JsonValue:
    return before.get("lastTransitionTime") if before.get("status") == status else None


def listed(status: Mapping[str, JsonValue]) -> list[dict[str, JsonValue]]:
    """Give the conditions of a status, in their order; what is none is left out, whoever wrote it."""
    found = status.get("conditions")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def by_type(status: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    """Give the conditions of a status by their type."""
    return {str(item.get("type")): item for item in listed(status)}

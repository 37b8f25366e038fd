"""The conditions of a resource, as kstatus reads them, with the times at which they turned. Pure.

For the kinds whose whole state is one of a few stories: it waits for something, it is stuck or failed, it is done.
Reconciling=True means wait, Stalled=True means failed, Ready=True means done, and no state has two of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from perdure._kube import verdict
from perdure._kube.api.condition import ConditionStatus

__all__ = ["State", "build"]

State = Literal["Waiting", "Stuck", "Done"]

_TYPES = ("Ready", "Reconciling", "Stalled")
_TRUE: Mapping[State, str] = {"Waiting": "Reconciling", "Stuck": "Stalled", "Done": "Ready"}
"""The one condition that is True in each state."""


def build(
    state: State, *, reason: str, message: str, generation: int, previous: Mapping[str, JsonValue], at: datetime
) -> list[JsonValue]:
    """Give every condition. One that is as it was in the `previous` status keeps its time; `at` dates the others.

    The one that is True explains itself, and Ready always does.
    """
    before = _by_type(previous)
    given: list[JsonValue] = []
    for type_ in _TYPES:
        status: ConditionStatus = "True" if _TRUE[state] == type_ else "False"
        is_as_before = before.get(type_, {}).get("status") == status
        given.append(
            {
                "type": type_,
                "status": status,
                "reason": reason,
                "message": message if type_ == "Ready" or status == "True" else "",
                "lastTransitionTime": before[type_]["lastTransitionTime"] if is_as_before else verdict.timestamp(at),
                "observedGeneration": generation,
            }
        )
    return given


def _by_type(status: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    listed = status.get("conditions")
    if not isinstance(listed, list):
        return {}
    return {str(item.get("type")): item for item in listed if isinstance(item, dict)}

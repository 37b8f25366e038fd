"""Runs as a status is built from them, and a status as people and kstatus read it.

`kstatus` here is the algorithm of sigs.k8s.io/cli-utils (pkg/kstatus/status, generic rules and the Ready condition), in
the order it looks: it is what Helm, Flux and kpt conclude from a status.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from perdure._core import failure, history, limits, projection, retry
from perdure._kube import status
from perdure._kube.api import orchestration
from perdure._kube.api.refusals import Refusal
from perdure._kube.facts import Facts, Instance

__all__ = [
    "CREATED",
    "FINISHED",
    "FRESH",
    "INSTANCE",
    "NOW",
    "REFUSAL",
    "STARTED",
    "build",
    "condition",
    "error",
    "instance",
    "kstatus",
    "schedule",
    "shown",
]

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = CREATED + timedelta(seconds=2)
FINISHED = CREATED + timedelta(minutes=1, seconds=34)
NOW = CREATED + timedelta(hours=1)
REFUSAL = Refusal("InputInvalid", "The input cannot be.")

INSTANCE = Instance(
    instance_id="shop/db:1",
    name="w::o::demo",
    version="1.0.0",
    phase="Running",
    execution=1,
    hold_reason="",
    output=None,
    error=None,
    created_at=CREATED,
    started_at=STARTED,
    finished_at=None,
)
FRESH: dict[str, Any] = {
    "observedGeneration": -1,
    "conditions": [
        {
            "type": "Ready",
            "status": "Unknown",
            "reason": "Pending",
            "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
    ],
}


def instance(phase: str = "Running", **changes: Any) -> Instance:
    """Give a run in some phase; a final one is finished."""
    finished_at = FINISHED if phase in {"Completed", "Failed", "Cancelled"} else None
    return dataclasses.replace(INSTANCE, phase=phase, finished_at=finished_at, **changes)


def error(message: str = "no disk", *, code: str = "PERDURE-1301", activity: str = "", attempts: int = 1) -> bytes:
    """Give an error as the store keeps it."""
    return msgspec.json.encode(failure.Failure(code, "ValueError", message, activity=activity, attempts=attempts))


def shown(*commands: history.Command, events: list[history.Event] | None = None) -> projection.Projection:
    """Give the projection of one turn."""
    result = projection.Projection()
    projection.fold(result, history.Turn(STARTED, events or [], list(commands)))
    return result


def schedule(seq: int, name: str = "deploy-postgres", max_attempts: int = 1) -> history.ScheduleActivity:
    """Ask for an activity."""
    policy = retry.Retry(max_attempts=max_attempts)
    return history.ScheduleActivity(seq, f"a::activity::{name}", msgspec.Raw(b"{}"), policy)


def build(facts: Facts, previous: dict[str, Any] | None = None, now: datetime = NOW) -> dict[str, Any]:
    """Build, and prove on the way that the result fits the schema and the limit."""
    built: dict[str, Any] = status.build(facts, previous, now=now)
    orchestration.OrchestrationStatus.model_validate(built)
    assert len(msgspec.json.encode(built)) <= limits.STATUS_BYTES
    return built


def condition(built: dict[str, Any], type_: str) -> dict[str, Any]:
    """Give one condition."""
    (found,) = [item for item in built["conditions"] if item["type"] == type_]
    return dict(found)


def kstatus(built: dict[str, Any], generation: int) -> str:
    """Conclude as kstatus does."""
    if built.get("observedGeneration") != generation:
        return "InProgress"
    for item in built["conditions"]:
        match item["type"], item["status"]:
            case "Reconciling", "True":
                return "InProgress"
            case "Stalled", "True":
                return "Failed"
            case _:
                pass
    (ready,) = [item["status"] for item in built["conditions"] if item["type"] == "Ready"]
    return "Current" if ready == "True" else "InProgress"

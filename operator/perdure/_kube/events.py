"""Kubernetes Events: what happened to a resource, for whoever types `kubectl describe`. Which ones there are, and when.

Few and stable reasons, in tables that `docs/observing.md` repeats. What is news is decided on two statuses, the one
before and the one written, so that an Event says nothing that the resource does not show, and a restarted operator
tells nothing twice. An Event is named after what it tells: whoever writes the same again finds it written.

Values in, values out; `recorder` sends them. It must not know Postgres, or how a status was built.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import JsonValue

from perdure._core import lifecycle
from perdure._core.activity import Manifest
from perdure._kube import conditions, verdict
from perdure._kube.api import base
from perdure._kube.status import Status, cut

__all__ = ["API_VERSION", "KIND", "REASONS", "SIGNAL_REASONS", "Event", "Type", "manifest", "news", "signal_news"]

API_VERSION = "events.k8s.io/v1"
KIND = "Event"

Type = Literal["Normal", "Warning"]

REASONS: Mapping[str, tuple[Type, str]] = {
    "Started": ("Normal", "A worker has begun the run."),
    "Completed": ("Normal", "The run has completed."),
    "Failed": ("Warning", "The run has failed; the note says of what."),
    "Cancelled": ("Normal", "The run was cancelled."),
    "Suspended": ("Normal", "Somebody has suspended the run."),
    "Resumed": ("Normal", "The run goes on after it was suspended or held."),
    "Held": ("Warning", "The run was put on hold: its code does not fit its history, or cannot go on."),
    "Retrying": (
        "Warning",
        "An activity has failed for the first time and is tried again; told once for each activity.",
    ),
    "WaitingForWorker": ("Warning", "No live worker has the orchestration of a run that has begun."),
    "ServiceAccountMissing": ("Warning", "The run does not begin until the ServiceAccount that it acts as is there."),
    "InputSourceMissing": ("Warning", "The run does not begin until what its input is read from is there."),
    "InputSourceForbidden": ("Warning", "The run does not begin until it may read what its input is read from."),
    "Stalled": ("Warning", "The request is not carried out, or nothing that runs could carry it out."),
}
"""Every reason of an Orchestration, its type, and what it means."""

SIGNAL_REASONS: Mapping[str, tuple[Type, str]] = {
    "PayloadMissing": ("Warning", "The signal is not delivered until what its payload is read from is there."),
    "PayloadUnreadable": (
        "Warning",
        "The signal is not delivered until its run may read where its payload stands.",
    ),
    "PayloadInvalid": ("Warning", "The signal will not be delivered: its payload cannot be sent."),
    "SignalInvalid": ("Warning", "The signal will not be delivered: it has a name that no signal can have."),
    "RunFinished": ("Warning", "The signal will not be delivered: the run had finished before it came."),
    "RunRemoved": ("Warning", "The signal will not be delivered: the run is no more in the database."),
}
"""The same of an OrchestrationSignal, of which only what somebody has to act on is told; each is one of its condition
Ready. That it waits for its run, or for room, ends by itself."""

_AS_SHOWN = frozenset(
    {"Retrying", "WaitingForWorker", "ServiceAccountMissing", "InputSourceMissing", "InputSourceForbidden"}
)
"""Reasons of the condition Ready that are news under their own name."""

_NOTE_BYTES = 1024
_NAME_CHARACTERS = 200
_INSTANCE_CHARACTERS = 128


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """What is told: a reason of the tables, a sentence, and `key`, which is the same for what is the same news.

    `action` is what was being done for the resource.
    """

    reason: str
    note: str
    key: str
    action: Literal["Run", "Deliver"] = "Run"

    @property
    def type(self) -> Type:
        """Normal, or Warning for what somebody may have to do something about."""
        return (REASONS if self.action == "Run" else SIGNAL_REASONS)[self.reason][0]


def news(previous: Status | None, built: Status) -> list[Event]:
    """Say what the status of an Orchestration tells that the one before did not, in the order in which it happened."""
    before, now = _Shown.of(previous or {}), _Shown.of(built)
    return [
        Event(reason, _note(reason, now), f"{now.instance_id} {reason} {_moment(reason, built, now)}")
        for reason in _reasons(before, now)
    ]


def signal_news(previous: Status | None, built: Status) -> list[Event]:
    """Say what the status of an OrchestrationSignal tells: each reason once, however often it comes back."""
    before, now = _Shown.of(previous or {}), _Shown.of(built)
    if now.reason == before.reason or now.reason not in SIGNAL_REASONS:
        return []
    return [Event(now.reason, now.message, now.reason, "Deliver")]


def manifest(event: Event, regarding: base.Reference, *, instance: str, now: datetime) -> Manifest:
    """Give the Event as the API server takes it; `instance` names the process that tells."""
    digest = hashlib.sha256(f"{regarding.uid} {event.key}".encode()).hexdigest()[:16]
    about: JsonValue = {
        "apiVersion": base.API_VERSION,
        "kind": regarding.kind,
        "namespace": regarding.namespace,
        "name": regarding.name,
        "uid": str(regarding.uid),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": f"{regarding.name[:_NAME_CHARACTERS].rstrip('-.')}.{digest}",
            "namespace": regarding.namespace,
        },
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": event.type,
        "reason": event.reason,
        "action": event.action,
        "note": cut(event.note, _NOTE_BYTES),
        "regarding": about,
        "reportingController": "perdure.dev/operator",
        "reportingInstance": instance[:_INSTANCE_CHARACTERS],
    }


@dataclasses.dataclass(frozen=True, slots=True)
class _Shown:
    """What of a status news are made of: the phase, and the conditions Ready and Stalled."""

    phase: str
    reason: str
    message: str
    is_stalled: bool
    instance_id: str

    @classmethod
    def of(cls, status: Status) -> _Shown:
        found = conditions.by_type(status)
        ready = found.get("Ready", {})
        return cls(
            phase=str(status.get("phase", "Pending")),
            reason=str(ready.get("reason", "")),
            message=str(ready.get("message", "")),
            is_stalled=found.get("Stalled", {}).get("status") == "True",
            instance_id=str(status.get("instanceId", "")),
        )


def _reasons(before: _Shown, now: _Shown) -> Iterator[str]:
    """Decide what has happened between two statuses: what became of the run, and what it then met."""
    phase_changed, reason_changed = before.phase != now.phase, before.reason != now.reason
    match now.phase:
        case phase if phase in lifecycle.TERMINAL and phase_changed:
            yield phase
        case "Suspended" if now.is_stalled and (phase_changed or reason_changed):
            yield "Held"
        case "Suspended" if phase_changed or (before.is_stalled and not now.is_stalled):
            yield "Suspended"
        case "Running" if phase_changed:
            yield "Resumed" if before.phase == "Suspended" else "Started"
        case _ if now.is_stalled and reason_changed and now.reason not in verdict.END_REASONS:
            yield "Stalled"
        case _:
            pass
    if reason_changed and now.reason in _AS_SHOWN:
        yield now.reason


def _note(reason: str, now: _Shown) -> str:
    """Give the sentence: that of the condition, but for what the condition is past already."""
    return REASONS[reason][1] if reason in {"Started", "Resumed"} else now.message


def _moment(reason: str, built: Status, now: _Shown) -> str:
    """Tell one such event of a run from the next by what is the same for everybody who tells it.

    A retry by its step; what follows a run's end by the request that it is about; else by when the conditions turned.
    """
    if reason == "Retrying":
        steps = built.get("steps")
        trying = (
            [one for one in steps if isinstance(one, dict) and "lastError" in one] if isinstance(steps, list) else []
        )
        return f"{built.get('execution')} {trying[0]['seq'] if trying else now.message}"
    if reason in lifecycle.TERMINAL or reason == "Started":
        return ""  # once in a run
    if now.phase in lifecycle.TERMINAL:
        return f"{now.reason} {built.get('observedGeneration')}"
    turned = [one.get("lastTransitionTime") for one in conditions.listed(built)]
    return f"{now.reason} {turned}"

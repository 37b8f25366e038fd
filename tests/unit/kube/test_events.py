"""Which Kubernetes Events there are, when each is news, and how it looks to the API server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from perdure._kube import events, signal_status
from perdure._kube.api import base

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ABOUT = base.Reference("Orchestration", "shop", "db", UUID(int=1))


def status(phase: str, reason: str, *, stalled: str = "False", at: str = "t1", **more: Any) -> dict[str, Any]:
    """Give what of a status counts."""
    ready = {"type": "Ready", "reason": reason, "message": f"It is {reason}.", "lastTransitionTime": at}
    conditions = [ready, {"type": "Stalled", "status": stalled, "lastTransitionTime": at}]
    return {"phase": phase, "conditions": conditions, "instanceId": "shop/db:1", "execution": 1, **more}


PENDING = status("Pending", "Pending")
RUNNING = status("Running", "Running")
RETRYING = status("Running", "Retrying", steps=[{"seq": 1}, {"seq": 2, "lastError": "no disk"}])
SUSPENDED = status("Suspended", "Suspended")
HELD = status("Suspended", "Nondeterministic", stalled="True")
UNKNOWN = status("Pending", "UnknownOrchestration", stalled="True")
COMPLETED = status("Completed", "Completed")
FAILED = status("Failed", "ActivityFailed", stalled="True")
REFUSED = status("Completed", "OrchestrationNotAllowed", stalled="True", observedGeneration=2)
CASES: list[tuple[dict[str, Any] | None, dict[str, Any], list[str]]] = [
    (None, PENDING, []),
    (None, RUNNING, ["Started"]),
    (PENDING, RUNNING, ["Started"]),
    (RUNNING, status("Running", "Waiting"), []),
    (RUNNING, RUNNING, []),
    (RUNNING, RETRYING, ["Retrying"]),
    (RETRYING, RETRYING, []),
    (RETRYING, RUNNING, []),
    (RUNNING, status("Running", "WaitingForWorker"), ["WaitingForWorker"]),
    (None, status("Pending", "ServiceAccountMissing"), ["ServiceAccountMissing"]),
    (status("Pending", "ServiceAccountMissing"), status("Pending", "ServiceAccountMissing"), []),
    (PENDING, status("Pending", "InputSourceMissing"), ["InputSourceMissing"]),
    (PENDING, status("Pending", "InputSourceForbidden"), ["InputSourceForbidden"]),
    (SUSPENDED, status("Suspended", "InputSourceMissing"), ["InputSourceMissing"]),
    (status("Suspended", "InputSourceMissing"), SUSPENDED, []),
    (HELD, SUSPENDED, ["Suspended"]),
    (RUNNING, SUSPENDED, ["Suspended"]),
    (RUNNING, HELD, ["Held"]),
    (SUSPENDED, HELD, ["Held"]),
    (HELD, HELD, []),
    (HELD, RUNNING, ["Resumed"]),
    (PENDING, UNKNOWN, ["Stalled"]),
    (UNKNOWN, RUNNING, ["Started"]),
    (RUNNING, status("Running", "NotSupportedYet", stalled="True"), ["Stalled"]),
    (PENDING, status("Completed", "Completed"), ["Completed"]),
    (RUNNING, status("Failed", "ActivityFailed", stalled="True"), ["Failed"]),
    (RUNNING, status("Cancelled", "Cancelled", stalled="True"), ["Cancelled"]),
    (PENDING, RETRYING, ["Started", "Retrying"]),
    (COMPLETED, REFUSED, ["Stalled"]),
    (REFUSED, COMPLETED, []),
    (FAILED, status("Failed", "OrchestrationNotAllowed", stalled="True"), ["Stalled"]),
    (status("Failed", "OrchestrationNotAllowed", stalled="True"), FAILED, []),
]


@pytest.mark.parametrize(("before", "now", "reasons"), CASES)
def test_what_has_happened_is_told_once_by_its_reason(
    before: dict[str, Any] | None, now: dict[str, Any], reasons: list[str]
) -> None:
    """News is a phase, a hold, a stall, or the first retry; all else moves without a word."""
    told = events.news(before, now)

    assert [event.reason for event in told] == reasons
    said = {"Started": "A worker has begun the run.", "Resumed": events.REASONS["Resumed"][1]}
    assert [event.note for event in told] == [said.get(one, now["conditions"][0]["message"]) for one in reasons]


def test_every_reason_is_told_by_something() -> None:
    """The table has no word that nobody says."""
    assert {reason for *_, reasons in CASES for reason in reasons} == {*events.REASONS}


def test_the_same_news_have_the_same_name_whoever_tells_them() -> None:
    """Two workers that saw the same write one Event; another suspension is another one."""

    def name(now: dict[str, Any], *, before: dict[str, Any] = RUNNING, instance: str = "pod-1") -> object:
        *_, told = events.news(before, now)
        made: Any = events.manifest(told, ABOUT, instance=instance, now=NOW)
        return made["metadata"]["name"]

    later = status("Suspended", "Suspended", at="t2")
    other_step = status("Running", "Retrying", steps=[{"seq": 3, "lastError": "no net"}])

    assert name(SUSPENDED) == name(SUSPENDED, before=PENDING, instance="pod-2")
    assert len({name(SUSPENDED), name(later), name(RETRYING), name(other_step), name(HELD)}) == 5


def test_each_request_that_is_refused_after_a_run_is_told_of() -> None:
    """Once, whoever tells it and at whatever second it was seen; the run's own end is another one."""

    def key(before: dict[str, Any], now: dict[str, Any]) -> str:
        (told,) = events.news(before, now)
        return told.key

    seen_later = status("Completed", "OrchestrationNotAllowed", stalled="True", at="t2", observedGeneration=2)
    changed = status("Completed", "OrchestrationNotAllowed", stalled="True", at="t1", observedGeneration=4)
    other = status("Completed", "InputInvalid", stalled="True", observedGeneration=2)

    assert key(COMPLETED, REFUSED) == key(COMPLETED, seen_later)
    assert len({key(RUNNING, COMPLETED), key(COMPLETED, REFUSED), key(COMPLETED, changed), key(REFUSED, other)}) == 4
    assert key(RUNNING, COMPLETED) == key(PENDING, status("Completed", "Completed", at="t2"))


def test_a_signal_tells_what_somebody_has_to_act_on_and_each_once() -> None:
    """All that it can be stuck with, and a payload that is not there; not that it waits, nor that it was delivered."""
    told = {
        reason: [event.reason for event in events.signal_news(None, status("Pending", reason))]
        for reason in signal_status.REASONS
    }
    stuck = {reason for reason, story in signal_status.REASONS.items() if story.state == "Stuck"}

    assert {reason for reason, reasons in told.items() if reasons} == stuck | {"PayloadMissing"}
    assert {*events.SIGNAL_REASONS} == {reason for reasons in told.values() for reason in reasons}


def test_a_signal_that_is_refused_again_is_not_told_again() -> None:
    """What it says as before is no news, and what comes back is the Event that stands there already."""
    missing, unreadable = status("Pending", "PayloadMissing"), status("Pending", "PayloadUnreadable", stalled="True")
    back = status("Pending", "PayloadMissing", at="t3")

    (first,) = events.signal_news(None, missing)
    (again,) = events.signal_news(unreadable, back)
    made: Any = events.manifest(first, ABOUT, instance="pod-1", now=NOW)

    assert events.signal_news(missing, missing) == []
    assert (first, first.key) == (again, again.key)
    assert (made["type"], made["action"], made["note"]) == ("Warning", "Deliver", "It is PayloadMissing.")


def test_an_event_fits_the_bounds_of_the_api_server() -> None:
    """The longest names and sentences are cut; a name ends as names may."""
    long = base.Reference("Orchestration", "shop", "a" * 199 + "-" + "b" * 53, UUID(int=1))

    made: Any = events.manifest(events.Event("Failed", "𝄞" * 4000, "key"), long, instance="p" * 300, now=NOW)

    assert len(made["metadata"]["name"]) <= 253
    assert made["metadata"]["name"].startswith("a" * 199 + ".")
    assert len(made["note"].encode()) <= 1024
    assert len(made["reportingInstance"]) == 128
    assert (made["type"], made["eventTime"]) == ("Warning", "2026-01-01T00:00:00.000000Z")

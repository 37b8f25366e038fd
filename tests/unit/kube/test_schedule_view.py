"""What a schedule shows, and which of its Orchestrations are too many: facts in, a status out."""

from __future__ import annotations

import datetime
import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from perdure._core import limits
from perdure._kube.api.orchestration_schedule import OrchestrationScheduleStatus
from perdure._kube.schedules import view
from perdure._store.schedules import Facts, Tick

NOON = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.UTC)
SPEC: dict[str, Any] = {"cron": "@hourly", "orchestrationTemplate": {"spec": {"orchestration": "flow"}}}


def tick(hours_ago: int, outcome: str | None = None, *, is_gone: bool = False) -> Tick:
    """Give a tick that was run so long ago."""
    return Tick(NOON - datetime.timedelta(hours=hours_ago), f"report-{hours_ago}", UUID(int=1), outcome, is_gone)


def facts(*ticks: Tick, spec: dict[str, Any] | None = None, **changes: Any) -> Facts:
    """Give the facts of an hourly schedule at noon."""
    values: dict[str, Any] = {
        "uid": UUID(int=7), "namespace": "shop", "name": "report", "generation": 2,
        "spec": json.dumps(SPEC | (spec or {})).encode(), "decided_until": NOON, "last_tick_at": None,
        "last_successful_at": None, "missed": 0, "missed_tick_at": None, "missed_reason": "", "missed_message": "",
        "problem_reason": "", "problem_message": "", "changes": 3, "status": None, "status_resource_version": None,
        "now": NOON,
    }  # fmt: skip
    return Facts(**(values | changes), ticks=ticks)


def conditions(status: view.Status) -> dict[str, str]:
    """Give the conditions by type."""
    listed: Any = status["conditions"]
    return {item["type"]: item["status"] for item in listed}


def test_a_schedule_that_is_followed_is_current_and_says_when() -> None:
    """Ready, with the tick that is next, and nothing that is not known yet."""
    status = view.build(facts(), None)

    assert status.pop("conditions")
    assert status == {
        "observedGeneration": 2,
        "nextScheduleTime": "2026-05-01T13:00:00Z",
        "active": [],
        "activeCount": 0,
        "missed": 0,
    }


JUDGED: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({}, {}, "True False False", "Scheduled"),
    ({"suspend": True}, {}, "True False False", "Suspended"),
    ({"cron": "61 * * * *"}, {}, "False False True", "InvalidCron"),
    ({"timeZone": "Mars/Olympus"}, {}, "False False True", "UnknownTimeZone"),
    (
        {},
        {"problem_reason": "CreationForbidden", "problem_message": "No right."},
        "False False True",
        "CreationForbidden",
    ),
    ({"suspend": True}, {"problem_reason": "CreationForbidden"}, "True False False", "Suspended"),
]


@pytest.mark.parametrize(("spec", "changes", "states", "reason"), JUDGED)
def test_conditions_are_those_that_tools_read(
    spec: dict[str, Any], changes: dict[str, Any], *, states: str, reason: str
) -> None:
    """Ready, Reconciling, Stalled for kstatus; each with the generation that it speaks of, and a reason."""
    status = view.build(facts(spec=spec, **changes), None)

    assert " ".join(conditions(status).values()) == states
    listed: Any = status["conditions"]
    assert {(item["reason"], item["observedGeneration"]) for item in listed} == {(reason, 2)}
    assert ("nextScheduleTime" in status) is (reason in {"Scheduled", "CreationForbidden"})


def test_what_has_not_changed_is_equal() -> None:
    """A condition keeps its time while it has its value, so that nothing needs to be written."""
    first = view.build(facts(), None)

    again = view.build(facts(now=NOON + datetime.timedelta(hours=5)), first)
    stalled = view.build(facts(spec={"cron": "x"}, now=NOON + datetime.timedelta(hours=5)), first)

    assert again == first
    times: Any = stalled["conditions"]
    assert [item["lastTransitionTime"][11:13] for item in times] == ["17", "12", "17"]


def test_unfinished_runs_are_shown_and_their_number_is_right() -> None:
    """The oldest first, and not more than fit; one that has ended, or that is gone, is none of them."""
    ticks = [tick(hours) for hours in range(30, 5, -1)]

    status = view.build(facts(*ticks, tick(4, "Completed"), tick(3, is_gone=True)), None)

    shown: Any = status["active"]
    assert [run["name"] for run in shown] == [f"report-{hours}" for hours in range(30, 20, -1)]
    assert status["activeCount"] == 25


def test_the_latest_missed_tick_says_why() -> None:
    """When, a word and a sentence."""
    status = view.build(facts(missed=3, missed_tick_at=NOON, missed_reason="TooLate", missed_message="Late."), None)

    assert status["missed"] == 3
    assert status["lastMissed"] == {"scheduledAt": "2026-05-01T12:00:00Z", "reason": "TooLate", "message": "Late."}


def test_the_status_stays_small_and_is_what_the_schema_says() -> None:
    """Whatever the API server had to say, and however many runs there are."""
    many = [tick(hours) for hours in range(1_000, 0, -1)]
    said: dict[str, Any] = {"problem_reason": "CreationRefused", "problem_message": "x" * 50_000}
    missed: dict[str, Any] = {
        "missed": 9,
        "missed_tick_at": NOON,
        "missed_reason": "Refused",
        "missed_message": "y" * 50_000,
    }

    status = view.build(facts(*many, **said, **missed, last_tick_at=NOON, last_successful_at=NOON), None)

    assert len(msgspec.json.encode(status)) < limits.STATUS_BYTES
    assert OrchestrationScheduleStatus.model_validate(status).active_count == 1_000


def test_those_beyond_the_limits_are_too_many_the_oldest_first() -> None:
    """Good and bad ends have a limit each; what is unfinished or gone already counts for neither."""
    ticks = [
        *(tick(9, "Completed"), tick(8, "Failed"), tick(7, "Completed"), tick(6, "Cancelled"), tick(5)),
        *(tick(4, "Completed", is_gone=True), tick(3, "Gone"), tick(2, "Completed"), tick(1, "Completed")),
    ]

    assert [one.name for one in view.surplus(facts(*ticks))] == ["report-9", "report-8", "report-6"]
    none = {"successfulRunsHistoryLimit": 0, "failedRunsHistoryLimit": 9}
    assert [one.name for one in view.surplus(facts(*ticks, spec=none))] == [f"report-{hours}" for hours in (9, 7, 2, 1)]

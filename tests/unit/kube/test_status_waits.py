"""What a status says of a run that does not move: what it waits for, what is tried again, what was refused of it."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from perdure._core import history, limits
from perdure._kube import status
from perdure._kube.api import orchestration
from perdure._kube.facts import Facts, Retry, Unrunnable
from tests.unit.kube.runs import (
    FINISHED,
    INSTANCE,
    NOW,
    build,
    condition,
    error,
    instance,
    kstatus,
    schedule,
    shown,
)


def test_a_step_that_is_tried_again_says_when_and_what_went_wrong() -> None:
    """The step has the attempt to come, the moment of it, and the last error; once it is due there is no moment."""
    folded = shown(schedule(1, max_attempts=5))
    planned = build(Facts(1, instance=INSTANCE, projection=folded, retries=[Retry(1, 3, NOW, error("no disk"))]))
    due = build(Facts(1, instance=INSTANCE, projection=folded, retries=[Retry(1, 3, None, error("no disk"))]))

    assert planned["steps"][0] == due["steps"][0] | {"nextRetryAt": "2026-01-01T01:00:00.000Z"}
    assert (due["steps"][0]["attempt"], due["steps"][0]["lastError"]) == (4, "no disk")
    assert condition(due, "Ready")["message"] == (
        "Activity deploy-postgres: attempt 3 of 5 failed: no disk; the next is due."
    )


def queued(seq: int) -> history.ScheduleActivity:
    """Ask for an activity of a queue."""
    return history.ScheduleActivity(seq, "a::activity::train", msgspec.Raw(b"{}"), queue="gpu")


UNKNOWN = Unrunnable("w::o::demo", "2.0.0", ("w::o::demo@1.0.0",))
WAITS: dict[str, tuple[Facts, list[dict[str, str]]]] = {
    "nothing": (Facts(1, instance=INSTANCE, projection=shown(schedule(1))), []),
    "signal": (
        Facts(1, instance=INSTANCE, projection=shown(history.WaitForSignal(1, "approved"))),
        [{"kind": "Signal", "name": "approved", "since": "2026-01-01T00:00:02Z"}],
    ),
    "timers": (
        Facts(1, instance=INSTANCE, projection=shown(history.CreateTimer(1, NOW), history.CreateTimer(2, FINISHED))),
        [{"kind": "Timer", "since": "2026-01-01T00:00:02Z", "until": "2026-01-01T00:01:34Z"}],
    ),
    "child": (
        Facts(
            1,
            instance=INSTANCE,
            projection=shown(history.ScheduleSubOrchestration(1, "w::o::backup", msgspec.Raw(b"{}"), "shop/db:1::1.1")),
        ),
        [{"kind": "Child", "name": "shop/db:1::1.1", "since": "2026-01-01T00:00:02Z"}],
    ),
    "worker": (
        Facts(1, instance=instance("Pending"), unrunnable=UNKNOWN),
        [{"kind": "Worker", "name": "w::o::demo@2.0.0"}],
    ),
    "queue": (
        Facts(
            1, instance=INSTANCE, projection=shown(queued(1)), retries=[Retry(1, 0, None, None, False, is_served=False)]
        ),
        [{"kind": "Queue", "name": "gpu", "since": "2026-01-01T00:00:02Z"}],
    ),
    "taken": (Facts(1, instance=INSTANCE, projection=shown(queued(1)), retries=[Retry(1, 0, None, None)]), []),
    "over": (Facts(1, instance=instance("Completed"), projection=shown(history.WaitForSignal(1, "approved"))), []),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_run_says_what_it_waits_for_and_since_when(name: str) -> None:
    """Whom or what is missing stands in the status; nothing does once the run has ended."""
    facts, expected = WAITS[name]

    assert build(facts).get("waitingFor", []) == expected


def test_only_some_of_many_waits_are_shown() -> None:
    """A hundred children are not listed."""
    signals = [history.WaitForSignal(seq, f"s{seq}") for seq in range(100)]

    built = build(Facts(1, instance=INSTANCE, projection=shown(*signals)))

    assert [one["name"] for one in built["waitingFor"]] == [f"s{seq}" for seq in range(limits.STATUS_WAITS)]


def test_a_queue_that_nobody_serves_is_named() -> None:
    """The sentence says in which queue the activity waits, and that it waits in vain."""
    messages = [
        condition(
            build(
                dataclasses.replace(WAITS["queue"][0], retries=[Retry(1, 0, None, None, False, is_served=is_served)])
            ),
            "Ready",
        )["message"]
        for is_served in (True, False)
    ]

    assert messages == [
        "Activity train waits in queue gpu.",
        "Activity train waits in queue gpu, which no live worker serves.",
    ]


def test_a_refused_status_has_a_minimal_form_that_says_why() -> None:
    """Conditions, phase and times stay, as programs read them; the rest is named, and the refusal told."""
    full = build(Facts(1, instance=INSTANCE, projection=shown(schedule(1))))

    least = status.minimal(full, "status.steps: too many")

    orchestration.OrchestrationStatus.model_validate(least)
    assert kstatus(least, 1) == kstatus(full, 1)
    assert {*least} == {*full} - {"step", "steps", "progress", "counts"} | {"truncated"}
    assert least["truncated"] == [field for field in full if field not in least]
    assert condition(least, "Ready")["message"] == (
        "Activity deploy-postgres is running. (The API server refused the full status: status.steps: too many)"
    )

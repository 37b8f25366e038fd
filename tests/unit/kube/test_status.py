"""From facts to status: the table of states as people and kstatus read it, times of transition, bounds."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import msgspec
import pytest

from perdure._core import failure, history, limits, projection
from perdure._kube import status
from perdure._kube.api.condition import CONDITION_TYPES
from perdure._kube.api.refusals import Refusal
from perdure._kube.facts import Facts, Retry, Unrunnable, Wishes
from tests.unit.kube.runs import (
    FINISHED,
    FRESH,
    INSTANCE,
    NOW,
    REFUSAL,
    STARTED,
    build,
    condition,
    error,
    instance,
    kstatus,
    schedule,
    shown,
)

HELD = instance("Suspended", hold_reason="Nondeterministic", error=error("Replay differs", code="PERDURE-1201"))
ENOUGH = history.CancelRequested("enough")
READY = shown(history.SetReady(ready=True, message="mirrored"))
CUSTOM = Wishes(is_custom=True)
UNKNOWN = Unrunnable("w::o::demo", "2.0.0", ("w::o::demo@1.0.0", "w::o::other@1.0.0"))
CASES: dict[str, tuple[Facts, str, str, str, str]] = {
    # facts; kstatus; phase; reason of Ready; marks of Ready Reconciling Stalled Completed Failed Finished
    "accepted": (Facts(1), "InProgress", "Pending", "Pending", "-+----"),
    "without its finalizer": (
        Facts(1, wishes=Wishes(lacks_finalizer=True)),
        "InProgress",
        "Pending",
        "Pending",
        "-+----",
    ),
    "pending": (Facts(1, instance=instance("Pending")), "InProgress", "Pending", "Pending", "-+----"),
    "running": (
        Facts(1, instance=instance(), projection=shown(schedule(1))),
        "InProgress",
        "Running",
        "Running",
        "-+----",
    ),
    "between steps": (Facts(1, instance=instance(), projection=shown()), "InProgress", "Running", "Running", "-+----"),
    "waiting": (
        Facts(1, instance=instance(), projection=shown(history.CreateTimer(1, NOW))),
        "InProgress",
        "Running",
        "Waiting",
        "-+----",
    ),
    "retrying": (
        Facts(1, instance=instance(), projection=shown(schedule(1)), retries=[Retry(1, 1, NOW, error())]),
        "InProgress",
        "Running",
        "Retrying",
        "-+----",
    ),
    "cancelling": (
        Facts(1, instance=instance(), projection=shown(events=[history.CancelRequested("enough")])),
        "InProgress",
        "Running",
        "Cancelling",
        "-+----",
    ),
    "no worker": (
        Facts(1, instance=instance("Pending"), unrunnable=Unrunnable("x", "", ())),
        "InProgress",
        "Pending",
        "WaitingForWorker",
        "-+----",
    ),
    "completed": (Facts(1, instance=instance("Completed")), "Current", "Completed", "Completed", "+--+-+"),
    "failed": (
        Facts(1, instance=instance("Failed", error=error(activity="a::b"))),
        "Failed",
        "Failed",
        "ActivityFailed",
        "--+-++",
    ),
    "bad input": (
        Facts(1, instance=instance("Failed", error=error(code="PERDURE-1102"))),
        "Failed",
        "Failed",
        "InputInvalid",
        "--+-++",
    ),
    "failed in code": (
        Facts(1, instance=instance("Failed", error=error(code="PERDURE-1200"))),
        "Failed",
        "Failed",
        "OrchestrationFailed",
        "--+-++",
    ),
    "out of time": (
        Facts(1, instance=instance("Failed", error=error(code="PERDURE-1223"))),
        "Failed",
        "Failed",
        "RunTimedOut",
        "--+-++",
    ),
    "suspended": (
        Facts(1, instance=instance("Suspended", suspend_reason="spec.suspend")),
        "InProgress",
        "Suspended",
        "Suspended",
        "-+----",
    ),
    "kept while compensating": (
        Facts(1, instance=instance(), projection=shown(events=[ENOUGH]), wishes=Wishes(is_kept=True, forced_at=NOW)),
        "InProgress",
        "Running",
        "Compensating",
        "-+----",
    ),
    "ready": (Facts(1, instance=instance(), projection=READY, wishes=CUSTOM), "Current", "Running", "Ready", "+-----"),
    "not ready": (
        Facts(1, instance=instance(), projection=shown(history.SetReady(ready=False)), wishes=CUSTOM),
        "InProgress",
        "Running",
        "NotReady",
        "-+----",
    ),
    "ready, which nobody asks": (
        Facts(1, instance=instance(), projection=READY),
        "InProgress",
        "Running",
        "Running",
        "-+----",
    ),
    "ready, with a change that waits": (
        Facts(1, instance=instance(), projection=READY, wishes=Wishes("AfterCurrentRun", is_custom=True)),
        "InProgress",
        "Running",
        "Running",
        "-+----",
    ),
    "ready, and told of a change": (
        Facts(1, instance=instance(), projection=READY, wishes=Wishes("Signal", is_custom=True)),
        "Current",
        "Running",
        "Ready",
        "+-----",
    ),
    "ready when it completed": (
        Facts(1, instance=instance("Completed"), projection=READY, wishes=CUSTOM),
        "Current",
        "Completed",
        "Completed",
        "+--+-+",
    ),
    "completed, with a change that waits": (
        Facts(1, instance=instance("Completed"), wishes=Wishes("AfterCurrentRun")),
        "InProgress",
        "Pending",
        "ChangeWaiting",
        "-+----",
    ),
    "cancelled": (Facts(1, instance=instance("Cancelled")), "Failed", "Cancelled", "Cancelled", "--+--+"),
    "held": (Facts(1, instance=HELD), "Failed", "Suspended", "Nondeterministic", "--+---"),
    "unknown": (
        Facts(1, instance=instance("Pending"), unrunnable=UNKNOWN),
        "Failed",
        "Pending",
        "UnknownOrchestration",
        "--+---",
    ),
    "lacks": (
        Facts(1, refusal=Refusal("InputSourceMissing", "A Secret is missing.", waits=True)),
        "InProgress",
        "Pending",
        "InputSourceMissing",
        "-+----",
    ),
    "refused": (Facts(1, refusal=REFUSAL), "Failed", "Pending", "InputInvalid", "--+---"),
    "refused while running": (
        Facts(1, refusal=REFUSAL, instance=instance()),
        "Failed",
        "Running",
        "InputInvalid",
        "--+---",
    ),
    "refused when done": (
        Facts(1, refusal=REFUSAL, instance=instance("Completed")),
        "Failed",
        "Completed",
        "InputInvalid",
        "--++-+",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_state_reads_right_for_people_and_for_kstatus(name: str) -> None:
    """Phase, all six conditions and what Helm concludes are those of the table, each for the generation observed."""
    facts, concluded, phase, reason, marks = CASES[name]

    built = build(facts)

    assert [item["type"] for item in built["conditions"]] == list(CONDITION_TYPES)
    assert "".join("+" if item["status"] == "True" else "-" for item in built["conditions"]) == marks
    assert {item["reason"] for item in built["conditions"]} == {reason}
    assert {item["observedGeneration"] for item in built["conditions"]} == {1}
    assert condition(built, "Ready")["message"]
    assert (built["phase"], kstatus(built, 1), kstatus(built, 2)) == (phase, concluded, "InProgress")


@pytest.mark.parametrize("name", CASES)
def test_identical_facts_give_an_identical_status(name: str) -> None:
    """What has not changed is equal later on, so it is not written again."""
    facts = CASES[name][0]
    first = build(facts)

    assert build(facts, first, NOW + timedelta(hours=5)) == first


@pytest.mark.parametrize("name", ["pending", "running", "retrying", "completed", "failed", "cancelled"])
def test_a_worker_that_takes_over_builds_what_its_predecessor_wrote(name: str) -> None:
    """The times of transition of an undisturbed run come from its facts, not from who looked when."""
    facts = CASES[name][0]

    assert build(facts) == build(facts, FRESH, NOW + timedelta(hours=5))


def test_a_transition_time_changes_only_on_a_flip() -> None:
    """From running to completed, what was false and stays false keeps its time; the rest has that of the end."""
    running = build(CASES["running"][0], FRESH)
    completed = build(CASES["completed"][0], running)

    times = {item["type"]: item["lastTransitionTime"] for item in completed["conditions"]}

    assert {times[type_] for type_ in ("Stalled", "Failed")} == {"2026-01-01T00:00:00Z"}
    assert {times[type_] for type_ in ("Ready", "Reconciling", "Completed", "Finished")} == {"2026-01-01T00:01:34Z"}


def test_a_hold_and_its_end_are_dated_by_who_sees_them() -> None:
    """A hold has no time in the facts: it begins, and ends, when it is first seen."""
    held = build(CASES["held"][0], build(CASES["running"][0]), NOW)
    resumed = build(CASES["running"][0], held, NOW + timedelta(minutes=5))

    assert condition(held, "Stalled")["lastTransitionTime"] == "2026-01-01T01:00:00Z"
    assert condition(resumed, "Stalled")["lastTransitionTime"] == "2026-01-01T01:05:00Z"
    assert condition(resumed, "Ready")["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_a_status_that_somebody_spoiled_is_no_obstacle() -> None:
    """Whatever a previous status holds, a good one is built."""
    for spoiled in ({"conditions": "none"}, {"conditions": [1, {"type": "Ready"}]}, {"conditions": None}):
        assert build(CASES["running"][0], spoiled) == build(CASES["running"][0])


def test_a_retry_says_how_often_why_and_when_next() -> None:
    """Three in the morning: the message has the activity, the attempt of how many, the error and the next try."""
    facts = Facts(
        1,
        instance=INSTANCE,
        projection=shown(schedule(1, max_attempts=5)),
        retries=[Retry(1, 3, NOW, error("Connection refused."))],
    )

    built = build(facts)

    assert condition(built, "Ready")["message"] == (
        "Activity deploy-postgres: attempt 3 of 5 failed: Connection refused; next try at 2026-01-01T01:00:00Z."
    )
    assert built["steps"][0]["attempt"] == 4


def test_an_unknown_orchestration_names_what_is_known() -> None:
    """The message has what was asked for and what workers offer, versions of the same name first."""
    known = ("a::x@1.0.0", "w::o::demo@1.0.0", *(f"z::{number}@1.0.0" for number in range(20)))
    facts = Facts(1, instance=instance("Pending"), unrunnable=Unrunnable("w::o::demo", "2.0.0", known))

    message = condition(build(facts), "Stalled")["message"]

    assert "No live worker offers w::o::demo@2.0.0. Known are: w::o::demo@1.0.0, a::x@1.0.0, " in message
    assert "and 12 more" in message


def test_a_run_that_has_begun_waits_for_its_worker() -> None:
    """When the workers of a running run are replaced it is no failure to Helm or Flux."""
    known = ("a::x@1.0.0",)
    facts = Facts(1, instance=instance("Running"), unrunnable=Unrunnable("w::o::demo", "2.0.0", known))

    built = build(facts)

    assert condition(built, "Stalled")["status"] == "False"
    assert condition(built, "Reconciling")["reason"] == "WaitingForWorker"


def test_a_failure_names_code_activity_and_attempts() -> None:
    """The condition and `error` lead to the cause."""
    stored = error("no disk", activity="a::activity::deploy-postgres", attempts=5)

    built = build(Facts(1, instance=instance("Failed", error=stored)))

    sentence = "PERDURE-1301: Activity deploy-postgres failed after 5 attempts: no disk"
    assert condition(built, "Stalled")["message"] == condition(built, "Failed")["message"] == sentence
    assert built["error"] == {
        "code": "PERDURE-1301",
        "message": "no disk",
        "activity": "a::activity::deploy-postgres",
        "attempt": 5,
    }


def test_a_refused_spec_says_what_becomes_of_the_run() -> None:
    """Nothing runs, or the earlier run goes on, or it has ended: the message says which."""
    messages = [
        condition(build(Facts(2, refusal=REFUSAL, instance=run)), "Stalled")["message"]
        for run in (None, instance(), instance("Completed"))
    ]

    assert [message.removeprefix(f"{REFUSAL.message} ") for message in messages] == [
        "Nothing is run until then.",
        "The run that was started before goes on.",
        "The run that was started before is Completed.",
    ]


def test_what_keeps_a_resource_is_said() -> None:
    """Which step, and until when at the latest."""
    compensating = shown(schedule(2, "drop-postgres"), events=[ENOUGH])
    facts = Facts(1, instance=INSTANCE, projection=compensating, wishes=Wishes(is_kept=True, forced_at=NOW))

    assert condition(build(facts), "Ready")["message"] == (
        "The resource is kept until its run has compensated. Activity drop-postgres is running. "
        "At 2026-01-01T01:00:00Z it is ended by force."
    )


def test_a_change_that_waits_is_said() -> None:
    """Of a run under way, and of a suspended one; of one that was told of it nothing is."""
    messages = [
        condition(build(Facts(2, instance=instance(phase), wishes=Wishes(waiting))), "Ready")["message"]
        for phase, waiting in (("Running", "AfterCurrentRun"), ("Suspended", "CancelCurrent"), ("Running", "Signal"))
    ]

    assert ["A changed request waits" in message for message in messages] == [True, True, False]


def test_readiness_says_why_in_the_words_of_the_author() -> None:
    """When it is ready, and what it does while it is not."""
    waiting = shown(schedule(1), history.SetReady(ready=False, message="the first copy is under way"))

    messages = [
        condition(build(Facts(1, instance=INSTANCE, projection=found, wishes=CUSTOM)), "Ready")["message"]
        for found in (READY, waiting)
    ]

    assert messages == [
        "mirrored",
        "Not ready: the first copy is under way. Activity deploy-postgres is running.",
    ]


def test_a_pause_says_who_asked_for_it() -> None:
    """The spec, or somebody at the command line."""
    paused = Facts(1, instance=instance("Suspended", suspend_reason="spec.suspend"))

    assert condition(build(paused), "Reconciling")["message"] == "The run is suspended: spec.suspend."


def test_a_status_outlives_its_run() -> None:
    """It stays as it was, but for the generation that it speaks of."""
    built = build(CASES["completed"][0])

    kept = status.kept(built, generation=2)

    assert kstatus(kept, 2) == "Current"
    assert status.kept(kept, generation=1) == built


def test_the_columns_show_step_and_progress() -> None:
    """STEP is what runs now, PROGRESS what the author reports, or the steps that are done."""
    one = build(Facts(1, instance=INSTANCE, projection=shown(schedule(1), history.SetProgress(2, 4, "making it"))))
    many = build(Facts(1, instance=INSTANCE, projection=shown(schedule(1), schedule(2), schedule(3))))
    idle = build(Facts(1, instance=INSTANCE, projection=shown(history.CreateTimer(1, NOW))))

    assert (one["step"], one["progress"]) == (
        "deploy-postgres",
        {"text": "2/4", "done": 2, "total": 4, "message": "making it"},
    )
    assert (many["step"], many["progress"]) == ("deploy-postgres (+2)", {"text": "0 done"})
    assert idle["step"] == "timer"


def test_who_waits_for_others_says_for_whom() -> None:
    """A signal and a child have names; where there are several, the first is the step, and the message lists them."""
    approval = history.WaitForSignal(1, "approved")
    child = history.ScheduleSubOrchestration(2, "w::o::backup", msgspec.Raw(b"{}"), "shop/db:1::sub::1.2")

    one = build(Facts(1, instance=INSTANCE, projection=shown(approval)))
    both = build(Facts(1, instance=INSTANCE, projection=shown(approval, child, history.CreateTimer(3, FINISHED))))

    assert one["step"] == "signal approved"
    assert condition(one, "Ready")["message"] == "The run waits for signal approved."
    assert both["step"] == "signal approved (+1)"
    assert condition(both, "Ready")["message"] == (
        "The run waits for signal approved, child shop/db:1::sub::1.2, a timer at 2026-01-01T00:01:34Z."
    )


def test_a_failed_run_shows_the_step_that_failed() -> None:
    """STEP of a failed run is the step that broke it; that of a completed one is empty."""
    failed = history.ActivityFailed(1, failure.Failure("PERDURE-1301", "ValueError", "no disk", attempts=2))
    ended = shown(schedule(1))
    end = [history.FailOrchestration(failed.failure)]
    projection.fold(ended, history.Turn(FINISHED, [failed], list(end)))

    built = build(Facts(1, instance=instance("Failed", error=error()), projection=ended))

    assert built["step"] == "deploy-postgres"
    assert built["steps"] == [
        {
            "seq": 1,
            "name": "deploy-postgres",
            "state": "Failed",
            "attempt": 2,
            "startedAt": "2026-01-01T00:00:02.000Z",
            "finishedAt": "2026-01-01T00:01:34.000Z",
            "error": "no disk",
        }
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0s"), (3.24, "3.2s"), (59.9, "59s"), (92, "1m32s"), (5 * 3600 + 7 * 60 + 9, "5h7m"), (273_600, "3d4h")],
)
def test_a_finished_run_says_how_long_it_took(seconds: float, said: str) -> None:
    """DURATION is written as kubectl writes ages, from the start of the code to the end."""
    run = dataclasses.replace(instance("Completed"), finished_at=STARTED + timedelta(seconds=seconds))

    built = build(Facts(1, instance=run))

    assert built["duration"] == said
    assert "duration" not in build(Facts(1, instance=INSTANCE))


@pytest.mark.parametrize(("output", "expected"), [(b'{"port":5432}', {"port": 5432}), (b"0", 0), (b'"x"', "x")])
def test_a_small_output_is_shown(output: bytes, expected: object) -> None:
    """What the orchestration returned stands in the status."""
    assert build(Facts(1, instance=instance("Completed", output=output)))["output"] == expected


def test_an_output_of_nothing_is_left_out() -> None:
    """An orchestration that returns None has no output to show."""
    assert "output" not in build(Facts(1, instance=instance("Completed", output=b"null")))


def test_a_large_output_is_named_instead_of_shown() -> None:
    """Above the limit the status says where the output is and how large."""
    output = msgspec.json.encode("x" * limits.STATUS_OUTPUT_BYTES)

    built = build(Facts(1, instance=instance("Completed", output=output)))

    assert "output" not in built
    assert built["outputRef"] == {"instanceId": "shop/db:1", "bytes": len(output)}


def test_whatever_a_run_is_made_of_its_status_stays_small() -> None:
    """The worst of everything at once fits, in characters of four bytes, and says what is missing."""
    huge = "𝄞" * limits.ERROR_MESSAGE_CHARACTERS
    folded = shown(
        *(schedule(seq, "𝄞" * limits.NAME_CHARACTERS) for seq in range(1, 30)),
        history.SetProgress(1, 2, "𝄞" * limits.PROGRESS_MESSAGE_CHARACTERS),
        history.SetCustomStatus(msgspec.Raw(b'"' + b"x" * (limits.CUSTOM_STATUS_BYTES - 2) + b'"')),
    )
    failures: list[history.Event] = [
        history.ActivityFailed(seq, failure.Failure("PERDURE-1301", "E", huge)) for seq in range(1, 30)
    ]
    projection.fold(folded, history.Turn(NOW, failures, []))
    run = instance(
        "Failed",
        error=error(huge, activity="𝄞" * limits.NAME_CHARACTERS),
        output=b'"' + b"x" * (limits.STATUS_OUTPUT_BYTES - 2) + b'"',
        instance_id="i" * limits.INSTANCE_ID_CHARACTERS,
    )

    built = build(Facts(1, instance=run, projection=folded, refusal=Refusal("InputInvalid", huge)))

    assert built["truncated"][0] == "steps"
    assert len(built["steps"]) < limits.STATUS_STEPS
    assert built["error"]["message"].endswith("(cut)")
    assert condition(built, "Ready")["message"].endswith("(cut)")


def test_a_custom_status_of_full_size_is_shown() -> None:
    """The author may use all of the room that the limit gives."""
    value = b'"' + b"x" * (limits.CUSTOM_STATUS_BYTES - 2) + b'"'

    built = build(
        Facts(1, instance=INSTANCE, projection=shown(schedule(1), history.SetCustomStatus(msgspec.Raw(value))))
    )

    assert len(built["customStatus"]) == limits.CUSTOM_STATUS_BYTES - 2
    assert "truncated" not in built

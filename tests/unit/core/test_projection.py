"""What people are shown of an instance, folded turn by turn.

The turns are written by hand, as the core writes them; no replay, no database. A day begins at midnight of `T0`, and
turn n comes n seconds later.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from perdure._core import failure, history, limits, projection, retry
from perdure._core.projection import Projection

T0 = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = history.OrchestrationStarted("w::o::demo", "1.0.0", msgspec.Raw(b"null"), 1)


def at(second: float) -> datetime:
    """Give a moment of the day."""
    return T0 + timedelta(seconds=second)


def folded(*turns: tuple[list[history.Event], list[history.Command]], into: Projection | None = None) -> Projection:
    """Fold turns, the n-th at second n."""
    result = into or Projection()
    for events, commands in turns:
        projection.fold(result, history.Turn(at(result.turns), events, commands))
    return result


def schedule(seq: int, name: str = "a::activity::step", *, max_attempts: int = 1) -> history.ScheduleActivity:
    """Ask for an activity."""
    return history.ScheduleActivity(seq, name, msgspec.Raw(b"{}"), retry.Retry(max_attempts=max_attempts))


def completed(seq: int) -> history.ActivityCompleted:
    """Return from an activity."""
    return history.ActivityCompleted(seq, msgspec.Raw(b"1"))


def failed(seq: int, message: str = "boom", *, attempts: int = 1) -> history.ActivityFailed:
    """Fail an activity for good."""
    return history.ActivityFailed(seq, failure.Failure("PERDURE-1301", "ValueError", message, attempts=attempts))


def test_a_step_runs_and_completes() -> None:
    """A scheduled activity is a running step under its short name, and a completed one when its result comes."""
    shown = folded(([STARTED], [schedule(1, "activities::activity::deploy", max_attempts=5)]))

    assert projection.steps(shown) == [projection.Step(1, "deploy", "Running", at(0), max_attempts=5)]
    assert shown.started_at == at(0)

    folded(([completed(1)], []), into=shown)

    assert projection.steps(shown) == [projection.Step(1, "deploy", "Completed", at(0), at(1), max_attempts=5)]
    assert shown.counts == projection.Counts(scheduled=1, completed=1)


def test_a_failed_step_keeps_its_error_and_its_attempts() -> None:
    """What went wrong and how often it was tried stay with the step."""
    shown = folded(([STARTED], [schedule(1)]), ([failed(1, "no disk", attempts=3)], []))

    (step,) = projection.steps(shown)
    assert (step.state, step.error, step.attempts) == ("Failed", "no disk", 3)
    assert shown.counts == projection.Counts(scheduled=1, failed=1)


def test_a_cancelled_step_stays_cancelled_when_its_result_comes_late() -> None:
    """A result after the cancellation of its activity changes nothing that is shown."""
    shown = folded(([STARTED], [schedule(1)]), ([], [history.CancelActivity(1)]), ([completed(1)], []))

    assert [step.state for step in projection.steps(shown)] == ["Cancelled"]
    assert shown.counts == projection.Counts(scheduled=1, cancelled=1)


def test_only_the_last_steps_are_shown_and_only_what_runs_is_kept() -> None:
    """A thousand steps later the projection is as small as after ten."""
    shown = folded(([STARTED], [schedule(1)]))

    for seq in range(1, 1_000):
        folded(([completed(seq)], [schedule(seq + 1)]), into=shown)

    assert [step.seq for step in projection.steps(shown)] == list(range(991, 1_001))
    assert len(shown.finished) == limits.STATUS_STEPS
    assert list(shown.running) == [1_000]
    assert shown.counts == projection.Counts(scheduled=1_000, completed=999)


def test_what_runs_is_shown_before_what_is_done() -> None:
    """The one step that everything waits for is shown, however many finished after it began."""
    shown = folded(([STARTED], [schedule(seq) for seq in range(1, 51)]))
    folded(([completed(seq) for seq in range(2, 51)], []), into=shown)

    seqs = [step.seq for step in projection.steps(shown)]

    assert seqs == [1, *range(42, 51)]


def test_many_running_steps_are_shown_oldest_first() -> None:
    """Of more running steps than there is room for, those that run longest are shown."""
    shown = folded(([STARTED], [schedule(seq) for seq in range(1, 101)]))

    assert [step.seq for step in projection.steps(shown)] == list(range(1, 11))


def test_the_earliest_timer_is_what_an_idle_instance_waits_for() -> None:
    """With no activity running, the instance waits for its earliest timer; a fired or cancelled one is none."""
    shown = folded(([STARTED], [history.CreateTimer(1, at(60)), history.CreateTimer(2, at(30)), schedule(3)]))
    assert shown.waits_until is None

    folded(([completed(3)], []), into=shown)
    assert shown.waits_until == at(30)

    folded(([history.TimerFired(2)], []), into=shown)
    assert shown.waits_until == at(60)

    folded(([], [history.CancelTimer(1)]), into=shown)
    assert shown.waits_until is None
    assert shown.counts.timers == 2


def test_the_author_says_how_far_the_instance_is() -> None:
    """Progress and custom status are the last that the code set."""
    shown = folded(
        ([STARTED], [history.SetProgress(1, 4, "one"), history.SetCustomStatus(msgspec.Raw(b'{"a":1}'))]),
        ([], [history.SetProgress(2, 4, "two")]),
    )

    assert shown.progress == projection.Progress(2, 4, "two")
    assert bytes(shown.custom_status or b"") == b'{"a":1}'


def test_a_later_execution_starts_its_steps_anew_and_keeps_what_the_author_said() -> None:
    """Numbers of steps begin again with an execution; progress, custom status and the start of the run stay."""
    shown = folded(
        ([STARTED], [schedule(1), history.CreateTimer(2, at(9)), history.SetProgress(1, 4)]),
        ([STARTED], [schedule(1, "a::activity::next")]),
    )

    assert [step.name for step in projection.steps(shown)] == ["next"]
    assert shown.counts == projection.Counts(scheduled=1)
    assert shown.waits_until is None
    assert shown.timers == {}
    assert shown.progress == projection.Progress(1, 4)
    assert shown.started_at == at(0)


def test_nothing_runs_for_an_instance_that_has_ended() -> None:
    """What was in flight at the end is shown as cancelled, and no timer is waited for."""
    outcome = history.FailOrchestration(failure.Failure("PERDURE-1200", "ValueError", "boom"))
    shown = folded(([STARTED], [schedule(1), schedule(2), history.CreateTimer(3, at(60))]), ([failed(1)], [outcome]))

    assert [step.state for step in projection.steps(shown)] == ["Failed", "Cancelled"]
    assert (shown.ending, shown.waits_until) == ("Failed", None)


def test_the_first_reason_to_cancel_is_the_one_shown() -> None:
    """A second cancel does not rewrite why the instance is being cancelled."""
    shown = folded(
        ([STARTED], [schedule(1)]),
        ([history.CancelRequested("mistake")], []),
        ([history.CancelRequested("again"), history.GraceEnded()], [history.CancelOrchestration("mistake")]),
    )

    assert (shown.cancel_reason, shown.ending) == ("mistake", "Cancelled")


def test_a_completed_instance_says_so() -> None:
    """The outcome of the last turn is the ending."""
    assert folded(([STARTED], [history.CompleteOrchestration(msgspec.Raw(b"1"))])).ending == "Completed"


def test_an_instance_shows_what_it_waits_for() -> None:
    """A signal by its name, a child by its id, since when; a wait is over with its signal, its child or its end."""
    child = history.ScheduleSubOrchestration(2, "w::o::child", msgspec.Raw(b"1"), "demo::sub::1.2")
    shown = folded(([STARTED], [history.WaitForSignal(1, "go"), child, history.WaitForSignal(3, "stop")]))

    assert list(shown.waits.values()) == [
        projection.Wait(1, "signal", "go", at(0)),
        projection.Wait(2, "child", "demo::sub::1.2", at(0)),
        projection.Wait(3, "signal", "stop", at(0)),
    ]

    folded(([history.SignalReceived("go", msgspec.Raw(b"1"))], []), into=shown)
    folded(([history.ChildCompleted(2, msgspec.Raw(b"1"))], [history.CancelWait(3)]), into=shown)

    assert shown.waits == {}


def test_a_signal_that_nobody_waits_for_ends_the_next_wait_for_it() -> None:
    """A wait that finds its signal is no wait; one that is given up in the same turn leaves it for the next."""
    go = history.SignalReceived("go", msgspec.Raw(b"1"))
    shown = folded(
        ([STARTED, go], []),
        ([], [history.WaitForSignal(1, "go"), history.CancelWait(1), history.WaitForSignal(2, "stop")]),
    )
    assert (list(shown.waits), shown.kept_signals) == ([2], {"go": 1})

    folded(([], [history.WaitForSignal(3, "go"), history.WaitForSignal(4, "go")]), into=shown)

    assert (list(shown.waits), shown.kept_signals) == ([2, 4], {})


def test_a_later_execution_waits_anew() -> None:
    """Children and waits are of one execution; signals come along as events of the next."""
    go = history.SignalReceived("go", msgspec.Raw(b"1"))
    child = history.ScheduleSubOrchestration(2, "w::o::child", msgspec.Raw(b"1"), "demo::sub::1.2")
    shown = folded(
        ([STARTED, go, go], [history.WaitForSignal(1, "stop"), child]),
        ([STARTED, go], [history.WaitForSignal(1, "go"), history.WaitForSignal(2, "go")]),
    )

    assert (list(shown.waits), shown.kept_signals) == ([2], {})


def test_the_author_says_whether_it_is_ready() -> None:
    """The last word counts, and stays over executions; before the first there is none."""
    assert folded(([STARTED], [])).readiness is None
    shown = folded(
        ([STARTED], [history.SetReady(False, "starting"), history.SetReady(True, "serving")]), ([STARTED], [])
    )

    assert shown.readiness == projection.Readiness(True, "serving")


def test_a_short_name_is_the_last_part() -> None:
    """Names are shown without the crate and kind they live in; a name of one part is itself."""
    names = ["activities::activity::deploy-postgres", "plain", "a::b"]

    assert [projection.short_name(name) for name in names] == ["deploy-postgres", "plain", "b"]

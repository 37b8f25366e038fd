"""What of an instance people are shown: its turns, folded one after the other into a few facts.

A `Projection` is fed every committed turn once, in order, and forgets what nobody is shown: finished steps beyond the
last `limits.STATUS_STEPS`. What it keeps is bounded by what is in flight, so it costs the same after ten turns and
after ten thousand. It knows neither the database nor the resource: `_kube.status` turns it into words for `kubectl`.

A later execution starts its steps and counts anew, since their numbers do; what the author said about the instance
(progress, custom status) stays until the author says something else.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from datetime import datetime
from typing import Literal, assert_never

import msgspec

from perdure._core import failure, history, limits

__all__ = [
    "Counts",
    "Ending",
    "Progress",
    "Projection",
    "Readiness",
    "Step",
    "StepState",
    "Timer",
    "Wait",
    "fold",
    "short_name",
    "steps",
]

StepState = Literal["Running", "Completed", "Failed", "Cancelled"]
Ending = Literal["Completed", "Failed", "Cancelled"]


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One activity of the current execution. `attempts` is 0 until the step failed; `max_attempts` is its policy's.

    `queue` is where it waits for a worker; empty for one that runs on the owner of its instance.
    """

    seq: int
    name: str
    state: StepState
    started_at: datetime
    finished_at: datetime | None = None
    attempts: int = 0
    max_attempts: int = 1
    error: str = ""
    queue: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Timer:
    """A timer that the code waits for, since when."""

    seq: int
    fire_at: datetime
    since: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """A signal or a child that the code waits for, since when. `name` is the signal's, or the child's instance id."""

    seq: int
    kind: Literal["signal", "child"]
    name: str
    since: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the author says that what the instance looks after is ready."""

    ready: bool
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far the author says the instance is."""

    done: int
    total: int
    message: str = ""


@dataclasses.dataclass(slots=True)
class Counts:
    """How many activities of the current execution were scheduled and how they ended, and how many timers were made."""

    scheduled: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    timers: int = 0


@dataclasses.dataclass(slots=True)
class Projection:
    """The facts so far. `turns` counts the turns folded; `started_at` is the first turn of the first execution."""

    turns: int = 0
    started_at: datetime | None = None
    running: dict[int, Step] = dataclasses.field(default_factory=dict)
    finished: deque[Step] = dataclasses.field(default_factory=lambda: deque(maxlen=limits.STATUS_STEPS))
    timers: dict[int, Timer] = dataclasses.field(default_factory=dict)
    kept_signals: Counter[str] = dataclasses.field(default_factory=Counter)
    waits: dict[int, Wait] = dataclasses.field(default_factory=dict)
    counts: Counts = dataclasses.field(default_factory=Counts)
    progress: Progress | None = None
    readiness: Readiness | None = None
    custom_status: msgspec.Raw | None = None
    cancel_reason: str | None = None
    cancelled_at: datetime | None = None
    ending: Ending | None = None

    @property
    def waits_until(self) -> datetime | None:
        """The earliest timer, when no activity runs."""
        if self.running or not self.timers:
            return None
        return min(timer.fire_at for timer in self.timers.values())


def fold(projection: Projection, turn: history.Turn) -> None:
    """Take in one more committed turn. Turns come once each, in the order of their numbers."""
    if projection.started_at is None:
        projection.started_at = turn.at
    for event in turn.events:
        _take_event(projection, event, at=turn.at)
    for command in turn.commands:
        _take_command(projection, command, at=turn.at)
    _end_waits(projection)
    projection.turns += 1


def steps(projection: Projection) -> list[Step]:
    """Give the steps worth showing, at most `limits.STATUS_STEPS`, by number.

    What runs goes before what is done, the longest running first: it is what the instance waits for.
    """
    running = [step for _, step in zip(range(limits.STATUS_STEPS), projection.running.values(), strict=False)]
    room = limits.STATUS_STEPS - len(running)
    finished = list(projection.finished)[-room:] if room else []
    return sorted([*finished, *running], key=lambda step: step.seq)


def short_name(name: str) -> str:
    """Give the last part of a name: `deploy-postgres` of `activities::activity::deploy-postgres`."""
    return name.rpartition("::")[2]


def _take_event(projection: Projection, event: history.Event, *, at: datetime) -> None:
    match event:
        case history.OrchestrationStarted():
            _begin_execution(projection)
        case history.ActivityCompleted(seq=seq):
            _finish(projection, seq, state="Completed", at=at)
        case history.ActivityFailed(seq=seq, failure=error):
            _finish(projection, seq, state="Failed", at=at, error=error)
        case history.TimerFired(seq=seq):
            projection.timers.pop(seq, None)
        case history.SignalReceived(name=name):
            projection.kept_signals[name] += 1
        case history.ChildCompleted(seq=seq) | history.ChildFailed(seq=seq):
            projection.waits.pop(seq, None)
        case history.CancelRequested(reason=reason):
            if projection.cancel_reason is None:
                projection.cancel_reason, projection.cancelled_at = reason, at
        case history.GraceEnded() | history.SignalRefused():
            pass  # what comes of it follows in the same turn
        case _:
            assert_never(event)


def _take_command(projection: Projection, command: history.Command, *, at: datetime) -> None:
    match command:
        case history.ScheduleActivity(seq=seq, name=name, retry=retry, queue=queue):
            step = Step(seq, short_name(name), "Running", at, max_attempts=retry.max_attempts, queue=queue)
            projection.running[seq] = step
            projection.counts.scheduled += 1
        case history.CancelActivity(seq=seq):
            _finish(projection, seq, state="Cancelled", at=at)
        case history.CreateTimer(seq=seq, fire_at=fire_at):
            projection.timers[seq] = Timer(seq, fire_at, at)
            projection.counts.timers += 1
        case history.CancelTimer(seq=seq):
            projection.timers.pop(seq, None)
        case history.WaitForSignal(seq=seq, name=name):
            projection.waits[seq] = Wait(seq, "signal", name, at)
        case history.ScheduleSubOrchestration(seq=seq, instance_id=child):
            projection.waits[seq] = Wait(seq, "child", child, at)
        case history.CancelWait(seq=seq) | history.CancelSubOrchestration(seq=seq):
            projection.waits.pop(seq, None)
        case history.StartOrchestration() | history.SendSignal():
            pass  # nothing is waited for
        case _:
            _take_word(projection, command, at=at)


Word = history.SetCustomStatus | history.SetProgress | history.SetReady | history.Outcome


def _take_word(projection: Projection, command: Word, *, at: datetime) -> None:
    """Take what the code says of itself, its end among it."""
    match command:
        case history.SetCustomStatus(value=value):
            projection.custom_status = value.copy()  # a view would keep the whole turn in memory
        case history.SetProgress(done=done, total=total, message=message):
            projection.progress = Progress(done, total, message)
        case history.SetReady(ready=ready, message=message):
            projection.readiness = Readiness(ready, message)
        case history.CompleteOrchestration():
            _end(projection, "Completed", at=at)
        case history.FailOrchestration():
            _end(projection, "Failed", at=at)
        case history.CancelOrchestration():
            _end(projection, "Cancelled", at=at)
        case history.ContinueAsNew():
            pass  # the next execution begins with its OrchestrationStarted
        case _:
            assert_never(command)


def _end_waits(projection: Projection) -> None:
    """Give the kept signals to the waits that are left at the end of a turn: one that was given up takes none."""
    for seq, wait in list(projection.waits.items()) if projection.kept_signals else ():
        if wait.kind == "signal" and projection.kept_signals[wait.name]:
            del projection.waits[seq]
            projection.kept_signals[wait.name] -= 1
    projection.kept_signals = +projection.kept_signals


def _begin_execution(projection: Projection) -> None:
    projection.running.clear()
    projection.waits.clear()
    projection.kept_signals.clear()
    projection.finished.clear()
    projection.timers.clear()
    projection.counts = Counts()


def _finish(
    projection: Projection, seq: int, *, state: Ending, at: datetime, error: failure.Failure | None = None
) -> None:
    """End a running step. A result that comes after its cancellation finds none and says nothing new."""
    step = projection.running.pop(seq, None)
    if step is None:
        return
    match state:
        case "Completed":
            projection.counts.completed += 1
        case "Failed":
            projection.counts.failed += 1
        case "Cancelled":
            projection.counts.cancelled += 1
    ended = dataclasses.replace(step, state=state, finished_at=at)
    if error is not None:
        ended = dataclasses.replace(ended, attempts=error.attempts, error=error.message)
    projection.finished.append(ended)


def _end(projection: Projection, ending: Ending, *, at: datetime) -> None:
    """Nothing runs for an instance that has ended: what was in flight is abandoned."""
    for seq in list(projection.running):
        _finish(projection, seq, state="Cancelled", at=at)
    projection.timers.clear()
    projection.waits.clear()
    projection.ending = ending

"""A resident: an instance that this worker owns, with its coroutine in memory (hot).

Only data and the questions about it. Who changes what: the claimer makes residents, the committer takes their turns,
the runner works on their activities, the timers wake them. A resident that is `is_gone` belongs to somebody else now;
whatever still arrives for it is dropped.
"""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from perdure import errors
from perdure._core import history, replay
from perdure._core.definition import AnyOrchestration
from perdure._core.operation import Operation

if TYPE_CHECKING:
    from perdure._engine.activities import LocalJob

__all__ = ["Committed", "Parent", "Resident", "due_or_none"]


class Parent(NamedTuple):
    """Who waits for the end of an instance: the id, its execution, and the number of the asking."""

    instance_id: str
    execution: int
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """What the world may be shown: this instance of a resource has moved."""

    instance_id: str
    resource_uid: uuid.UUID
    phase: str
    phase_changed: bool


@dataclasses.dataclass(slots=True, eq=False)
class Resident:
    """One owned instance. `turn` is the number of the next turn; `events` is what has come in since the last.

    `messages` are the rows of its inbox that were read, each with the event that was made of it (None: of no use);
    `seen_messages` keeps them from being read twice, `forgettable` are those whose deletion is committed. `failure`
    ends it in its next turn; `orphans` are children of code that can no longer speak for them. With `recoveries` owners
    may have died of its code: it is tried (`trials.py`). By `created_at` it is told from a later one of the same id.
    """

    instance_id: str
    run_as: str
    resource_uid: uuid.UUID | None
    execution: replay.Execution
    turn: int
    phase: str
    parent: Parent | None = None
    created_at: datetime.datetime | None = None
    on_nondeterminism: str = "Hold"
    is_suspended: bool = False
    is_terminated: bool = False
    recoveries: int = 0
    failure: Exception | None = None
    orphans: list[str] = dataclasses.field(default_factory=list)
    events: list[history.Event] = dataclasses.field(default_factory=list)
    messages: list[tuple[int, history.Event | None]] = dataclasses.field(default_factory=list)
    seen_messages: set[int] = dataclasses.field(default_factory=set)
    forgettable: set[int] = dataclasses.field(default_factory=set)
    over_tasks: list[int] = dataclasses.field(default_factory=list)
    jobs: dict[int, LocalJob] = dataclasses.field(default_factory=dict)
    is_queued: bool = False
    is_in_flight: bool = False
    is_gone: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether it only waits: no activity here, no turn to take or under way."""
        return not (self.jobs or self.events or self.is_queued or self.is_in_flight)

    @property
    def is_working(self) -> bool:
        """Whether an activity of it still runs here, were it only to clean up after a cancel."""
        return any(job.task is not None and not job.task.done() for job in self.jobs.values())

    @property
    def takes_turns(self) -> bool:
        """Whether it may take one: it is ours, not paused, and not on its way to who has its next version."""
        return not (self.is_gone or self.is_suspended or self.execution.outcome is not None)

    @property
    def may_leave(self) -> bool:
        """Whether it is paused, or its next version is not offered here, and nothing of it goes on here."""
        if self.is_gone or self.is_in_flight:
            return False
        return self.execution.outcome is not None or (self.is_suspended and not self.is_working)

    @property
    def has_news(self) -> bool:
        """Whether there is something for a turn to take in, were it a message of no use whose row is to go."""
        return bool(self.events or self.messages or self.failure)

    @property
    def is_to_end(self) -> bool:
        """Whether it was asked to end: its code knows already, or will in its next turn."""
        return self.execution.is_cancelling or any(isinstance(e, history.CancelRequested) for e in self.events)

    @property
    def children(self) -> list[str]:
        """The children that it waits for, and those that an earlier copy of its code has left behind."""
        commands = (operation.command for operation in self.execution.pending.values())
        asked = (c.instance_id for c in commands if isinstance(c, history.ScheduleSubOrchestration))
        return list(dict.fromkeys([*self.orphans, *asked]))

    @property
    def results(self) -> set[int]:
        """The activities and timers whose ends are here, for the next turn to take in."""
        ends = (history.ActivityCompleted, history.ActivityFailed, history.TimerFired)
        return {event.seq for event in self.events if isinstance(event, ends)}

    @property
    def to_run(self) -> list[Operation]:
        """The activities that its owner runs: without a queue or a result, of code that fits its history."""
        results = self.results
        return [
            operation
            for seq, operation in self.execution.pending.items()
            if self.failure is None
            and isinstance(operation.command, history.ScheduleActivity)
            and not (operation.command.queue or seq in results)
        ]

    @property
    def unwritten(self) -> list[history.Event]:
        """Results that came in from activities that ran here, and stand nowhere else yet."""
        if self.execution.outcome is not None:
            return []  # nobody waits for them any more
        written = [event for _, event in self.messages]
        results = [e for e in self.events if isinstance(e, history.ActivityCompleted | history.ActivityFailed)]
        return [result for result in results if not any(result is event for event in written)]

    def moments(self, events: Sequence[history.Event]) -> list[datetime.datetime]:
        """Give when the timers came due that rang: their turn is no earlier, however late this worker's clock is."""
        rung = [self.execution.pending.get(event.seq) for event in events if isinstance(event, history.TimerFired)]
        return [at for operation in rung if operation is not None and (at := due_or_none(operation)) is not None]

    def child_key(self, child: history.ScheduleSubOrchestration) -> tuple[str, int, int, str]:
        """Give what a child's row must say to be the one that was asked for here."""
        return self.instance_id, self.execution.identity.execution, child.seq, child.instance_id

    def fails_on(self, error: Exception) -> bool:
        """Whether an error of its code against its history ends it, instead of putting it on hold."""
        return self.on_nondeterminism == "Fail" and isinstance(error, errors.NondeterminismError)

    def end_by_force(self, cancels: list[history.Event]) -> None:
        """Let the next turn end it without its code, which can never take these cancels in."""
        definition, identity = self.execution.definition, self.execution.identity
        self.orphans = self.children
        self.execution.close()
        self.execution = replay.Execution(definition, identity)
        self.events = [*cancels, history.GraceEnded(is_termination=self.is_terminated)]

    def begin_execution(self, definition: AnyOrchestration, execution: int, *, events: list[history.Event]) -> None:
        """Take the place of the execution that has ended; what came in for the instance, not for that one, stays."""
        meant_for_any = (history.SignalReceived, history.CancelRequested)
        self.execution.close()
        self.execution = replay.Execution(definition, replay.Identity(self.instance_id, execution))
        self.events = [*events, *(event for event in self.events if isinstance(event, meant_for_any))]
        self.over_tasks = []

    def next_timer_or_none(self) -> datetime.datetime | None:
        """Give when time alone changes something: its earliest timer, or the end of a queued activity's time."""
        return min((due for o in self.execution.pending.values() if (due := due_or_none(o)) is not None), default=None)

    def wake_at_or_none(self, now: datetime.datetime) -> datetime.datetime | None:
        """Give when the next owner has something to do: now for work under way, else the earliest timer."""
        execution = self.execution
        is_over = execution.outcome is not None  # the next one has not begun
        if is_over or not self.is_idle or self._has_pending_activity() or execution.is_cancelling or self.turn == 0:
            return now
        return self.next_timer_or_none()

    def _has_pending_activity(self) -> bool:
        """Whether an activity waits that runs on its owner, whoever that will be."""
        commands = (operation.command for operation in self.execution.pending.values())
        return any(isinstance(c, history.ScheduleActivity) and not c.queue for c in commands)


def due_or_none(operation: Operation) -> datetime.datetime | None:
    """Give when time ends an operation: that of a timer, that of a queued activity with a total timeout."""
    match operation.command:
        case history.CreateTimer(fire_at=fire_at):
            return fire_at
        case history.ScheduleActivity(queue=queue, total_timeout=seconds) if queue and seconds is not None:
            return operation.asked_at + datetime.timedelta(seconds=seconds)
        case _:
            return None

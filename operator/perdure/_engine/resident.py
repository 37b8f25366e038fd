"""A resident: an instance that this worker owns, with its coroutine in memory (hot).

Only data and the questions about it. Who changes what: the claimer makes residents, the committer takes their turns,
the runner works on their activities, the timers wake them. A resident that is `is_gone` belongs to somebody else now;
whatever still arrives for it is dropped.
"""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from typing import TYPE_CHECKING

from perdure._core import history, replay

if TYPE_CHECKING:
    from perdure._engine.activities import Job

__all__ = ["Committed", "Resident"]


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """What the world may be shown: this instance of a resource has moved."""

    instance_id: str
    resource_uid: uuid.UUID
    phase: str
    phase_changed: bool


@dataclasses.dataclass(slots=True, eq=False)
class Resident:
    """One owned instance. `turn` is the number of the next turn; `events` is what has come in since the last."""

    instance_id: str
    run_as: str
    resource_uid: uuid.UUID | None
    execution: replay.Execution
    turn: int
    phase: str
    events: list[history.Event] = dataclasses.field(default_factory=list)
    messages: list[int] = dataclasses.field(default_factory=list)
    seen_messages: set[int] = dataclasses.field(default_factory=set)
    over_tasks: list[int] = dataclasses.field(default_factory=list)
    jobs: dict[int, Job] = dataclasses.field(default_factory=dict)
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

    def end_by_force(self, cancels: list[history.Event]) -> None:
        """Let the next turn end it without its code, which can never take these cancels in."""
        definition, identity = self.execution.definition, self.execution.identity
        self.execution.close()
        self.execution = replay.Execution(definition, identity)
        self.events = [*cancels, history.GraceEnded()]

    def next_timer_or_none(self) -> datetime.datetime | None:
        """Give the moment of its earliest timer."""
        commands = (operation.command for operation in self.execution.pending.values())
        return min((c.fire_at for c in commands if isinstance(c, history.CreateTimer)), default=None)

    def wake_at_or_none(self, now: datetime.datetime) -> datetime.datetime | None:
        """Give when the next owner has something to do: now for work under way, else the earliest timer."""
        if not self.is_idle or self._has_pending_activity() or self.execution.is_cancelling or self.turn == 0:
            return now
        return self.next_timer_or_none()

    def _has_pending_activity(self) -> bool:
        commands = (operation.command for operation in self.execution.pending.values())
        return any(isinstance(command, history.ScheduleActivity) for command in commands)

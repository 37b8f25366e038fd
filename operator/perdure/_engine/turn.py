"""A turn that was taken in memory and is to be committed, with what it asks of others.

What a turn asks of others (instances to start, messages, activities for a queue) is read from its commands and written
by the same statement as the turn itself: there is no second step that a crash could lose. What is asked for and given
up in the same turn is not asked for at all.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from perdure import errors
from perdure._core import failure, history, lifecycle, limits, replay
from perdure._core.definition import AnyOrchestration
from perdure._engine.resident import Resident

__all__ = ["Message", "Read", "Start", "TakenTurn"]

Read = tuple[int, history.Event | None]
"""A row of the inbox that was read, and the event that was made of it."""
Start = history.ScheduleSubOrchestration | history.StartOrchestration
_encode_reason = msgspec.json.Encoder().encode
_NOTHING = replay.Turned([], [], None)
_QUIET = frozenset(
    {
        history.SetCustomStatus,
        history.SetProgress,
        history.SetReady,
        history.CreateTimer,
        history.CancelTimer,
        history.WaitForSignal,
        history.CancelWait,
        history.CompleteOrchestration,
        history.FailOrchestration,
        history.CancelOrchestration,
        history.ContinueAsNew,
    }
)
"""What asks nothing of others; nor does an activity without a queue."""


class Message(NamedTuple):
    """A row for somebody's inbox; `execution` is whose execution it is for, None for any."""

    instance_id: str
    kind: str
    payload: bytes
    execution: int | None = None


@dataclasses.dataclass(slots=True, eq=False)
class TakenTurn:
    """One turn of one resident. `body` is its row; the rest is what the commit carries out beside it.

    `read` and `ended_tasks` are what was the resident's of messages and tasks, should the turn be taken back. What
    follows from `turned` stands beside it, set by `note_turned` alone.
    """

    resident: Resident
    at: datetime.datetime
    events: list[history.Event]
    messages: list[int]
    over_tasks: list[int]
    read: Sequence[Read] = ()
    ended_tasks: Sequence[int] = ()
    turned: replay.Turned = dataclasses.field(default=_NOTHING, init=False)
    phase: str = dataclasses.field(default=lifecycle.phase_after(None), init=False)
    continues: history.ContinueAsNew | None = dataclasses.field(default=None, init=False)
    is_last: bool = dataclasses.field(default=False, init=False)
    body: bytes = b""
    starts: Sequence[Start] = ()
    sent: Sequence[Message] = ()
    queued: Sequence[history.ScheduleActivity] = ()
    unstarted: Sequence[Start] = ()
    next_definition: AnyOrchestration | None = None

    def note_turned(self, turned: replay.Turned) -> None:
        """Note what the code asks for, and what that makes of the instance."""
        self.turned, outcome = turned, turned.outcome
        self.phase = lifecycle.phase_after(outcome)
        self.continues = outcome if isinstance(outcome, history.ContinueAsNew) else None
        self.is_last = outcome is not None and self.continues is None

    def encode(self) -> None:
        """Write the row; code that asks for too much at once, or for what cannot be written, has failed."""
        try:
            self.body = history.encode_turn(self.events, self.turned.commands)
        except Exception as error:  # noqa: BLE001 - one instance's trouble must not stop the others
            self.fail(error, [])
        else:
            if len(self.body) > limits.TURN_BYTES + limits.PAYLOAD_BYTES:
                self.fail(_too_large(len(self.body)), self.events)
            else:
                self._ask_others()

    def fail(self, error: Exception, events: list[history.Event]) -> None:
        """End the instance here, without what its code asked for; its children are asked to end."""
        given_up = [c.instance_id for c in self.turned.commands if isinstance(c, history.CancelSubOrchestration)]
        open_children = dict.fromkeys([*self.resident.children, *given_up])
        outcome = history.FailOrchestration(failure.of(error))
        self.events = events
        self.note_turned(replay.Turned([outcome], [], outcome))
        self.resident.execution.outcome = outcome
        self.body = history.encode_turn(self.events, self.turned.commands)
        self.starts, self.queued = (), ()
        self.sent = [_cancel(child, "The parent failed.") for child in open_children]
        self._tell_parent()

    def give_back(self, refused_by: Sequence[str]) -> None:
        """Let the resident take this turn anew, told who takes no signals."""
        resident = self.resident
        refusals = [history.SignalRefused(instance_id) for instance_id in refused_by]
        is_first = isinstance(self.events[0], history.OrchestrationStarted) if self.events else False
        resident.events = [*self.events[:is_first], *refusals, *self.events[is_first:], *resident.events]
        resident.messages = [*self.read, *resident.messages]
        resident.over_tasks = [*self.ended_tasks, *resident.over_tasks]

    @property
    def asks_others(self) -> bool:
        """Whether something is to be started, sent or queued."""
        return bool(self.starts or self.sent or self.queued)

    @property
    def cleans_up(self) -> bool:
        """Whether rows are to go: of messages taken in, tasks that are over, or all that an execution leaves."""
        return bool(self.messages or self.over_tasks) or self.turned.outcome is not None

    @property
    def next_version(self) -> str:
        """The version of the instance after this turn; '' stands for the highest of whoever claims it."""
        if self.continues is None:
            return self.resident.execution.definition.version
        return self.continues.version if self.next_definition is None else self.next_definition.version

    @property
    def unstarted_children(self) -> list[history.ScheduleSubOrchestration]:
        """Those that were not started of the children that it waits for."""
        return [start for start in self.unstarted if isinstance(start, history.ScheduleSubOrchestration)]

    def note_started(self, started: Mapping[str, tuple[str | None, int | None]]) -> None:
        """Note what was not started by this commit, as far as its answer tells: ids, each with its parent and seq."""
        self.unstarted = [start for start in self.starts if started.get(start.instance_id) != self._asked_by(start)]

    def _asked_by(self, start: Start) -> tuple[str | None, int | None]:
        """Give the parent and seq that the row of what was started must have."""
        is_child = isinstance(start, history.ScheduleSubOrchestration)
        return (self.resident.instance_id, start.seq) if is_child else (None, None)

    def _ask_others(self) -> None:
        """Read what others are to be given; most turns ask for nothing but an activity of their own."""
        commands = [
            command
            for command in self.turned.commands
            if type(command) not in _QUIET and (type(command) is not history.ScheduleActivity or command.queue)
        ]
        if commands:
            self._sort_out(commands)
        if self.resident.orphans:
            self.sent = [*self.sent, *(_cancel(child, self._why()) for child in self.resident.orphans)]
        if self.is_last:
            self._tell_parent()

    def _sort_out(self, commands: Sequence[history.Command]) -> None:
        """Tell what is to be started, sent and queued from what is given up again in the same turn."""
        dropped = {c.seq for c in commands if isinstance(c, history.CancelActivity | history.CancelSubOrchestration)}
        begun = set()
        starts: list[Start] = []
        sent: list[Message] = []
        queued: list[history.ScheduleActivity] = []
        for command in commands:
            match command:
                case history.ScheduleActivity() if command.seq not in dropped:
                    if self.turned.outcome is None:
                        queued.append(command)
                case history.ScheduleSubOrchestration():
                    begun.add(command.seq)
                    if command.seq not in dropped:
                        starts.append(command)
                case history.StartOrchestration():
                    starts.append(command)
                case history.CancelSubOrchestration() if command.seq not in begun:
                    sent.append(_cancel(command.instance_id, self._why()))
                case history.CancelActivity():
                    self.over_tasks.append(command.seq)
                case history.SendSignal():
                    signal = history.SignalReceived(command.name, command.payload)
                    sent.append(Message(command.instance_id, "Signal", history.encode_event(signal)))
                case _:
                    continue
        self.starts, self.sent, self.queued = starts, sent, queued

    def _why(self) -> str:
        """Say to a child why it is to end."""
        if self.continues is not None:
            return "The parent continued as new."
        return "The parent has ended." if self.is_last else "The parent no longer waits for it."

    def _tell_parent(self) -> None:
        parent = self.resident.parent
        if parent is None:
            return
        outcome = self.turned.outcome
        event: history.Event
        if isinstance(outcome, history.CompleteOrchestration):
            event = history.ChildCompleted(parent.seq, outcome.output)
        else:
            event = history.ChildFailed(parent.seq, lifecycle.failure_of(outcome))
        message = Message(parent.instance_id, "Event", history.encode_event(event), parent.execution)
        self.sent = [*self.sent, message]


def _cancel(instance_id: str, reason: str) -> Message:
    return Message(instance_id, "Cancel", _encode_reason({"reason": reason}))


def _too_large(size: int) -> errors.PayloadTooLargeError:
    return errors.PayloadTooLargeError(
        f"The orchestration asks for {size} bytes in one turn, the limit is {limits.TURN_BYTES}. Ask for less at once "
        "(join in portions), or pass references instead of data."
    )

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
_QUIET = (history.SetCustomStatus, history.SetProgress, history.SetReady, history.CreateTimer, history.CancelTimer)


class Message(NamedTuple):
    """A row for somebody's inbox; `execution` is whose execution it is for, None for any."""

    instance_id: str
    kind: str
    payload: bytes
    execution: int | None = None


@dataclasses.dataclass(slots=True, eq=False)
class TakenTurn:
    """One turn of one resident. `body` is its row; the rest is what the commit carries out beside it.

    `read` and `ended_tasks` are what was the resident's of messages and tasks, should the turn be taken back.
    """

    resident: Resident
    at: datetime.datetime
    events: list[history.Event]
    turned: replay.Turned
    messages: list[int]
    over_tasks: list[int]
    read: list[Read] = dataclasses.field(default_factory=list)
    ended_tasks: list[int] = dataclasses.field(default_factory=list)
    body: bytes = b""
    starts: list[Start] = dataclasses.field(default_factory=list)
    sent: list[Message] = dataclasses.field(default_factory=list)
    queued: list[history.ScheduleActivity] = dataclasses.field(default_factory=list)
    unstarted: list[Start] = dataclasses.field(default_factory=list)
    next_definition: AnyOrchestration | None = None

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
        self.events, self.turned = events, replay.Turned([outcome], [], outcome)
        self.resident.execution.outcome = outcome
        self.body = history.encode_turn(self.events, self.turned.commands)
        self.starts, self.queued = [], []
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
    def phase(self) -> str:
        """The phase of the instance after this turn."""
        return lifecycle.phase_after(self.turned.outcome)

    @property
    def continues(self) -> history.ContinueAsNew | None:
        """What the next execution begins with, when this turn ends one."""
        outcome = self.turned.outcome
        return outcome if isinstance(outcome, history.ContinueAsNew) else None

    @property
    def is_last(self) -> bool:
        """Whether the instance has ended."""
        return self.turned.outcome is not None and self.continues is None

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
        for start in self.starts:
            is_child = isinstance(start, history.ScheduleSubOrchestration)
            asked_by = (self.resident.instance_id, start.seq) if is_child else (None, None)
            if started.get(start.instance_id) != asked_by:
                self.unstarted.append(start)

    def _ask_others(self) -> None:
        loud = [command for command in self.turned.commands if not isinstance(command, _QUIET)]
        dropped = {c.seq for c in loud if isinstance(c, history.CancelActivity | history.CancelSubOrchestration)}
        begun = set()
        for command in loud:
            match command:
                case history.ScheduleActivity() if command.queue and command.seq not in dropped:
                    if self.turned.outcome is None:
                        self.queued.append(command)
                case history.ScheduleSubOrchestration():
                    begun.add(command.seq)
                    if command.seq not in dropped:
                        self.starts.append(command)
                case history.StartOrchestration():
                    self.starts.append(command)
                case history.CancelSubOrchestration() if command.seq not in begun:
                    self.sent.append(_cancel(command.instance_id, self._why()))
                case history.CancelActivity():
                    self.over_tasks.append(command.seq)
                case history.SendSignal():
                    signal = history.SignalReceived(command.name, command.payload)
                    self.sent.append(Message(command.instance_id, "Signal", history.encode_event(signal)))
                case _:
                    continue
        self.sent += [_cancel(child, self._why()) for child in self.resident.orphans]
        if self.is_last:
            self._tell_parent()

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
        self.sent.append(Message(parent.instance_id, "Event", history.encode_event(event), parent.execution))


def _cancel(instance_id: str, reason: str) -> Message:
    return Message(instance_id, "Cancel", _encode_reason({"reason": reason}))


def _too_large(size: int) -> errors.PayloadTooLargeError:
    return errors.PayloadTooLargeError(
        f"The orchestration asks for {size} bytes in one turn, the limit is {limits.TURN_BYTES}. Ask for less at once "
        "(join in portions), or pass references instead of data."
    )

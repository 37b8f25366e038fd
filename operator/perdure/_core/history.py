"""The words of history: events (facts that came in) and commands (what the code asked for), turn by turn.

One `Turn` is one row: what came in, what the code asked for because of it, and the database's time. A command is kept
as it was asked; when the turn is committed it is a fact. Operations are numbered by `seq` in the order in which the
code asked for them, from 1 in each execution; results name the `seq` they belong to.

The JSON form is a promise: recorded histories of every release are replayed for ever (`PROTOCOL`). Fields may be added
with defaults, never renamed or removed.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from perdure._core import failure, retry

__all__ = [
    "PROTOCOL",
    "ActivityCompleted",
    "ActivityFailed",
    "CancelActivity",
    "CancelOrchestration",
    "CancelRequested",
    "CancelSubOrchestration",
    "CancelTimer",
    "CancelWait",
    "ChildCompleted",
    "ChildFailed",
    "Command",
    "CompleteOrchestration",
    "ContinueAsNew",
    "CreateTimer",
    "Event",
    "FailOrchestration",
    "GraceEnded",
    "OrchestrationStarted",
    "Outcome",
    "ScheduleActivity",
    "ScheduleSubOrchestration",
    "SendSignal",
    "SetCustomStatus",
    "SetProgress",
    "SetReady",
    "SignalReceived",
    "SignalRefused",
    "StartOrchestration",
    "TimerFired",
    "Turn",
    "WaitForSignal",
    "decode_carried",
    "decode_event",
    "decode_turn",
    "encode_carried",
    "encode_command",
    "encode_event",
    "encode_turn",
]

PROTOCOL = 1
"""The version of this vocabulary; written into every `OrchestrationStarted`."""


class _Record(msgspec.Struct, frozen=True, tag_field="type", tag=True, omit_defaults=True, kw_only=False, gc=False):
    """Base of all events and commands: `{"type": "<class name>", ...}`."""


# Events: facts that came in.


class OrchestrationStarted(_Record, frozen=True):
    """The first event of every execution."""

    name: str
    version: str
    input: msgspec.Raw
    protocol: int


class ActivityCompleted(_Record, frozen=True):
    """An activity returned."""

    seq: int
    result: msgspec.Raw


class ActivityFailed(_Record, frozen=True):
    """An activity failed for good, after all its attempts."""

    seq: int
    failure: failure.Failure


class TimerFired(_Record, frozen=True):
    """A timer came due."""

    seq: int


class SignalReceived(_Record, frozen=True):
    """Somebody sent a named message; it stays until the code waits for it."""

    name: str
    payload: msgspec.Raw


class SignalRefused(_Record, frozen=True):
    """An instance has too many signals to take those of this turn: in this turn sending it one is an error."""

    instance_id: str


class ChildCompleted(_Record, frozen=True):
    """A sub-orchestration returned."""

    seq: int
    result: msgspec.Raw


class ChildFailed(_Record, frozen=True):
    """A sub-orchestration failed, was cancelled, or could not be started."""

    seq: int
    failure: failure.Failure


class CancelRequested(_Record, frozen=True):
    """Somebody asked for the end of the instance, or its time is over: then it ends as failed."""

    reason: str
    is_timeout: bool = False


class GraceEnded(_Record, frozen=True):
    """The instance is ended by force: compensation after a cancel took too long, or somebody terminated it."""

    is_termination: bool = False


Event = (
    OrchestrationStarted
    | ActivityCompleted
    | ActivityFailed
    | TimerFired
    | SignalReceived
    | SignalRefused
    | ChildCompleted
    | ChildFailed
    | CancelRequested
    | GraceEnded
)

# Commands: what the code asked for.


class ScheduleActivity(_Record, frozen=True):
    """Run an activity. Timeouts are seconds; `retry.timeout` bounds one attempt, `total_timeout` all of them.

    An attempt that does not beat for `heartbeat_timeout` has failed. With a `queue` it runs on whoever serves that
    queue, else on the owner of the instance. Of those that wait for a slot the higher `priority` goes first.
    """

    seq: int
    name: str
    input: msgspec.Raw
    retry: retry.Retry = retry.Retry()
    total_timeout: float | None = None
    queue: str = ""
    priority: int = 0
    heartbeat_timeout: float | None = None


class CancelActivity(_Record, frozen=True):
    """Nobody waits for this activity any more."""

    seq: int


class CreateTimer(_Record, frozen=True):
    """Wake the code at a moment of the database's clock."""

    seq: int
    fire_at: datetime


class CancelTimer(_Record, frozen=True):
    """Nobody waits for this timer any more."""

    seq: int


class WaitForSignal(_Record, frozen=True):
    """Give the code the next signal of this name that nobody has waited for."""

    seq: int
    name: str


class CancelWait(_Record, frozen=True):
    """Nobody waits for this signal any more; the next one goes to whoever waits next."""

    seq: int


class ScheduleSubOrchestration(_Record, frozen=True):
    """Start a child and wait for its end. An empty version is the highest."""

    seq: int
    name: str
    input: msgspec.Raw
    instance_id: str
    version: str = ""


class CancelSubOrchestration(_Record, frozen=True):
    """Nobody waits for this child any more: it is asked to end."""

    seq: int
    instance_id: str


class StartOrchestration(_Record, frozen=True):
    """Start an instance that goes its own way. An empty version is the highest."""

    seq: int
    name: str
    input: msgspec.Raw
    instance_id: str
    version: str = ""


class SendSignal(_Record, frozen=True):
    """Send a named message to another instance; one that is not there or has ended does not get it."""

    seq: int
    instance_id: str
    name: str
    payload: msgspec.Raw


class SetReady(_Record, frozen=True):
    """Show whether what this instance looks after is ready. Not compared on replay."""

    ready: bool
    message: str = ""


class SetCustomStatus(_Record, frozen=True):
    """Show a value of the author's to people. Not compared on replay."""

    value: msgspec.Raw


class SetProgress(_Record, frozen=True):
    """Show how far the instance is. Not compared on replay."""

    done: int
    total: int
    message: str = ""


class CompleteOrchestration(_Record, frozen=True):
    """The code returned."""

    output: msgspec.Raw


class FailOrchestration(_Record, frozen=True):
    """The code raised."""

    failure: failure.Failure


class CancelOrchestration(_Record, frozen=True):
    """The instance ended because of a cancel; `failure` tells what went wrong in its compensation, if anything."""

    reason: str
    failure: failure.Failure | None = None


class ContinueAsNew(_Record, frozen=True):
    """This execution is over and the next begins; `carried` are the signals nobody waited for, in their order.

    An empty version is the highest.
    """

    input: msgspec.Raw
    version: str = ""
    carried: list[SignalReceived] = msgspec.field(default_factory=list)


Outcome = CompleteOrchestration | FailOrchestration | CancelOrchestration | ContinueAsNew
Command = (
    ScheduleActivity
    | CancelActivity
    | CreateTimer
    | CancelTimer
    | WaitForSignal
    | CancelWait
    | ScheduleSubOrchestration
    | CancelSubOrchestration
    | StartOrchestration
    | SendSignal
    | SetCustomStatus
    | SetProgress
    | SetReady
    | CompleteOrchestration
    | FailOrchestration
    | CancelOrchestration
    | ContinueAsNew
)


class Turn(msgspec.Struct, frozen=True, gc=False):
    """One step of the code: when (database's time), what came in, what the code asked for."""

    at: datetime
    events: list[Event]
    commands: list[Command]


class _Body(msgspec.Struct, frozen=True, gc=False):
    """The stored part of a turn; `at` has a column of its own."""

    events: list[Event]
    commands: list[Command]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Body)
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_carried_decoder = msgspec.json.Decoder(list[SignalReceived])


def encode_turn(events: list[Event], commands: list[Command]) -> bytes:
    """Give the JSON bytes of a turn's row."""
    return _encoder.encode(_Body(events, commands))


def decode_turn(at: datetime, body: bytes) -> Turn:
    """Read a turn's row. Raises `msgspec.DecodeError` when the bytes are no turn."""
    stored = _decoder.decode(body)
    return Turn(at, stored.events, stored.commands)


def encode_event(event: Event) -> bytes:
    """Give the JSON bytes of an event on its way through an inbox."""
    return _encoder.encode(event)


def encode_command(command: Command) -> bytes:
    """Give the JSON bytes of a command on its way to whoever carries it out."""
    return _encoder.encode(command)


def decode_event(data: bytes) -> Event:
    """Read an event of an inbox. Raises `msgspec.DecodeError` when the bytes are none."""
    return _event_decoder.decode(data)


def encode_carried(signals: list[SignalReceived]) -> bytes | None:
    """Give the JSON bytes of the signals that a new execution begins with; None for none."""
    return _encoder.encode(signals) if signals else None


def decode_carried(data: bytes | None) -> list[SignalReceived]:
    """Read what `encode_carried` wrote."""
    return _carried_decoder.decode(data) if data else []

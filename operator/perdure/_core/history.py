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
    "CancelTimer",
    "Command",
    "CompleteOrchestration",
    "CreateTimer",
    "Event",
    "FailOrchestration",
    "GraceEnded",
    "OrchestrationStarted",
    "Outcome",
    "ScheduleActivity",
    "SetCustomStatus",
    "SetProgress",
    "TimerFired",
    "Turn",
    "decode_turn",
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


class CancelRequested(_Record, frozen=True):
    """Somebody asked for the end of the instance."""

    reason: str


class GraceEnded(_Record, frozen=True):
    """The compensation after a cancel took too long; the instance is ended by force."""


Event = OrchestrationStarted | ActivityCompleted | ActivityFailed | TimerFired | CancelRequested | GraceEnded

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


Outcome = CompleteOrchestration | FailOrchestration | CancelOrchestration
Command = (
    ScheduleActivity
    | CancelActivity
    | CreateTimer
    | CancelTimer
    | SetCustomStatus
    | SetProgress
    | CompleteOrchestration
    | FailOrchestration
    | CancelOrchestration
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


def encode_turn(events: list[Event], commands: list[Command]) -> bytes:
    """Give the JSON bytes of a turn's row."""
    return _encoder.encode(_Body(events, commands))


def decode_turn(at: datetime, body: bytes) -> Turn:
    """Read a turn's row. Raises `msgspec.DecodeError` when the bytes are no turn."""
    stored = _decoder.decode(body)
    return Turn(at, stored.events, stored.commands)

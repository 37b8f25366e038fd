"""Replay against history: what must be the same, and how a difference is told.

What has an effect must be asked for again as it was recorded. Not compared: what is only shown to people (custom
status, progress, readiness), the moment of a timer and the retry policy of an activity (what was recorded stands), the
sentence of a failure (it may be worded better). A value may have fields that the recorded one has not: types may be
given new fields with a default while instances run, and what was recorded stands here too. It knows commands and
nothing of how code is driven.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

from perdure import errors
from perdure._core import history

__all__ = ["compare", "describe"]

_SHOWN_ONLY = (history.SetCustomStatus, history.SetProgress, history.SetReady)
_SHOWN_CHARACTERS: Final = 80
_NOTHING: Final = b"null"
_decode = msgspec.json.Decoder().decode


def compare(recorded: Sequence[history.Command], actual: Sequence[history.Command]) -> None:
    """Raise `NondeterminismError` at the first command that is not what was recorded."""
    wanted = [command for command in recorded if not isinstance(command, _SHOWN_ONLY)]
    got = [command for command in actual if not isinstance(command, _SHOWN_ONLY)]
    for old, new in itertools.zip_longest(wanted, got):
        if old is None or new is None or not _is_same(old, new):
            raise errors.NondeterminismError(describe(old), describe(new))


def _is_same(old: history.Command, new: history.Command) -> bool:
    if type(old) is not type(new):
        return False
    (recorded, recorded_value), (actual, value) = _essence(old), _essence(new)
    if recorded != actual:
        return False
    return recorded_value == value or _is_covered(_decode(recorded_value), _decode(value))


def _essence(command: history.Command) -> tuple[object, bytes]:  # noqa: PLR0911 - a table
    """Give what of a command must not change, and the value that goes with it."""
    match command:
        case history.ScheduleActivity():
            return (command.seq, command.name, command.queue), bytes(command.input)
        case history.CreateTimer():
            return command.seq, _NOTHING
        case history.ScheduleSubOrchestration() | history.StartOrchestration():
            return (command.seq, command.name, command.version, command.instance_id), bytes(command.input)
        case history.SendSignal():
            return (command.seq, command.instance_id, command.name), bytes(command.payload)
        case history.CompleteOrchestration():
            return None, bytes(command.output)
        case history.FailOrchestration():
            return command.failure.type, _NOTHING
        case history.CancelOrchestration():
            return command.reason, _NOTHING
        case history.ContinueAsNew():
            return command.version, bytes(command.input)
        case _:
            return command, _NOTHING


def _is_covered(recorded: object, actual: object) -> bool:
    """Say whether two JSON values are the same, but for fields that only the actual one has."""
    if type(recorded) is not type(actual):
        return False
    if isinstance(recorded, dict) and isinstance(actual, dict):
        return all(name in actual and _is_covered(value, actual[name]) for name, value in recorded.items())
    if isinstance(recorded, list) and isinstance(actual, list):
        return len(recorded) == len(actual) and all(map(_is_covered, recorded, actual))
    return recorded == actual


def describe(command: history.Command | None) -> str:
    """Say a command in a few words: kind, number, name and the head of its input."""
    match command:
        case None:
            return "nothing more in this turn"
        case history.ScheduleActivity():
            return f"activity {command.seq} {command.name}({_head(bytes(command.input))})"
        case history.CreateTimer():
            return f"timer {command.seq}"
        case history.WaitForSignal():
            return f"wait {command.seq} for signal {command.name}"
        case history.ScheduleSubOrchestration():
            return f"sub-orchestration {command.seq} {_started(command)}"
        case history.StartOrchestration():
            return f"detached orchestration {command.seq} {_started(command)}"
        case history.SendSignal():
            return f"signal {command.seq} {command.name} to {command.instance_id} ({_head(bytes(command.payload))})"
        case _:
            return _describe_end(command)


Ending = (
    history.CancelActivity
    | history.CancelTimer
    | history.CancelWait
    | history.CancelSubOrchestration
    | history.SetCustomStatus
    | history.SetProgress
    | history.SetReady
    | history.Outcome
)


def _describe_end(command: Ending) -> str:
    """Say a command that begins nothing."""
    match command:
        case history.CancelActivity() | history.CancelTimer() | history.CancelWait() | history.CancelSubOrchestration():
            kind = type(command).__name__.removeprefix("Cancel").replace("SubOrch", "sub-orch").lower()
            return f"cancelling of {kind} {command.seq}"
        case history.CompleteOrchestration():
            return f"completion with {_head(bytes(command.output))}"
        case history.FailOrchestration():
            return f"failure with {command.failure.type}: {command.failure.message}"
        case history.CancelOrchestration():
            return "the end by cancellation"
        case history.ContinueAsNew():
            version = f" as version {command.version}" if command.version else ""
            return f"continuing as new{version} with {_head(bytes(command.input))}"
        case history.SetCustomStatus() | history.SetProgress() | history.SetReady():
            return type(command).__name__
        case _:
            assert_never(command)


def _started(command: history.ScheduleSubOrchestration | history.StartOrchestration) -> str:
    name = f"{command.name} {command.version}" if command.version else command.name
    return f"{name}({_head(bytes(command.input))}) as {command.instance_id}"


def _head(data: bytes) -> str:
    text = data.decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."

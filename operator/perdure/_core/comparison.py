"""Replay against history: what must be the same, and how a difference is told.

What has an effect must be asked for again exactly as it was recorded. Not compared: what is only shown to people
(custom status, progress, readiness), the moment of a timer and the retry policy of an activity (what was recorded
stands), the sentence of a failure (it may be worded better). It knows commands and nothing of how code is driven.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, assert_never

from perdure import errors
from perdure._core import history

__all__ = ["compare", "describe"]

_SHOWN_ONLY = (history.SetCustomStatus, history.SetProgress, history.SetReady)
_SHOWN_CHARACTERS: Final = 80


def compare(recorded: Sequence[history.Command], actual: Sequence[history.Command]) -> None:
    """Raise `NondeterminismError` at the first command that is not what was recorded."""
    wanted = [command for command in recorded if not isinstance(command, _SHOWN_ONLY)]
    got = [command for command in actual if not isinstance(command, _SHOWN_ONLY)]
    for old, new in itertools.zip_longest(wanted, got):
        if old is None or new is None or type(old) is not type(new) or _essence(old) != _essence(new):
            raise errors.NondeterminismError(describe(old), describe(new))


def _essence(command: history.Command) -> object:  # noqa: PLR0911 - a table
    """Give what of a command must not change."""
    match command:
        case history.ScheduleActivity():
            return command.seq, command.name, command.queue, bytes(command.input)
        case history.CreateTimer():
            return command.seq
        case history.ScheduleSubOrchestration() | history.StartOrchestration():
            return command.seq, command.name, command.version, command.instance_id, bytes(command.input)
        case history.SendSignal():
            return command.seq, command.instance_id, command.name, bytes(command.payload)
        case history.CompleteOrchestration():
            return bytes(command.output)
        case history.FailOrchestration():
            return command.failure.type
        case history.CancelOrchestration():
            return command.reason
        case history.ContinueAsNew():
            return command.version, bytes(command.input)
        case _:
            return command


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

"""Phases: which there are, and what follows from an outcome.

| from | by | to |
|---|---|---|
| Pending | a cancel before anybody took it | Cancelled |
| Pending, Running, Suspended | a turn without outcome, or one that continues as new | Running |
| Pending, Running, Suspended | a turn with one | Completed, Failed, Cancelled |
| Pending, Running | somebody asks for a pause | Suspended |
| Pending, Running | code that does not fit the history | Suspended (hold) |
| Suspended | a replay that fits again | Running |

Terminal phases are never left: the commit statement only touches rows that have an owner, and these have none.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure import errors
from perdure._core import failure, history

__all__ = [
    "PAYLOAD_SEALED",
    "PHASES",
    "TERMINAL",
    "custom_status_of",
    "decode_failure",
    "encode_failure",
    "error_of",
    "failure_of",
    "output_of",
    "phase_after",
]

PHASES = ("Pending", "Running", "Suspended", "Completed", "Failed", "Cancelled")
PAYLOAD_SEALED = "PayloadSealed"
"""The reason of a hold: the worker has not the key that the instance was written under."""
TERMINAL = frozenset({"Completed", "Failed", "Cancelled"})
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(failure.Failure).decode


def phase_after(outcome: history.Outcome | None) -> str:
    """Give the phase of an instance after a turn."""
    match outcome:
        case None | history.ContinueAsNew():
            return "Running"
        case history.CompleteOrchestration():
            return "Completed"
        case history.FailOrchestration():
            return "Failed"
        case history.CancelOrchestration():
            return "Cancelled"


def output_of(outcome: history.Outcome | None) -> bytes | None:
    """Give the output as JSON, when there is one."""
    return bytes(outcome.output) if isinstance(outcome, history.CompleteOrchestration) else None


def failure_of(outcome: history.Outcome | None) -> failure.Failure:
    """Give why an instance did not complete; a cancelled one says why it was cancelled."""
    match outcome:
        case history.FailOrchestration():
            return outcome.failure
        case history.CancelOrchestration():
            return outcome.failure or failure.of(errors.InstanceCancelledError(outcome.reason))
        case _:
            message = f"{outcome!r} is no failure"
            raise ValueError(message)


def error_of(outcome: history.Outcome | None) -> bytes | None:
    """Give the failure as JSON, when there is one."""
    is_failure = isinstance(outcome, history.FailOrchestration | history.CancelOrchestration)
    return encode_failure(failure_of(outcome)) if is_failure else None


def custom_status_of(commands: Sequence[history.Command]) -> bytes | None:
    """Give the last custom status set in a turn; None when it set none."""
    for command in reversed(commands):
        if isinstance(command, history.SetCustomStatus):
            return bytes(command.value)
    return None


def encode_failure(failed: failure.Failure) -> bytes:
    """Give the JSON bytes of a failure."""
    return _encode(failed)


def decode_failure(data: bytes) -> failure.Failure:
    """Read the JSON bytes of a failure."""
    return _decode(data)

"""Phases: which there are, and what follows from an outcome.

| from | by | to |
|---|---|---|
| Pending | first turn | Running |
| Running | a turn without outcome | Running |
| Running, Suspended | CompleteOrchestration, FailOrchestration, CancelOrchestration | Completed, Failed, Cancelled |
| Running | replay differs | Suspended (hold) |
| Suspended | a turn | Running |

Terminal phases are never left: the commit statement only touches rows that have an owner, and these have none.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perdure._core import failure, history

__all__ = ["TERMINAL", "custom_status_of", "decode_failure", "encode_failure", "error_of", "output_of", "phase_after"]

TERMINAL = frozenset({"Completed", "Failed", "Cancelled"})
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(failure.Failure).decode


def phase_after(outcome: history.Outcome | None) -> str:
    """Give the phase of an instance after a turn."""
    match outcome:
        case None:
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


def error_of(outcome: history.Outcome | None) -> bytes | None:
    """Give the failure as JSON; a cancelled instance has one that tells why it was cancelled."""
    match outcome:
        case history.FailOrchestration():
            return encode_failure(outcome.failure)
        case history.CancelOrchestration():
            told = outcome.failure or failure.Failure(
                code="PERDURE-1206", type="Cancelled", message=outcome.reason or "cancelled", retryable=False
            )
            return encode_failure(told)
        case _:
            return None


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

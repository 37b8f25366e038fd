"""What history keeps of an error, and the error made of it again.

An exception object does not survive a process; `Failure` does. `of` takes the facts from an exception, `raised` gives
the exception that an orchestration sees. Tracebacks stay out: they differ between Python versions and belong in logs.
"""

from __future__ import annotations

import msgspec

from perdure import errors
from perdure._core import limits

__all__ = ["Failure", "of", "to_exception"]


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An error as a fact: stable `code`, class name, sentence, whether another try could help, tries made."""

    code: str
    type: str
    message: str
    retryable: bool = True
    attempts: int = 1
    activity: str = ""


def of(error: BaseException, *, activity: str = "", attempts: int = 1) -> Failure:
    """Take from an exception what is worth keeping. Non-Perdure errors are retryable: most faults pass."""
    code, retryable = errors.ActivityError.code if activity else "PERDURE-1200", True
    message = str(error)
    if isinstance(error, errors.PerdureError):
        code, retryable, message = error.code, error.retryable, error.message
    kind = type(error).__name__
    if isinstance(error, errors.ActivityError):
        activity, attempts = activity or error.activity, max(attempts, error.attempts)
        kind = error.type or kind
    return Failure(
        code=code,
        type=kind,
        message=_cut(message or kind),
        retryable=retryable,
        attempts=attempts,
        activity=activity,
    )


def to_exception(failure: Failure) -> errors.ActivityError:
    """Give the error that an orchestration sees at its await of a failed activity."""
    kinds: dict[str, type[errors.ActivityError]] = {
        errors.ActivityTimeoutError.code: errors.ActivityTimeoutError,
        errors.UnknownActivityError.code: errors.UnknownActivityError,
        errors.ActivityPoisonError.code: errors.ActivityPoisonError,
    }
    return kinds.get(failure.code, errors.ActivityError)(
        failure.message,
        type=failure.type,
        attempts=failure.attempts,
        retryable=failure.retryable,
        activity=failure.activity,
    )


def _cut(message: str) -> str:
    """Bound a message; NUL bytes are no text anywhere."""
    message = message.replace("\x00", "\\0")
    if len(message) <= limits.ERROR_MESSAGE_CHARACTERS:
        return message
    return message[: limits.ERROR_MESSAGE_CHARACTERS - 20] + " ... (message cut)"

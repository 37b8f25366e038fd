"""What history keeps of an error, and the error made of it again.

An exception object does not survive a process; `Failure` does. `of` takes the facts from an exception, `to_exception`
gives the exception that an orchestration sees. Tracebacks stay out: they differ between Python versions and belong in
logs.
"""

from __future__ import annotations

import msgspec

from perdure import errors
from perdure._core import limits, text

__all__ = ["Failure", "of", "to_child_exception", "to_exception"]


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
    code, retryable = errors.ActivityError.code if activity else errors.OrchestrationFailedError.code, True
    if isinstance(error, errors.PerdureError):
        code, retryable = error.code, error.retryable
    kind = type(error).__name__
    if isinstance(error, errors.ActivityError):
        activity, attempts = activity or error.activity, max(attempts, error.attempts)
        kind = error.type or kind
    return Failure(
        code=code,
        type=kind,
        message=text.bounded(_message_of(error) or kind, limits.ERROR_MESSAGE_CHARACTERS),
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


def to_child_exception(failure: Failure, name: str, instance_id: str) -> errors.ChildOrchestrationError:
    """Give the error that an orchestration sees at its await of a child that did not complete."""
    return errors.ChildOrchestrationError(
        failure.message,
        type=failure.type,
        name=name,
        instance_id=instance_id,
        cause_code=failure.code,
        retryable=failure.retryable,
    )


def _message_of(error: BaseException) -> str:
    """Give the sentence of an error, whatever its author did to it; that of a child names the child."""
    try:
        if isinstance(error, errors.ChildOrchestrationError):
            return error.described
        return str(getattr(error, "message", None) or error)
    except Exception:  # noqa: BLE001 - a __str__ of somebody's that raises must not hide that there was an error
        return f"(the message of this {type(error).__name__} cannot be read: its __str__ raises)"

"""What history keeps of an error, and the error made of it again.

An exception object does not survive a process; `Failure` does. `of` takes the facts from an exception, `to_exception`
gives the exception that an orchestration sees. Where it came from is kept for people, and out of replay's way: code
never sees it, and nothing compares it.

Whether another try could help is decided here, once for all:

| raised | another try |
|---|---|
| `NonRetryableError`, or a subclass | no |
| any other `PerdureError` | as its class says (`retryable`) |
| a group of errors | no, when one of its errors says no: the next try would meet it too |
| anything else, `SystemExit` and `KeyboardInterrupt` among it | yes: most faults pass |

What cancels a task never comes here: the borders let it pass. Nor does the `KeyboardInterrupt` of an orchestration's
own code, which is no outcome: the watchdog makes an error of the instance of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

from perdure import errors
from perdure._core import frames, limits, payload, text

__all__ = ["Failure", "of", "to_child_exception", "to_exception"]


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An error as a fact: stable `code`, class name, sentence, whether another try could help, tries made.

    `details` is what the author's error carried in an attribute of that name, as a JSON value; `traceback` leads to the
    author's lines.
    """

    code: str
    type: str
    message: str
    retryable: bool = True
    attempts: int = 1
    activity: str = ""
    details: object = None
    traceback: str = ""


def of(
    error: BaseException, *, activity: str = "", attempts: int = 1, hide: Callable[[str], str] | None = None
) -> Failure:
    """Take from an exception what is worth keeping, each part bounded; `hide` takes out of a text what is secret."""
    hide = hide or _as_it_is
    code = errors.ActivityError.code if activity else errors.OrchestrationFailedError.code
    if isinstance(error, errors.PerdureError):
        code = error.code
    kind = type(error).__name__
    if isinstance(error, errors.ActivityError):
        activity, attempts = activity or error.activity, max(attempts, error.attempts)
        kind = error.type or kind
    return Failure(
        code=code,
        type=kind,
        message=text.bounded(hide(_message_of(error)) or kind, limits.ERROR_MESSAGE_CHARACTERS),
        retryable=_is_retryable(error),
        attempts=attempts,
        activity=activity,
        details=_details_of(error, hide),
        traceback=text.bounded_end(hide(frames.of(error)), limits.ERROR_TRACEBACK_CHARACTERS),
    )


def to_exception(failure: Failure) -> errors.ActivityError:
    """Give the error that an orchestration sees at its await of a failed activity."""
    kinds: dict[str, type[errors.ActivityError]] = {
        errors.ActivityTimeoutError.code: errors.ActivityTimeoutError,
        errors.UnknownActivityError.code: errors.UnknownActivityError,
        errors.ActivityPoisonError.code: errors.ActivityPoisonError,
    }
    error = kinds.get(failure.code, errors.ActivityError)(
        failure.message,
        type=failure.type,
        attempts=failure.attempts,
        retryable=failure.retryable,
        activity=failure.activity,
    )
    error.details = cast("payload.JsonValue", failure.details)
    return error


def to_child_exception(failure: Failure, *, name: str, instance_id: str) -> errors.ChildOrchestrationError:
    """Give the error that an orchestration sees at its await of a child that did not complete."""
    error = errors.ChildOrchestrationError(
        failure.message,
        type=failure.type,
        name=name,
        instance_id=instance_id,
        cause_code=failure.code,
        retryable=failure.retryable,
    )
    error.details = cast("payload.JsonValue", failure.details)
    return error


def _is_retryable(error: BaseException) -> bool:
    """Say whether another try could help."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_retryable(member) for member in error.exceptions)
    return error.retryable if isinstance(error, errors.PerdureError) else True


def _as_it_is(said: str) -> str:
    return said


def _details_of(error: BaseException, hide: Callable[[str], str]) -> object:
    """Give what an error carries in `details`; what is no JSON value is no details, what is too much says so."""
    try:
        found = getattr(error, "details", None)
        if found is None or callable(found):
            return None
        data = payload.encode(found, "details", limit_bytes=limits.ERROR_DETAILS_BYTES)
        return payload.decoder(object)(hide(data.decode()).encode())
    except errors.PayloadTooLargeError:
        return f"(left out: more than {limits.ERROR_DETAILS_BYTES} bytes)"
    except Exception:  # noqa: BLE001 - whatever an attribute of somebody's does must not hide that there was an error
        return None


def _message_of(error: BaseException) -> str:
    """Give the sentence of an error. A child's names it, a group's its members."""
    match error:
        case errors.ChildOrchestrationError():
            return error.described
        case errors.PerdureError(message=str(said)):  # without the code, which has a field of its own
            return said
        case BaseExceptionGroup():
            return f"{frames.words_of(error)}: {'; '.join(frames.sentence_of(member) for member in error.exceptions)}"
        case _:
            return frames.words_of(error)

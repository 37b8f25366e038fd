"""10xx, 11xx and 12xx: what authors, callers and replay can get wrong, and the control flow of a cancel."""

from __future__ import annotations

from pydantic import JsonValue

from perdure.errors.base import PerdureError

__all__ = [
    "CancelGraceEndedError",
    "ChildOrchestrationError",
    "DefinitionError",
    "ForeignAwaitError",
    "GivenUpAwaitedError",
    "HistoryMissingError",
    "InputInvalidError",
    "InstanceCancelledError",
    "InstanceConflictError",
    "InstanceNotFoundError",
    "InstancePoisonError",
    "MessageUnreadableError",
    "NondeterminismError",
    "OrchestrationCancelled",
    "OrchestrationContinued",
    "OrchestrationEvicted",
    "OrchestrationFailedError",
    "PayloadError",
    "PayloadTooLargeError",
    "RunTimedOutError",
    "TurnTooLongError",
]


class DefinitionError(PerdureError):
    """An orchestration or activity is defined or registered wrongly."""

    code = "PERDURE-1001"


class PayloadError(PerdureError):
    """A value cannot be written as JSON, or stored JSON does not fit the type that was asked for."""

    code = "PERDURE-1101"


class InputInvalidError(PayloadError):
    """An input does not fit the type of the function that should take it."""

    code = "PERDURE-1102"


class PayloadTooLargeError(PayloadError):
    """A value is larger than the limit for its kind."""

    code = "PERDURE-1103"


class OrchestrationFailedError(PerdureError):
    """The code of an orchestration raised an error of its own."""

    code = "PERDURE-1200"


class NondeterminismError(PerdureError):
    """The code asked for something else than the history of this instance records."""

    code = "PERDURE-1201"

    def __init__(self, expected: str, actual: str) -> None:
        """Name the recorded and the actual command, and the usual causes."""
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"Replay differs from history: recorded {expected}, the code now asks for {actual}. Usual causes: the "
            "orchestration was edited under an unchanged version, or it uses the clock, randomness or I/O directly. "
            "Deploy the code that wrote the history, or a new version beside it; the instance then goes on by itself."
        )


class ForeignAwaitError(PerdureError):
    """An orchestration awaited something that is not durable, or made an asyncio task."""

    code = "PERDURE-1202"


class InstanceNotFoundError(PerdureError):
    """There is no instance of that id."""

    code = "PERDURE-1203"


class InstanceConflictError(PerdureError):
    """The instance id is taken by a different orchestration or input."""

    code = "PERDURE-1204"


class CancelGraceEndedError(PerdureError):
    """The instance was ended by force after a cancel.

    Its compensation did not end within its grace, or its code no longer fits its history.
    """

    code = "PERDURE-1205"


class InstanceCancelledError(PerdureError):
    """The instance was cancelled."""

    code = "PERDURE-1206"


class InstancePoisonError(PerdureError):
    """Too many workers died, one after the other, while this instance was theirs."""

    code = "PERDURE-1207"

    def __init__(self, recoveries: int) -> None:
        """Say how many, and what to do."""
        self.recoveries = recoveries
        super().__init__(
            f"{recoveries} workers died while this instance was theirs and took no turn, the last of them while "
            "no other code was run; it is taken for their killer and run no more. Look at what its code does to memory "
            "and to the process. When it is resumed it gets one more chance; a cancel ends it."
        )


class GivenUpAwaitedError(PerdureError):
    """The code awaited something that it had given up before."""

    code = "PERDURE-1214"

    def __init__(self) -> None:
        """Say how something is given up, and what to do."""
        super().__init__(
            "The code ended by OrchestrationCancelled, but nobody has cancelled this instance: it awaited what was "
            "given up before, by losing a select or by its cancel(). What is given up brings no result any more. Ask "
            "for it anew (call ctx.schedule_... again, in each round of a loop), or do not await it; where it may "
            "happen, catch OrchestrationCancelled."
        )


class HistoryMissingError(PerdureError):
    """Turns that were committed are not in the database any more."""

    code = "PERDURE-1220"

    def __init__(self, instance_id: str, turn: int) -> None:
        """Say whose, and what to do."""
        super().__init__(
            f"Instance {instance_id} has taken {turn} turns, and its history does not hold all of the last execution. "
            "Somebody removed rows of `history`, or restored a part of a backup. Restore them; the instance is tried "
            "again. A cancel ends it."
        )


class MessageUnreadableError(PerdureError):
    """A message in an inbox cannot be read."""

    code = "PERDURE-1221"

    def __init__(self, instance_id: str, message_id: int, reason: str) -> None:
        """Say which, and what to do."""
        super().__init__(
            f"Message {message_id} in the inbox of {instance_id} cannot be read: {reason}. Somebody wrote into `inbox` "
            "directly, or a newer release did. Upgrade this worker, or remove that row; the instance is tried again."
        )


class TurnTooLongError(PerdureError):
    """The code of an orchestration ran for too long without awaiting anything."""

    code = "PERDURE-1222"

    def __init__(self, instance_id: str, seconds: float) -> None:
        """Say whose and how long, and what to do."""
        super().__init__(
            f"The code of instance {instance_id} ran for {seconds:.1f} s without awaiting anything, and was "
            "interrupted: while it runs, nothing else of its worker does. Look for a loop that does not end, and move "
            "what computes for long, or blocks, into an activity. It is tried again by each worker that starts; a "
            "cancel ends it."
        )


class RunTimedOutError(PerdureError):
    """The instance did not end before its deadline."""

    code = "PERDURE-1223"

    def __init__(self, reason: str, trouble: Exception | None = None) -> None:
        """Say how long it had, and what went wrong while it was ended."""
        self.reason = reason
        more = "" if trouble is None else f" While it was ended: {trouble}"
        super().__init__(f"The run was ended. {reason}{more}".rstrip())


class ChildOrchestrationError(PerdureError):
    """A sub-orchestration failed, was cancelled, or could not be started.

    Fields: `type` (the class name of the error that it ended with), `message`, `name` and `instance_id` of the child,
    `cause_code` (the stable code of that error), `retryable`, `details` (of the error that it ended with, if any).
    """

    code = "PERDURE-1209"
    details: JsonValue = None

    def __init__(
        self,
        message: str,
        *,
        type: str = "",
        name: str = "",
        instance_id: str = "",
        cause_code: str = "",
        retryable: bool = True,
    ) -> None:
        """Rebuild the error from what history keeps of it."""
        self.type = type
        self.name = name
        self.instance_id = instance_id
        self.cause_code = cause_code
        self.retryable = retryable
        super().__init__(message)

    @property
    def described(self) -> str:
        """Which child failed, and why."""
        return f"sub-orchestration {self.name} ({self.instance_id}) failed: {self.type}: {self.message}"

    def __str__(self) -> str:
        """Show which child failed, and why."""
        return f"{self.code}: {self.described}"


class OrchestrationCancelled(BaseException):
    """The instance is being cancelled; raised at the awaits of its code.

    A `BaseException`, so that `except Exception` does not swallow it. Catch it (or use `finally`) to compensate: the
    code may go on scheduling until the grace ends. The instance then ends `Cancelled`.
    """

    def __init__(self, reason: str = "") -> None:
        """Keep why the instance is cancelled."""
        self.reason = reason
        super().__init__(reason)


class OrchestrationContinued(BaseException):
    """The code asked to continue as new: its way out, raised by `ctx.continue_as_new`. Let it pass."""


class OrchestrationEvicted(BaseException):
    """This copy of the coroutine is being put away; the instance lives on elsewhere."""

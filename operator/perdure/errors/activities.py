"""13xx: activities that failed for good, the engine's errors about them and those of the offered library."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from perdure.errors.base import PerdureError

__all__ = [
    "ActivityError",
    "ActivityPoisonError",
    "ActivityTimeoutError",
    "CredentialsError",
    "NameContestedError",
    "NameInUseError",
    "NameNotReservedError",
    "NameTakenError",
    "NonRetryableError",
    "ObjectBusyError",
    "ObjectFailedError",
    "ObjectMissingError",
    "ObjectNotOwnedError",
    "ObjectNotReadyError",
    "ObjectTerminatingError",
    "PostgresUnreachableError",
    "ServerIncompleteError",
    "StaleAttemptError",
    "StateTransitionError",
    "UnknownActivityError",
]


class ActivityError(PerdureError):
    """An activity failed for good.

    Fields: `type` (the class name of the original error), `message`, `attempts` (how many were made), `retryable`
    (False when the activity said that trying again is of no use), `activity` (its name), `details` (what the original
    error carried in an attribute of that name, when it is a JSON value of at most 4 KiB).
    """

    code = "PERDURE-1301"

    details: JsonValue = None

    def __init__(
        self, message: str, *, type: str = "", attempts: int = 1, retryable: bool = True, activity: str = ""
    ) -> None:
        """Rebuild the error from what history keeps of it."""
        self.type = type
        self.attempts = attempts
        self.retryable = retryable
        self.activity = activity
        super().__init__(message)

    def __str__(self) -> str:
        """Show what failed, how often, and why."""
        told = f"activity {self.activity} failed after {self.attempts} attempt(s)"
        return f"{self.code}: {told}: {self.type}: {self.message}"


class ActivityTimeoutError(ActivityError):
    """An activity did not end within its time."""

    code = "PERDURE-1302"


class NonRetryableError(PerdureError):
    """Raised by an activity to say: trying again is of no use."""

    code = "PERDURE-1303"

    def __init__(self, message: str | None = None, *, details: JsonValue = None) -> None:
        """Keep the sentence for people; `details`, a small JSON value, becomes `ActivityError.details`."""
        self.details = details
        super().__init__(message)


class UnknownActivityError(ActivityError):
    """No worker has registered an activity of that name."""

    code = "PERDURE-1304"


class ActivityPoisonError(ActivityError):
    """Too many workers died while this activity ran."""

    code = "PERDURE-1350"


class ObjectNotOwnedError(NonRetryableError):
    """An object of that name exists and was not made by this run."""

    code = "PERDURE-1305"

    def __init__(self, described: str, owner: str, instance_id: str) -> None:
        """Name the object, its owner (an instance id, or empty when it has none) and who wanted it."""
        whose = f"belongs to instance {owner}" if owner else "was not made by a run of Perdure"
        super().__init__(
            f"{described} exists already and {whose}; instance {instance_id} leaves it untouched. Choose another name, "
            "delete the object if it is no longer needed, or, where the orchestration offers it, set `takeOver: true`."
        )


class ObjectTerminatingError(PerdureError):
    """An object of that name is still being deleted."""

    code = "PERDURE-1306"
    retryable = True

    def __init__(self, described: str) -> None:
        """Name the object that is on its way out."""
        super().__init__(
            f"{described} is being deleted, so nothing can be applied to it; this is tried again until it is gone. If "
            "it stays, look at its finalizers."
        )


class ObjectFailedError(NonRetryableError):
    """An object came to a state from which it does not recover by itself."""

    code = "PERDURE-1307"

    def __init__(self, described: str, reason: str, *, details: JsonValue = None) -> None:
        """Name the object and say why it failed; `details` is for code."""
        super().__init__(
            f"{described} failed: {reason}. Waiting longer cannot help; look at the object and its events.",
            details=details,
        )


class ObjectNotReadyError(NonRetryableError):
    """An object was not ready in the time given for it."""

    code = "PERDURE-1308"

    def __init__(self, described: str, last_seen: str, *, timeout_seconds: float, wanted: str = "ready") -> None:
        """Name the object, what was last seen of it, the time that was given, and what it should have been."""
        self.described, self.last_seen, self.timeout_seconds = described, last_seen, timeout_seconds
        super().__init__(
            f"{described} was not {wanted} after {timeout_seconds:g} s. Last seen: {last_seen}. Look at the object and "
            "its events; give it more time if it only was slow."
        )


class CredentialsError(NonRetryableError):
    """The Secret with the credentials of a server does not hold what is needed."""

    code = "PERDURE-1309"


class PostgresUnreachableError(PerdureError):
    """A Postgres server cannot be reached yet."""

    code = "PERDURE-1310"
    retryable = True

    def __init__(self, address: str, reason: str) -> None:
        """Name the server and what went wrong."""
        super().__init__(
            f"Cannot connect to Postgres at {address}: {reason}. A server that is starting answers soon; otherwise "
            "look at its Pod and its Service, and at what keeps the operator from reaching them (network policies)."
        )


class NameTakenError(NonRetryableError):
    """A name of the inventory is held by another instance."""

    code = "PERDURE-1330"

    def __init__(self, what: str, namespace: str, *, owner: str, wanted_by: str) -> None:
        """Say what is held, by whom, and who wanted it."""
        self.owner = owner
        super().__init__(
            f"{what} in namespace {namespace} is held by instance {owner}, so {wanted_by} does not get it. Choose "
            "another, or delete the server that has it: its name is free when that is over."
        )


class NameInUseError(PerdureError):
    """A name cannot be released while objects of its server exist."""

    code = "PERDURE-1331"
    retryable = True

    def __init__(self, name: str, namespace: str, objects: Sequence[str], *, retryable: bool = True) -> None:
        """Name what is still there."""
        self.objects = list(objects)
        self.retryable = retryable
        super().__init__(
            f"The name {name} in namespace {namespace} stays reserved: of its server there is still "
            f"{', '.join(self.objects)}. Delete these first; this is tried again a few times."
        )


class NameNotReservedError(NonRetryableError):
    """Nobody holds that name in the inventory."""

    code = "PERDURE-1332"

    def __init__(self, name: str, namespace: str) -> None:
        """Name what was looked for."""
        super().__init__(
            f"Nobody holds the name {name} in namespace {namespace}: it was never reserved, or is released already. "
            "Reserve it first."
        )


class StateTransitionError(NonRetryableError):
    """A server cannot come to that state from the one it is in."""

    code = "PERDURE-1333"

    def __init__(self, name: str, current: str, wanted: str) -> None:
        """Name the server and both states."""
        super().__init__(
            f"{name} is {current}, which {wanted} may not follow. Say which states are `expected` where somebody else "
            "may have been faster."
        )


class NameContestedError(PerdureError):
    """A name changed hands again and again while it was to be reserved."""

    code = "PERDURE-1334"
    retryable = True

    def __init__(self, name: str, namespace: str) -> None:
        """Name what was wanted."""
        super().__init__(
            f"The name {name} in namespace {namespace} was taken and released by others at every try. Try again; look "
            "for who creates and deletes it in a loop."
        )


class StaleAttemptError(PerdureError):
    """A later attempt has written to the object already; this one leaves it untouched."""

    code = "PERDURE-1320"
    retryable = True

    def __init__(self, described: str, epoch: int, *, seen: int) -> None:
        """Name the object and the two epochs: that of this attempt, and the one that the object has."""
        super().__init__(
            f"{described} was written by an attempt of epoch {seen}; this one, of epoch {epoch}, began earlier and "
            "leaves it untouched. What was taken over meanwhile is somebody else's; an attempt that is still wanted is "
            "made again, in a later epoch, by its retry policy."
        )


class ObjectMissingError(NonRetryableError):
    """There is no object to change."""

    code = "PERDURE-1321"

    def __init__(self, described: str) -> None:
        """Name the object."""
        super().__init__(
            f"{described} does not exist, so it cannot be changed. Correct its name, kind or namespace, or apply it "
            "first."
        )


class ObjectBusyError(PerdureError):
    """An object cannot be changed now, and can be in a while."""

    code = "PERDURE-1322"
    retryable = True

    def __init__(self, described: str, why: str) -> None:
        """Name the object and what is in the way."""
        super().__init__(f"{described} cannot be changed now: {why}. Try again in a while, by a retry policy.")


class ServerIncompleteError(PerdureError):
    """A Postgres server lacks an object that is needed."""

    code = "PERDURE-1335"
    retryable = True

    def __init__(self, name: str, missing: Sequence[str]) -> None:
        """Name the server and the kinds of what is missing."""
        super().__init__(
            f"Of Postgres {name} there is no {' and no '.join(missing)}. Deploy it again: that makes what is missing; "
            "this is tried again until it is there."
        )

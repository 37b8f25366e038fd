"""12xx, second half: what callers get wrong when they signal, pause, end and remove instances."""

from __future__ import annotations

from perdure.errors.base import PerdureError

__all__ = [
    "HistoryUnreadableError",
    "InstanceFinishedError",
    "InstanceNotRemovableError",
    "InstanceTerminatedError",
    "SignalsFullError",
]


class InstanceTerminatedError(PerdureError):
    """The instance was terminated: ended at once, without its code."""

    code = "PERDURE-1208"


class SignalsFullError(PerdureError):
    """An instance has too many signals that it has not waited for."""

    code = "PERDURE-1210"
    retryable = True

    def __init__(self, instance_id: str, limit: int) -> None:
        """Name the instance and the limit."""
        self.instance_id = instance_id
        self.limit = limit
        super().__init__(
            f"Instance {instance_id} has {limit} signals that its code has not waited for; this one was not sent and "
            "none was lost. Send it again when the code has caught up, send less often, or see why it does not wait."
        )


class InstanceFinishedError(PerdureError):
    """The instance has ended, and what was asked for needs one that has not."""

    code = "PERDURE-1211"

    def __init__(self, instance_id: str, phase: str) -> None:
        """Name the instance and how it ended."""
        self.instance_id = instance_id
        self.phase = phase
        super().__init__(f"Instance {instance_id} is {phase}; only one that has not ended can be paused or resumed.")


class InstanceNotRemovableError(PerdureError):
    """The instance cannot be removed as it stands; nothing of it was."""

    code = "PERDURE-1212"

    def __init__(self, instance_id: str, reason: str) -> None:
        """Name the instance and what keeps it: Running, Shown, HasParent or Changed."""
        self.instance_id = instance_id
        self.reason = reason
        super().__init__(f"Instance {instance_id} was not removed: {_KEEPS.get(reason, reason)}.")


_KEEPS = {
    "Running": "it, or an instance below it, has not ended. Cancel or terminate it first, or force its removal, which "
    "compensates nothing",
    "Shown": "a resource in the cluster shows it. Delete that resource first, or force the removal",
    "HasParent": "it has a parent that is still there, and goes with that. Remove the parent",
    "Changed": "it takes turns so fast that no moment was found between two. Suspend it first, or try again",
}


class HistoryUnreadableError(PerdureError):
    """A history, of a file or of the database, cannot be read by this release."""

    code = "PERDURE-1213"

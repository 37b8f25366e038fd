"""12xx, second half: what callers get wrong when they signal, pause, end and remove instances."""

from __future__ import annotations

from perdure.errors.base import PerdureError

__all__ = ["InstanceFinishedError", "InstanceTerminatedError", "SignalsFullError"]


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

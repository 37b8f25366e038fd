"""Restart: replace the Pods of a workload one after the other, as `kubectl rollout restart` does.

The annotation that does it has the idempotency key of the activity as its value, where kubectl puts the time: a second
attempt finds it there and restarts nothing again.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import fencing, watching
from activities.types import RestartInput, WaitOutput
from perdure import ActivityContext, Manifest, activity

__all__ = ["ANNOTATION", "restart"]

ANNOTATION = "kubectl.kubernetes.io/restartedAt"


@activity(names.KUBERNETES_RESTART)
async def restart(ctx: ActivityContext, input: RestartInput) -> WaitOutput:
    """Restart the workload and, unless `timeout_seconds` is 0, return when all its Pods are new.

    Raises `ObjectFailedError` and `ObjectNotReadyError` as a roll-out does, and what `fencing.changed` raises.
    """
    mark: Manifest = {ANNOTATION: ctx.idempotency_key}
    patch: Manifest = {"spec": {"template": {"metadata": {"annotations": mark}}}}
    await fencing.changed(ctx, input, patch=patch)
    if not input.timeout_seconds:
        return WaitOutput(message="it restarts")
    return WaitOutput(message=await watching.until_ready(ctx, input, timeout_seconds=input.timeout_seconds))

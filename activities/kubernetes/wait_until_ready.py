"""Wait until one object is ready: a Deployment rolled out, a Job complete, a claim bound, a resource reconciled.

It need not exist yet. Waiting changes nothing, so a wait may be repeated as often as workers are lost.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import watching
from activities.types import WaitInput, WaitOutput
from perdure import ActivityContext, activity

__all__ = ["wait_until_ready"]


@activity(names.KUBERNETES_WAIT_UNTIL_READY)
async def wait_until_ready(ctx: ActivityContext, input: WaitInput) -> WaitOutput:
    """Return when the object is ready.

    Raises `ObjectFailedError` when it has failed for good, and `ObjectNotReadyError`, with what was last seen, after
    `timeout_seconds`.
    """
    return WaitOutput(message=await watching.until_ready(ctx, input, timeout_seconds=input.timeout_seconds))

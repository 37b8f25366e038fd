"""Wait until one object is gone, whoever deletes it. Waiting changes nothing."""

from __future__ import annotations

from activities import names
from activities.kubernetes import watching
from activities.types import WaitInput, WaitOutput
from perdure import ActivityContext, activity

__all__ = ["wait_until_gone"]


@activity(names.KUBERNETES_WAIT_UNTIL_GONE)
async def wait_until_gone(ctx: ActivityContext, input: WaitInput) -> WaitOutput:
    """Return when there is no such object, or only another one that has its name.

    Raises `ObjectNotReadyError`, with what holds it, after `timeout_seconds`.
    """
    return WaitOutput(message=await watching.until_gone(ctx, input, timeout_seconds=input.timeout_seconds))

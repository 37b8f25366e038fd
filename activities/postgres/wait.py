"""Wait until a Postgres server answers: until its StatefulSet is ready, which its probes decide.

When the time is over, the StatefulSet alone says little ("0 of 1 replicas ready"); its Pod says why. Waiting changes
nothing, so it may be repeated.
"""

from __future__ import annotations

import contextlib

from activities import names
from activities.kubernetes import readiness, watching
from activities.types import ObjectRef, WaitForPostgresInput, WaitOutput
from perdure import ActivityContext, PerdureError, activity, errors

__all__ = ["wait_for_postgres"]


@activity(names.WAIT_FOR_POSTGRES)
async def wait_for_postgres(ctx: ActivityContext, input: WaitForPostgresInput) -> WaitOutput:
    """Return when the server is ready.

    Raises `ObjectNotReadyError` after `timeout_seconds`, with what keeps the server's Pod from being ready.
    """
    target = ObjectRef(api_version="apps/v1", kind="StatefulSet", name=input.name)
    try:
        message = await watching.until_ready(ctx, target, timeout_seconds=input.timeout_seconds)
    except errors.ObjectNotReadyError as error:
        last_seen = f"{error.last_seen}{await _pod_trouble(ctx, input.name)}"
        raise errors.ObjectNotReadyError(str(target), last_seen, timeout_seconds=input.timeout_seconds) from error
    return WaitOutput(message=message)


async def _pod_trouble(ctx: ActivityContext, name: str) -> str:
    """Say what is wrong with the server's Pod. A run that may not read Pods waits as well, only less wise."""
    pod = None
    with contextlib.suppress(PerdureError):
        pod = await ctx.kubernetes.get("v1", "Pod", f"{name}-0")
    trouble = readiness.pod_trouble(pod) if pod else ""
    return f"; Pod {name}-0: {trouble}" if trouble else ""

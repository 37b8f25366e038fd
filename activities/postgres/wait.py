"""Wait until a Postgres server answers: until its StatefulSet is ready, which its probes decide.

When the time is over, what keeps its Pod from being ready is told with it. Waiting changes nothing, so it may be
repeated.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import watching
from activities.types import ObjectRef, WaitForPostgresInput, WaitOutput
from perdure import ActivityContext, activity

__all__ = ["wait_for_postgres"]


@activity(names.WAIT_FOR_POSTGRES)
async def wait_for_postgres(ctx: ActivityContext, input: WaitForPostgresInput) -> WaitOutput:
    """Return when the server is ready.

    Raises `ObjectNotReadyError` after `timeout_seconds`, with what keeps the server's Pod from being ready.
    """
    target = ObjectRef(api_version="apps/v1", kind="StatefulSet", name=input.name)
    return WaitOutput(message=await watching.until_ready(ctx, target, timeout_seconds=input.timeout_seconds))

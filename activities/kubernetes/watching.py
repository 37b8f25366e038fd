"""Waiting for an object by watching it: no polling, and a last word on what was seen when the time is over.

The patience is counted here and not by the activity's timeout, because only who watched can say what it saw. Cancelling
ends the watch at once. What "ready" means is decided in `readiness`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from activities.kubernetes import readiness
from activities.types import ObjectRef
from perdure import ActivityContext, Manifest, errors

__all__ = ["until_ready"]


async def until_ready(ctx: ActivityContext, target: ObjectRef, *, timeout_seconds: float) -> str:
    """Return what was seen once `target` is ready.

    Raises `ObjectFailedError` when it has failed for good and `ObjectNotReadyError` after `timeout_seconds`.
    """
    last_seen = "nothing, the API server did not answer"
    patience = asyncio.timeout(timeout_seconds)
    changes = ctx.kubernetes.watch(target.api_version, target.kind, target.name, namespace=target.namespace)
    try:
        async with patience, _closing(changes):
            async for manifest in changes:
                verdict = readiness.judge(manifest)
                if verdict.message != last_seen:
                    ctx.trace_info("watching", object=str(target), state=verdict.state, seen=verdict.message)
                    last_seen = verdict.message
                if verdict.state == "ready":
                    return verdict.message
                if verdict.state == "failed":
                    raise errors.ObjectFailedError(str(target), verdict.message)
    except TimeoutError as error:
        if not patience.expired():
            raise
        raise errors.ObjectNotReadyError(str(target), last_seen, timeout_seconds=timeout_seconds) from error
    raise AssertionError("a watch never ends by itself")


@contextlib.asynccontextmanager
async def _closing(changes: AsyncIterator[Manifest | None]) -> AsyncIterator[None]:
    """Close the watch's connection when nobody looks any more, and not when the garbage collector comes by."""
    try:
        yield
    finally:
        close = getattr(changes, "aclose", None)
        if close is not None:
            await close()

"""Waiting for an object by watching it: no polling, and a last word on what was seen when the time is over.

The patience is counted here and not by the activity's timeout, because only who watched can say what it saw. Cancelling
ends the watch at once; a heartbeat goes out all the while. What "ready" means is decided in `readiness`, what else may
be said of an object that does not get there in `troubles`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

from activities.kubernetes import fields, readiness, troubles
from activities.kubernetes.readiness import Readiness
from activities.types import ObjectRef
from perdure import ActivityContext, Manifest, errors

__all__ = ["BEAT_SECONDS", "Seen", "until", "until_gone", "until_ready"]

BEAT_SECONDS = 5.0
"""How often a wait says that it lives; a `heartbeat_timeout` is a few times that."""

Judge = Callable[[Manifest | None], Readiness]


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """The verdict that ended a wait, and the object that it was on."""

    verdict: Readiness
    manifest: Manifest | None


async def until_ready(
    ctx: ActivityContext, target: ObjectRef, *, timeout_seconds: float, judge: Judge = readiness.judge
) -> str:
    """Return what was seen once `target` is ready.

    Raises `ObjectFailedError` when it has failed for good and `ObjectNotReadyError` after `timeout_seconds`.
    """
    seen = await until(ctx, target, judge=judge, timeout_seconds=timeout_seconds)
    if seen.verdict.state == "failed":
        reason = f"{seen.verdict.message}{await troubles.told(ctx, seen.manifest)}"
        raise errors.ObjectFailedError(str(target), reason)
    return seen.verdict.message


async def until_gone(ctx: ActivityContext, target: ObjectRef, *, uid: str = "", timeout_seconds: float) -> str:
    """Return once there is no such object, or only another one under its name; `uid` is the one meant, else the first.

    Raises `ObjectNotReadyError` after `timeout_seconds`.
    """
    meant = uid

    def judge(manifest: Manifest | None) -> Readiness:
        nonlocal meant
        if manifest is None:
            return Readiness("ready", "it is gone")
        found = fields.text(manifest, "metadata", "uid")
        meant = meant or found
        if found != meant:
            return Readiness("ready", "it is gone; another one has its name")
        held = fields.field(manifest, "metadata", "finalizers")
        by = f", held by {', '.join(map(str, held))}" if isinstance(held, list) and held else ""
        ending = fields.text(manifest, "metadata", "deletionTimestamp")
        return Readiness("waiting", f"it is being deleted{by}" if ending else "it exists, and nobody has deleted it")

    seen = await until(ctx, target, judge=judge, wanted="gone", timeout_seconds=timeout_seconds)
    return seen.verdict.message


async def until(
    ctx: ActivityContext, target: ObjectRef, *, judge: Judge, wanted: str = "ready", timeout_seconds: float
) -> Seen:
    """Return the first verdict that is not `waiting`. Raises `ObjectNotReadyError` after `timeout_seconds`."""
    last = Seen(Readiness("waiting", "nothing, the API server did not answer"), None)
    patience = asyncio.timeout(timeout_seconds)
    changes = ctx.kubernetes.watch(target.api_version, target.kind, target.name, namespace=target.namespace)
    try:
        async with patience, _beating(ctx), _closing(changes):
            async for manifest in changes:
                verdict = judge(manifest)
                if verdict.message != last.verdict.message:
                    ctx.trace_info("watching", object=str(target), state=verdict.state, seen=verdict.message)
                last = Seen(verdict, manifest)
                if verdict.state != "waiting":
                    return last
    except TimeoutError as error:
        if not patience.expired():
            raise
        said = f"{last.verdict.message}{await troubles.told(ctx, last.manifest)}"
        raise errors.ObjectNotReadyError(str(target), said, timeout_seconds=timeout_seconds, wanted=wanted) from error
    raise AssertionError("a watch never ends by itself")


@contextlib.asynccontextmanager
async def _beating(ctx: ActivityContext) -> AsyncIterator[None]:
    """Say that the wait goes on, also while nothing changes."""

    async def beat() -> None:
        while True:
            ctx.heartbeat()
            await asyncio.sleep(BEAT_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


@contextlib.asynccontextmanager
async def _closing(changes: AsyncIterator[Manifest | None]) -> AsyncIterator[None]:
    """Close the watch's connection when nobody looks any more, and not when the garbage collector comes by."""
    try:
        yield
    finally:
        close = getattr(changes, "aclose", None)
        if close is not None:
            await close()

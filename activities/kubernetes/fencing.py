"""Changing what is there: looked at first, changed only as it was seen, and never by an attempt that comes too late.

Theory of operation. A worker that was taken for dead may wake up, and go on with an attempt whose successor has long
finished. Its results are refused by the database; what it does to the cluster is refused here. Every write of an
attempt leaves its epoch on the object (`perdure.dev/epoch`, the database's time at which it began); who finds a later
one there is stale, and leaves the object alone (`StaleAttemptError`). Between looking and writing nothing can slip in:
each write is bound to the version that was looked at, and a conflict means to look again.

What is as it is wanted is not written at all: then a stale attempt of the same activity finds nothing to do either.
Whose an object is stands in `ownership`.
"""

from __future__ import annotations

from collections.abc import Callable

from activities.kubernetes import fields, ownership
from activities.types import ObjectRef
from perdure import ActivityContext, Manifest, errors

__all__ = ["ANNOTATION", "PATCHER", "TRIES", "changed", "created", "look", "require_current", "stamped", "too_busy"]

ANNOTATION = "perdure.dev/epoch"

PATCHER = "perdure-patch"
"""Whoever patches is another field manager: what was patched is not taken back when the object is applied again."""

Patch = Callable[[Manifest], Manifest]
"""What is to be merged into an object, given the object."""

TRIES = 20
"""So often somebody else may be faster. Each look takes milliseconds; a controller writes a few times a second."""


def require_current(ctx: ActivityContext, existing: Manifest) -> None:
    """Raise `StaleAttemptError` when an attempt that began later has written to the object."""
    seen = fields.text(existing, "metadata", "annotations", ANNOTATION)
    if seen.isdecimal() and int(seen) > ctx.info.epoch:
        raise errors.StaleAttemptError(ownership.describe(existing), ctx.info.epoch, seen=int(seen))


def stamped(ctx: ActivityContext, manifest: Manifest) -> Manifest:
    """Give the manifest as this run's own, with the epoch of this attempt."""
    return fields.merged(
        ownership.labelled(manifest, ctx.instance_id), {"metadata": {"annotations": {ANNOTATION: str(ctx.info.epoch)}}}
    )


async def look(ctx: ActivityContext, target: ObjectRef, *, require_own: bool = True) -> Manifest | None:
    """Give an object that this attempt may change; None when there is none.

    Raises `ObjectNotOwnedError` for one that is not this run's, and `StaleAttemptError`.
    """
    existing = await ctx.kubernetes.get(target.api_version, target.kind, target.name, namespace=target.namespace)
    if existing is None:
        return None
    if require_own:
        ownership.require_own(existing, ctx.instance_id)
    require_current(ctx, existing)
    return existing


async def created(ctx: ActivityContext, manifest: Manifest) -> Manifest | None:
    """Create an object as this run's own; None when there is one of that name, or when nobody knows: look again.

    What is not there has no epoch on it. So the worker makes sure that nobody has taken the attempt over, made the
    object and deleted it again.
    """
    await ctx.confirm()
    try:
        return await ctx.kubernetes.create(stamped(ctx, manifest), field_manager=ownership.FIELD_MANAGER)
    except errors.KubernetesUnavailableError:
        return None  # its answer was lost, or there was none


async def changed(
    ctx: ActivityContext, target: ObjectRef, *, patch: Patch | Manifest, require_own: bool = True
) -> Manifest:
    """Merge a patch into an object, or what a function makes of what is there, and give the object as it is then.

    Raises `ObjectMissingError`, `ObjectBusyError`, and what `look` and the function raise.
    """
    for _ in range(TRIES):
        existing = await look(ctx, target, require_own=require_own)
        if existing is None:
            raise errors.ObjectMissingError(str(target))
        wanted = patch(existing) if callable(patch) else patch
        if fields.merged(existing, wanted) == existing:
            return existing
        try:
            after = await ctx.kubernetes.patch(_addressed(ctx, existing, wanted), field_manager=PATCHER)
        except errors.KubernetesConflictError as error:
            if not error.retryable:
                raise
        else:
            if after is not None:
                ctx.trace_info("changed", object=str(target))
                return after
    raise too_busy(target)


def too_busy(target: ObjectRef) -> errors.ObjectBusyError:
    """Give the error for an object that others change faster than it can be looked at."""
    return errors.ObjectBusyError(str(target), f"others have changed it {TRIES} times in a row")


def _addressed(ctx: ActivityContext, existing: Manifest, patch: Manifest) -> Manifest:
    """Give the patch with the name of its object, the version it is for, and the epoch of this attempt."""
    metadata = fields.mapping(existing, "metadata")
    same: Manifest = {key: metadata[key] for key in ("name", "namespace", "resourceVersion") if key in metadata}
    who: Manifest = {"apiVersion": existing["apiVersion"], "kind": existing["kind"]}
    epoch: Manifest = {"metadata": {**same, "annotations": {ANNOTATION: str(ctx.info.epoch)}}}
    return fields.merged(fields.merged(patch, who), epoch)

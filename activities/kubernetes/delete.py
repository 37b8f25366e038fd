"""Delete objects that this run made; what is gone already is fine.

Each object is looked at first, and what was seen of it goes along as a precondition: neither what somebody made anew
under the same name in between is hit, nor what a later attempt has written to.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import fencing, fields, ownership, watching
from activities.types import DeleteInput, DeleteManyInput, DeleteManyOutput, DeleteOutput, ObjectRef
from perdure import ActivityContext, Preconditions, activity

__all__ = ["delete", "delete_many", "delete_one"]


@activity(names.KUBERNETES_DELETE)
async def delete(ctx: ActivityContext, input: DeleteInput) -> DeleteOutput:
    """Ask for the end of an object, and wait for it when `wait_seconds` says so.

    Raises `ObjectNotOwnedError` when the object is not this run's, `StaleAttemptError` when a later attempt has written
    to it, and `ObjectNotReadyError` when it is not gone in time.
    """
    return DeleteOutput(deleted=await delete_one(ownership.acting_for(ctx, input.owner), input))


@activity(names.KUBERNETES_DELETE_MANY)
async def delete_many(ctx: ActivityContext, input: DeleteManyInput) -> DeleteManyOutput:
    """Delete objects one after the other, each gone before the next unless `wait_seconds` is 0.

    By a selector only this run's own objects are deleted, others are passed by; targets by name must be this run's.
    Raises as `delete` does.
    """
    deleted = []
    for target in input.targets or await _selected(ctx, input):
        ctx.heartbeat()
        one = DeleteInput(
            **target.model_dump(by_alias=False), propagation=input.propagation, wait_seconds=input.wait_seconds
        )
        if await delete_one(ctx, one):
            deleted.append(target)
    return DeleteManyOutput(deleted=deleted)


async def delete_one(ctx: ActivityContext, input: DeleteInput) -> bool:
    """Delete one object, wait as long as the input says, and say whether there was something to delete."""
    uid = await _delete(ctx, input)
    if uid and input.wait_seconds:
        await watching.until_gone(ctx, input, uid=uid, timeout_seconds=input.wait_seconds)
    return bool(uid)


async def _delete(ctx: ActivityContext, input: DeleteInput) -> str:
    """Delete one object; give the uid of what is on its way out, or nothing when there was nothing to delete."""
    for _ in range(fencing.TRIES):
        existing = await fencing.look(ctx, input, require_own=input.require_own)
        uid = "" if existing is None else fields.text(existing, "metadata", "uid")
        if existing is None or input.uid not in {"", uid}:
            return ""
        if fields.text(existing, "metadata", "deletionTimestamp"):
            return uid
        seen = Preconditions(uid, fields.text(existing, "metadata", "resourceVersion"))
        if await ctx.kubernetes.delete(
            input.api_version,
            input.kind,
            input.name,
            namespace=input.namespace,
            preconditions=seen,
            propagation=input.propagation,
        ):
            ctx.trace_info("deleted", object=str(input))
            return uid
    raise fencing.too_busy(input)


async def _selected(ctx: ActivityContext, input: DeleteManyInput) -> list[ObjectRef]:
    found = await ctx.kubernetes.list(
        input.api_version, input.kind, namespace=input.namespace, label_selector=input.label_selector
    )
    return [
        ObjectRef(
            api_version=input.api_version,
            kind=input.kind,
            name=fields.text(manifest, "metadata", "name"),
            namespace=fields.text(manifest, "metadata", "namespace") or None,
        )
        for manifest in found
        if ownership.is_own(manifest, ctx.instance_id)
    ]

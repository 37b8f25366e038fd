"""Apply objects to the cluster, as the run's own: one or many, in the order given.

First every object is looked at, then all are applied: a refusal comes before half of them are made. What is not there
is created, so that of two who make the same object one gets it; what is there is changed by server-side apply, bound to
what was seen of it (`fencing`). Doing it again changes nothing but the epoch.

Server-side apply removes what an earlier manifest had and this one has not, as far as the earlier one was applied. So
what was created counts as applied from the next time on: its field manager's entry is turned into one of an apply, as
`kubectl apply --server-side` does with what an older kubectl made.
"""

from __future__ import annotations

from collections.abc import Sequence

from activities import names
from activities.kubernetes import fencing, fields, ownership
from activities.types import ApplyInput, ApplyOutput, ObjectRef
from perdure import ActivityContext, JsonValue, Manifest, activity, errors

__all__ = ["apply", "apply_own", "find_existing"]


@activity(names.KUBERNETES_APPLY)
async def apply(ctx: ActivityContext, input: ApplyInput) -> ApplyOutput:
    """Apply manifests, labelled as this run's, or as those of the `owner` it names.

    Raises `ObjectNotOwnedError` when one exists that is another's, unless the input says to take it over, and
    `StaleAttemptError` when a later attempt was here.
    """
    ctx = ownership.acting_for(ctx, input.owner)
    applied = await apply_own(ctx, input.manifests, take_over=input.take_over)
    return ApplyOutput(objects=[ownership.reference(manifest) for manifest in applied])


async def apply_own(
    ctx: ActivityContext,
    manifests: Sequence[Manifest],
    *,
    take_over: bool = False,
    seen: Sequence[Manifest | None] | None = None,
) -> list[Manifest]:
    """Apply manifests as this run's own and give them back as the server has them.

    `seen` is what `find_existing` gave for each, if somebody has looked: what changed since is found by writing.
    """
    if seen is None:
        seen = [await find_existing(ctx, manifest, take_over=take_over) for manifest in manifests]
    applied = []
    for manifest, before in zip(manifests, seen, strict=True):
        applied.append(await _apply_one(ctx, manifest, before, take_over=take_over))
        ctx.trace_info("applied", object=ownership.describe(applied[-1]))
        ctx.heartbeat()
    return applied


async def find_existing(ctx: ActivityContext, manifest: Manifest, *, take_over: bool = False) -> Manifest | None:
    """Give the object that a manifest would change; None when it would be made.

    Raises `ObjectNotOwnedError` for one that is not this run's, `StaleAttemptError` for one that a later attempt has
    written, and `ObjectTerminatingError` for one on its way out.
    """
    existing = await fencing.look(ctx, _target(manifest), require_own=not take_over)
    if existing is not None and fields.text(existing, "metadata", "deletionTimestamp"):
        raise errors.ObjectTerminatingError(ownership.describe(existing))
    return existing


async def _apply_one(ctx: ActivityContext, manifest: Manifest, before: Manifest | None, *, take_over: bool) -> Manifest:
    """Create or change one object; look again while others are faster, but let them keep what they took over."""
    for _ in range(fencing.TRIES):
        try:
            after = await (fencing.created(ctx, manifest) if before is None else _change(ctx, manifest, before))
        except errors.KubernetesConflictError as error:
            if not error.retryable or (before is not None and not ownership.is_own(before, ctx.instance_id)):
                raise
            after = None
        if after is not None:
            return after
        before = await find_existing(ctx, manifest, take_over=take_over)
    raise fencing.too_busy(_target(manifest))


async def _change(ctx: ActivityContext, manifest: Manifest, before: Manifest) -> Manifest | None:
    """Apply to what was seen; None when it is gone meanwhile."""
    seen: Manifest | None = before
    if (entries := _as_applied(before)) is not None:
        metadata: Manifest = {**fields.mapping(before, "metadata"), "managedFields": entries}
        patch: Manifest = {"apiVersion": before["apiVersion"], "kind": before["kind"], "metadata": metadata}
        seen = await ctx.kubernetes.patch(patch, field_manager=ownership.FIELD_MANAGER)
    if seen is None:
        return None
    wanted = ownership.bound(fencing.stamped(ctx, manifest), seen)
    return await ctx.kubernetes.apply(wanted, field_manager=ownership.FIELD_MANAGER)


def _as_applied(existing: Manifest) -> list[JsonValue] | None:
    """Give the entries of the field managers with the one that created the object as one that applied it.

    None when there is nothing to be turned.
    """
    entries = list(fields.items(existing, "metadata", "managedFields"))
    mine = [entry for entry in entries if entry.get("manager") == ownership.FIELD_MANAGER]
    mine = [entry for entry in mine if not fields.text(entry, "subresource")]
    if [entry.get("operation") for entry in mine] != ["Update"]:
        return None
    return [{**entry, "operation": "Apply"} if entry is mine[0] else entry for entry in entries]


def _target(manifest: Manifest) -> ObjectRef:
    return ObjectRef(
        api_version=fields.text(manifest, "apiVersion"),
        kind=fields.text(manifest, "kind"),
        name=fields.text(manifest, "metadata", "name"),
        namespace=fields.text(manifest, "metadata", "namespace") or None,
    )

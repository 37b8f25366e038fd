"""Apply objects to the cluster, as the run's own: one or many, in the order given.

Server-side apply, so doing it again changes nothing. First every object is looked at, then all are applied: a refusal
comes before half of them are made. Two runs that make the same *new* object within the same few milliseconds are the
one case that this order cannot keep apart (server-side apply has no "only if absent"); who needs that creates a Secret
or ConfigMap first, as `activities.postgres.deploy` does.
"""

from __future__ import annotations

from collections.abc import Sequence

from activities import names
from activities.kubernetes import fields, ownership
from activities.types import AppliedObject, ApplyInput, ApplyOutput
from perdure import ActivityContext, Manifest, activity, errors

__all__ = ["apply", "apply_own", "find_existing"]


@activity(names.KUBERNETES_APPLY)
async def apply(ctx: ActivityContext, input: ApplyInput) -> ApplyOutput:
    """Apply manifests, labelled as this run's.

    Raises `ObjectNotOwnedError` when one exists that is not this run's, unless the input says to take it over.
    """
    applied = await apply_own(ctx, input.manifests, take_over=input.take_over)
    return ApplyOutput(objects=[_reference(manifest) for manifest in applied])


async def apply_own(ctx: ActivityContext, manifests: Sequence[Manifest], *, take_over: bool = False) -> list[Manifest]:
    """Apply manifests as this run's own and give them back as the server has them."""
    existing = [await find_existing(ctx, manifest, take_over=take_over) for manifest in manifests]
    applied = []
    for manifest, before in zip(manifests, existing, strict=True):
        wanted = ownership.labelled(manifest, ctx.instance_id)
        bound = ownership.preconditions(wanted, before, instance_id=ctx.instance_id)
        applied.append(await ctx.kubernetes.apply(bound, field_manager=ownership.FIELD_MANAGER))
        ctx.trace_info("applied", object=ownership.describe(applied[-1]))
    return applied


async def find_existing(ctx: ActivityContext, manifest: Manifest, *, take_over: bool = False) -> Manifest | None:
    """Give the object that a manifest would change; None when it would be made.

    Raises `ObjectNotOwnedError` for one that is not this run's and `ObjectTerminatingError` for one on its way out.
    """
    existing = await ctx.kubernetes.get(
        fields.text(manifest, "apiVersion"),
        fields.text(manifest, "kind"),
        fields.text(manifest, "metadata", "name"),
        namespace=fields.text(manifest, "metadata", "namespace") or None,
    )
    if existing is None:
        return None
    if not take_over:
        ownership.require_own(existing, ctx.instance_id)
    if fields.text(existing, "metadata", "deletionTimestamp"):
        raise errors.ObjectTerminatingError(ownership.describe(existing))
    return existing


def _reference(manifest: Manifest) -> AppliedObject:
    return AppliedObject(
        api_version=fields.text(manifest, "apiVersion"),
        kind=fields.text(manifest, "kind"),
        name=fields.text(manifest, "metadata", "name"),
        namespace=fields.text(manifest, "metadata", "namespace") or None,
        uid=fields.text(manifest, "metadata", "uid"),
    )

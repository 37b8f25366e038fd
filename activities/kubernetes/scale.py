"""Scale an object that has replicas, by its `scale` subresource: any kind that has one, custom resources among them.

The subresource has no annotations. So the object itself is marked first, with the epoch and with what there was before
(for who wants to go back, also in a second attempt), and then scaled in the very version that was marked.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import fencing, fields, watching
from activities.types import ScaleInput, ScaleOutput
from perdure import ActivityContext, Manifest, activity, errors

__all__ = ["SCALED_FROM", "scale"]

SCALED_FROM = "perdure.dev/scaled-from"
"""The annotation with the replicas before and the activity that changed them."""


@activity(names.KUBERNETES_SCALE)
async def scale(ctx: ActivityContext, input: ScaleInput) -> ScaleOutput:
    """Set the replicas and, unless `timeout_seconds` is 0, return when they are ready.

    Raises `ObjectNotReadyError` after `timeout_seconds`, `KubernetesKindUnknownError` for a kind that cannot be scaled,
    and what `fencing.changed` raises.
    """
    before = await _scaled(ctx, input)
    if input.timeout_seconds:
        await watching.until_ready(ctx, input, timeout_seconds=input.timeout_seconds)
    return ScaleOutput(before=before, after=input.replicas)


async def _scaled(ctx: ActivityContext, input: ScaleInput) -> int:
    """Set the replicas; give those that were wanted before the first attempt."""
    for _ in range(fencing.TRIES):
        existing = await fencing.look(ctx, input)
        if existing is None:
            raise errors.ObjectMissingError(str(input))
        found = await _scale_or_none(ctx, input)
        if found is None:
            continue  # it is gone since
        now = fields.number(found, "spec", "replicas") or 0
        before = _noted(ctx, existing)
        if now == input.replicas:
            return now if before is None else before
        before = now if before is None else before
        note: Manifest = {"metadata": {"annotations": {SCALED_FROM: f"{before} {ctx.idempotency_key}"}}}
        marked = await fencing.changed(ctx, input, patch=note)
        if await _set(ctx, input, version=fields.text(marked, "metadata", "resourceVersion")):
            ctx.trace_info("scaled", object=str(input), before=now, after=input.replicas)
            return before
    raise fencing.too_busy(input)


async def _scale_or_none(ctx: ActivityContext, input: ScaleInput) -> Manifest | None:
    return await ctx.kubernetes.get(
        input.api_version, input.kind, input.name, namespace=input.namespace, subresource="scale"
    )


async def _set(ctx: ActivityContext, input: ScaleInput, *, version: str) -> bool:
    """Scale the object as it was in this version; False when somebody has changed it since."""
    place: Manifest = {"namespace": input.namespace} if input.namespace else {}
    patch: Manifest = {
        "apiVersion": input.api_version,
        "kind": input.kind,
        "metadata": {"name": input.name, "resourceVersion": version, **place},
        "spec": {"replicas": input.replicas},
    }
    try:
        return await ctx.kubernetes.patch(patch, field_manager=fencing.PATCHER, subresource="scale") is not None
    except errors.KubernetesConflictError as error:
        if not error.retryable:
            raise
        return False


def _noted(ctx: ActivityContext, existing: Manifest) -> int | None:
    """Give what an earlier attempt of this activity found, None when there was none."""
    replicas, _, key = fields.text(existing, "metadata", "annotations", SCALED_FROM).partition(" ")
    return int(replicas) if key == ctx.idempotency_key and replicas.isdecimal() else None

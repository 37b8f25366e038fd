"""Read one object of the cluster.

What an activity returns stands in history for ever. So the values of a Secret are left out (its keys stay), together
with the annotation in which `kubectl apply` repeats them, and the bookkeeping of field managers that nobody reads.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import fields
from activities.types import GetOutput, ObjectRef
from perdure import ActivityContext, Manifest, activity

__all__ = ["get", "presentable"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@activity(names.KUBERNETES_GET)
async def get(ctx: ActivityContext, input: ObjectRef) -> GetOutput:
    """Give an object as it is now, or None when there is none."""
    found = await ctx.kubernetes.get(input.api_version, input.kind, input.name, namespace=input.namespace)
    return GetOutput(manifest=None if found is None else presentable(found))


def presentable(manifest: Manifest) -> Manifest:
    """Give the object without secrets and without noise."""
    metadata = {key: value for key, value in fields.mapping(manifest, "metadata").items() if key != "managedFields"}
    annotations = fields.mapping(metadata, "annotations")
    if LAST_APPLIED in annotations:
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    shown: Manifest = {**manifest, "metadata": metadata}
    if fields.text(manifest, "kind") == "Secret" and "data" in manifest:
        shown["data"] = dict.fromkeys(fields.mapping(manifest, "data"), "")
    return shown

"""Delete one object that this run made; one that is gone already is fine.

The object is looked at first, and its uid goes along as a precondition: what somebody made anew under the same name
in between is not hit.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import fields, ownership
from activities.types import DeleteOutput, ObjectRef
from perdure import ActivityContext, activity

__all__ = ["delete"]


@activity(names.KUBERNETES_DELETE)
async def delete(ctx: ActivityContext, input: ObjectRef) -> DeleteOutput:
    """Ask for the end of an object; its dependents end with it in the background.

    Raises `ObjectNotOwnedError` when the object is not this run's.
    """
    existing = await ctx.kubernetes.get(input.api_version, input.kind, input.name, namespace=input.namespace)
    if existing is None:
        return DeleteOutput(deleted=False)
    ownership.require_own(existing, ctx.instance_id)
    uid = fields.text(existing, "metadata", "uid")
    deleted = await ctx.kubernetes.delete(input.api_version, input.kind, input.name, namespace=input.namespace, uid=uid)
    ctx.trace_info("deleted", object=ownership.describe(existing))
    return DeleteOutput(deleted=deleted)

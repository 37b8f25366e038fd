"""List objects of one kind by their labels, as many as history should hold.

For more of them, or for a part of each, write an activity that looks and returns what it was looking for.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes.get import presentable
from activities.types import ListInput, ListOutput
from perdure import ActivityContext, activity

__all__ = ["list_objects"]


@activity(names.KUBERNETES_LIST)
async def list_objects(ctx: ActivityContext, input: ListInput) -> ListOutput:
    """Give the objects as they are now, without the values of Secrets, and say whether there are more."""
    found = await ctx.kubernetes.list(
        input.api_version,
        input.kind,
        namespace=input.namespace,
        label_selector=input.label_selector,
        limit=input.limit + 1,
    )
    return ListOutput(
        manifests=[presentable(manifest) for manifest in found[: input.limit]], truncated=len(found) > input.limit
    )

"""What the shop does to the world."""

from perdure import ActivityContext, Manifest, NonRetryableError, activity
from shop import names
from shop.types import Parcel


@activity(names.PACK)
async def pack(ctx: ActivityContext, parcel: Parcel) -> str:
    """Make the parcel. Done again after a crash, it finds its own and leaves it as it is."""
    contents: Manifest = {"order": ctx.instance_id, "item": parcel.item}
    made = await ctx.kubernetes.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": parcel.name}, "data": contents},
        field_manager="shop",
    )
    if made is None:
        found = await ctx.kubernetes.get("v1", "ConfigMap", parcel.name)
        if found is None or found.get("data") != contents:
            raise NonRetryableError(f"The parcel {parcel.name} belongs to somebody else.")
    return parcel.name

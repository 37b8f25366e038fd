"""An order, from its items to its parcels."""

from datetime import timedelta

from perdure import Exponential, OrchestrationContext, RetryPolicy, orchestration
from shop import names
from shop.activities import pack
from shop.types import OrderInput, Parcel, Shipment

RETRY = RetryPolicy(10, backoff=Exponential(base=1, multiplier=2.0, max=30), timeout=60)


@orchestration(names.ORDER, version="1.0.0")
async def order(ctx: OrchestrationContext, input: OrderInput) -> Shipment:
    """Pack one item after the other."""
    parcels: list[str] = []
    for item in input.items:
        ctx.set_progress(len(parcels), len(input.items), f"packing {item}")
        parcel = Parcel(name=f"{input.number}-{len(parcels) + 1}", item=item)
        parcels.append(await ctx.schedule_activity(pack, parcel, retry=RETRY))
        await ctx.schedule_timer(timedelta(seconds=input.pace))
    ctx.set_progress(len(parcels), len(parcels), "all is packed")
    return Shipment(parcels=parcels)

"""Note one look at a server, and count.

How often in a row it was not healthy stands at the server itself, so that it stays true when records go; they go in the
statement that adds one, so there is never more of them than was asked for.
"""

from __future__ import annotations

from activities import names
from activities.inventory import servers
from activities.inventory.schema import statement, transact
from activities.types import HealthRecordInput, HealthSummary
from perdure import ActivityContext, Transaction, activity

__all__ = ["record_health"]


@activity(names.INVENTORY_RECORD_HEALTH)
async def record_health(ctx: ActivityContext, input: HealthRecordInput) -> HealthSummary:
    """Write one look down and give the count. Raises `NameNotReservedError` and `NameTakenError`."""
    return await transact(ctx, lambda transaction: _once(ctx, transaction, input))


async def _once(ctx: ActivityContext, transaction: Transaction, input: HealthRecordInput) -> HealthSummary:
    held = await servers.hold(ctx, transaction, name=input.name, owner=input.owner)
    counted = held.row
    if not await transaction.fetch(statement("health_of_key"), held.server_id, ctx.idempotency_key):
        (counted,) = await transaction.fetch(
            statement("record_health"),
            held.server_id,
            input.healthy,
            input.message,
            input.latency_ms,
            ctx.idempotency_key,
            input.keep,
            input.keep_days,
        )
    return HealthSummary.model_validate(
        {
            "consecutive_failures": counted["consecutive_failures"],
            "since": counted["health_since"],
            "last_ok": counted["last_ok_at"],
        }
    )

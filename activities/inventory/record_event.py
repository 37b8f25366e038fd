"""Note something that happened to a server, for people who ask later what came of it.

The newest two hundred events of a server are kept. An attempt that comes again notes nothing twice.
"""

from __future__ import annotations

from activities import names
from activities.inventory import servers
from activities.inventory.schema import transact
from activities.types import EventInput, EventOutput
from perdure import ActivityContext, Transaction, activity

__all__ = ["record_event"]


@activity(names.INVENTORY_RECORD_EVENT)
async def record_event(ctx: ActivityContext, input: EventInput) -> EventOutput:
    """Write one event down. Raises `NameNotReservedError` and `NameTakenError`."""

    async def once(transaction: Transaction) -> EventOutput:
        held = await servers.hold(ctx, transaction, name=input.name, owner=input.owner)
        await servers.note(ctx, transaction, held=held, kind=input.kind, message=input.message)
        return EventOutput()

    return await transact(ctx, once)

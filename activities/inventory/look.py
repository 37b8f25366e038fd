"""Read the inventory: one server with what happened to it, or the names of a namespace."""

from __future__ import annotations

import json

from activities import names
from activities.inventory.schema import statement, transact
from activities.types import EntryInput, InventoryEntry, InventoryListInput, InventoryListOutput, InventoryName
from perdure import ActivityContext, Transaction, activity

__all__ = ["get_entry", "list_names"]


@activity(names.INVENTORY_GET)
async def get_entry(ctx: ActivityContext, input: EntryInput) -> InventoryEntry | None:
    """Give what is known of the server that holds a name, else of the last that did; None when none ever did."""

    async def once(transaction: Transaction) -> InventoryEntry | None:
        rows = await transaction.fetch(statement("get_server"), ctx.info.namespace, input.name)
        if not rows:
            return None
        server = dict(rows[0])
        server_id, details = server.pop("server_id"), json.loads(str(server.pop("details")))
        events = await transaction.fetch(statement("get_events"), server_id, input.shown)
        health = await transaction.fetch(statement("get_health"), server_id, input.shown)
        return InventoryEntry.model_validate({**server, "details": details, "events": events, "health": health})

    return await transact(ctx, once)


@activity(names.INVENTORY_LIST)
async def list_names(ctx: ActivityContext, input: InventoryListInput) -> InventoryListOutput:
    """Give the names that are held in the run's namespace."""

    async def once(transaction: Transaction) -> InventoryListOutput:
        wanted = (ctx.info.namespace, input.after, input.limit + 1)
        rows = await transaction.fetch(statement("list_servers"), *wanted)
        found = [InventoryName.model_validate(row) for row in rows]
        return InventoryListOutput(servers=found[: input.limit], truncated=len(found) > input.limit)

    return await transact(ctx, once)

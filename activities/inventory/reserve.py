"""Reserve a name and a DNS label for an instance: the first thing that is done for a new server.

Two unique indexes decide, not a look beforehand. What they refuse is then explained: who holds what. In between the
holder may have given it back, so it is tried again; every time round somebody else has come further.
"""

from __future__ import annotations

from activities import names
from activities.inventory.schema import statement, transact
from activities.inventory.servers import to_state
from activities.types import ReserveInput, ReserveOutput
from perdure import ActivityContext, Transaction, activity, errors

__all__ = ["reserve"]

_ROUNDS = 10
"""More than that many owners within one moment are no race but a mistake of somebody."""


@activity(names.INVENTORY_RESERVE)
async def reserve(ctx: ActivityContext, input: ReserveInput) -> ReserveOutput:
    """Reserve a name; the same owner gets the same answer again.

    An activity reserves once: an attempt that comes after the name was released again finds that, and takes nothing.
    Raises `NameTakenError` when another instance holds the name, or another server the label.
    """
    for _ in range(_ROUNDS):
        found = await transact(ctx, lambda transaction: _once(ctx, transaction, input))
        if found is not None:
            return found
    raise errors.NameContestedError(input.name, ctx.info.namespace)


async def _once(ctx: ActivityContext, transaction: Transaction, input: ReserveInput) -> ReserveOutput | None:
    """Reserve, or say why not; None when who stood in the way is gone again."""
    namespace, key = ctx.info.namespace, ctx.idempotency_key
    owner, label = input.owner or ctx.instance_id, input.dns_label or input.name
    wanted = (namespace, input.name, label, input.version, input.storage, owner, key)
    await transaction.fetch(statement("reserve"), *wanted)
    for row in await transaction.fetch(statement("holders"), namespace, input.name, label, key):
        if row["name"] == input.name and (row["is_reserved_here"] or row["owner"] == owner):
            return ReserveOutput(
                name=input.name,
                dns_label=str(row["dns_label"]),
                state=to_state(row),
                created=bool(row["is_reserved_here"]),
            )
        what = f"The name {input.name}" if row["name"] == input.name else f"The DNS label {label}"
        raise errors.NameTakenError(what, namespace, owner=str(row["owner"]), wanted_by=owner)
    return None

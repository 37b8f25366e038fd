"""The server that holds a name: found and held for a transaction, by every activity that says something of it.

Who holds it, nobody else changes until the transaction ends: so what an activity reads after that stays true while it
writes. Locks are taken in this order: the server, its events, its health.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass

from activities.inventory.schema import statement
from activities.types import ServerState
from perdure import ActivityContext, Transaction, errors

__all__ = ["KEPT_EVENTS", "Held", "hold", "hold_or_none", "note", "to_state"]

KEPT_EVENTS = 200
"""Events of one server; older ones go. Its last failure is not among them: that has columns of its own."""


@dataclass(frozen=True, slots=True)
class Held:
    """A server whose row is locked."""

    server_id: int
    owner: str
    dns_label: str
    state: ServerState
    row: Mapping[str, object]

    def require_owner(self, ctx: ActivityContext, name: str, *, owner: str | None) -> None:
        """Raise `NameTakenError` when another instance than `owner` holds the name; without one, anybody's will do."""
        if owner and owner != self.owner:
            raise errors.NameTakenError(f"The name {name}", ctx.info.namespace, owner=self.owner, wanted_by=owner)


async def hold(ctx: ActivityContext, transaction: Transaction, *, name: str, owner: str | None) -> Held:
    """Hold the server of a name until the transaction ends.

    Raises `NameNotReservedError` when there is none, `NameTakenError` when it is not that owner's.
    """
    held = await hold_or_none(ctx, transaction, name=name)
    if held is None:
        raise errors.NameNotReservedError(name, ctx.info.namespace)
    held.require_owner(ctx, name, owner=owner)
    return held


async def hold_or_none(ctx: ActivityContext, transaction: Transaction, *, name: str) -> Held | None:
    """Hold the server of a name until the transaction ends; None when nobody has the name."""
    rows = await transaction.fetch(statement("lock_server"), ctx.info.namespace, name)
    if not rows:
        return None
    row = rows[0]
    return Held(typing.cast("int", row["server_id"]), str(row["owner"]), str(row["dns_label"]), to_state(row), row)


async def note(
    ctx: ActivityContext, transaction: Transaction, *, held: Held, kind: str, message: str, says_state: bool = False
) -> None:
    """Note what happened to a server, once for an activity, and keep no more events than there may be.

    `says_state`: that it stays in the state it is in.
    """
    state = held.state if says_state else None
    arguments = (held.server_id, kind, message, ctx.idempotency_key, state, state)
    await transaction.fetch(statement("record_event"), *arguments)
    await transaction.fetch(statement("prune_events"), held.server_id, KEPT_EVENTS)


def to_state(row: Mapping[str, object], column: str = "state") -> ServerState:
    """Give the state that stands in a column; the tables hold no other words."""
    return typing.cast("ServerState", row[column])

"""Bring a server to a state, as the table of states allows it, and note the change.

An attempt finds what an earlier one of the same activity has noted, and gives the same answer: what others have changed
since is not undone.
"""

from __future__ import annotations

import json

from activities import names
from activities.inventory import servers, states
from activities.inventory.schema import statement, transact
from activities.types import SetStateInput, StateOutput
from perdure import ActivityContext, Transaction, activity, errors

__all__ = ["set_state"]


@activity(names.INVENTORY_SET_STATE)
async def set_state(ctx: ActivityContext, input: SetStateInput) -> StateOutput:
    """Change the state of a server.

    A server in none of the `expected` states is left as it is, and so is one that failed and is cleaned up. Raises
    `StateTransitionError` for what may not follow, `NameNotReservedError` and `NameTakenError`.
    """
    return await transact(ctx, lambda transaction: _once(ctx, transaction, input))


async def _once(ctx: ActivityContext, transaction: Transaction, input: SetStateInput) -> StateOutput:
    held = await servers.hold(ctx, transaction, name=input.name, owner=input.owner)
    for said in await transaction.fetch(statement("event_of_key"), held.server_id, ctx.idempotency_key):
        return StateOutput(state=servers.to_state(said, "to_state"), changed=said["from_state"] != said["to_state"])
    verdict = states.judge(held.state, input.state, expected=input.expected)
    match verdict:
        case "unexpected":
            return StateOutput(state=held.state, changed=False)
        case "refuse":
            raise errors.StateTransitionError(input.name, held.state, input.state)
        case "keep":
            message = f"{input.state}: {input.message}" if input.message else input.state
            await servers.note(ctx, transaction, held=held, kind="kept", message=message, says_state=True)
            return StateOutput(state=held.state, changed=False)
        case "change" | "say again":
            await _write(ctx, transaction, held, input)
            return StateOutput(state=input.state, changed=verdict == "change")


async def _write(ctx: ActivityContext, transaction: Transaction, held: servers.Held, input: SetStateInput) -> None:
    await transaction.fetch(
        statement("set_state"),
        held.server_id,
        held.state,
        input.state,
        input.message,
        json.dumps(input.details),
        input.actor,
        input.version,
        input.storage,
        ctx.idempotency_key,
    )
    await transaction.fetch(statement("prune_events"), held.server_id, servers.KEPT_EVENTS)

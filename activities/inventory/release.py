"""Give a name and its DNS label back: the last thing that is done for a server.

A name that is free while the old server's Service or volume still lives leads clients of the new server to the old one,
or the new one to old data. So the cluster is looked at first, and while there is anything of the server the name stays
reserved. That may be asked again, for what is on its way out; but what nobody deletes stays, so not for ever.
"""

from __future__ import annotations

from activities import names
from activities.inventory import servers
from activities.inventory.schema import statement, transact
from activities.postgres import objects
from activities.types import ReleaseInput, ReleaseOutput
from perdure import ActivityContext, Transaction, activity, errors

__all__ = ["release"]

_LOOKS = 5
"""An attempt of this number says that trying alone does not help: with `PATIENT`, after 15 s."""

_KEPT_SERVERS = 10
"""Servers of one name that are remembered after their release."""


@activity(names.INVENTORY_RELEASE)
async def release(ctx: ActivityContext, input: ReleaseInput) -> ReleaseOutput:
    """Release a name; what the server was and what happened to it stays readable.

    Raises `NameInUseError` while an object of the server exists, retryable for the first few attempts, and
    `NameTakenError` when it is not that owner's.
    """
    found = await transact(ctx, lambda transaction: _find(ctx, transaction, input))
    if isinstance(found, ReleaseOutput):
        return found
    if ctx.info.run_as:
        living = await objects.living(ctx, input.name)
        if input.keep_volumes:
            living = [each for each in living if each.kind not in objects.KINDS_OF_DATA]
        if living:
            raise errors.NameInUseError(
                input.name, ctx.info.namespace, [str(each) for each in living], retryable=ctx.attempt < _LOOKS
            )
    return await transact(ctx, lambda transaction: _once(ctx, transaction, input, seen=found))


async def _find(ctx: ActivityContext, transaction: Transaction, input: ReleaseInput) -> servers.Held | ReleaseOutput:
    """Give the server to release, or the answer when that is over: also when it has just been done beside us."""
    held = await servers.hold_or_none(ctx, transaction, name=input.name)
    released_by = (ctx.info.namespace, input.name, ctx.idempotency_key)
    if await transaction.fetch(statement("released_by"), *released_by):
        return ReleaseOutput(released=True)
    if held is None:
        return ReleaseOutput(released=False)
    held.require_owner(ctx, input.name, owner=input.owner)
    return held


async def _once(
    ctx: ActivityContext, transaction: Transaction, input: ReleaseInput, *, seen: servers.Held
) -> ReleaseOutput:
    """Release the server whose objects were looked for; one that took the name since stays."""
    found = await _find(ctx, transaction, input)
    if isinstance(found, ReleaseOutput) or found.server_id != seen.server_id:
        return found if isinstance(found, ReleaseOutput) else ReleaseOutput(released=False)
    await transaction.fetch(statement("release"), found.server_id, ctx.idempotency_key)
    if not input.keep_history:
        await transaction.fetch(statement("forget_events"), found.server_id)
    await transaction.fetch(statement("forget_released"), ctx.info.namespace, input.name, _KEPT_SERVERS)
    return ReleaseOutput(released=True)

"""Remove a Postgres server: its actor first, then its objects in order, and last its name.

The name is given back when nothing of the server is there any more; so whoever takes it next finds no old Service that
leads to an old Pod. What is there after all is deleted too: a controller that hears late of the end of a StatefulSet
may make a claim for it after the last look. A server that failed stays `failed` in the inventory: cleaning up erases no
story.
"""

from __future__ import annotations

from activities.inventory.look import get_entry
from activities.inventory.release import release
from activities.inventory.set_state import set_state
from activities.postgres.delete import delete_postgres_objects
from activities.types import (
    DeletePostgresObjectsInput,
    EntryInput,
    InventoryEntry,
    ReleaseInput,
    SetStateInput,
)
from perdure import ActivityError, NonRetryableError, OrchestrationContext, orchestration
from perdure.errors import NameInUseError
from workflows import names, owners, servers
from workflows.types import DeletePostgresInput, DeletePostgresOutput

__all__ = ["delete_postgres"]

ACTOR_SECONDS = 90.0
"""An actor answers between two steps of its own, and the longest of them is a minute."""


@orchestration(names.DELETE_POSTGRES, version="1.0.0")
async def delete_postgres(ctx: OrchestrationContext, input: DeletePostgresInput) -> DeletePostgresOutput:
    """Stop who looks after the server, delete what it consists of, and give its name back.

    `postgres-actor` calls it as a function: whoever copies it for another version copies its caller too.
    """
    ctx.set_progress(0, 3, f"looking {input.name} up")
    entry = await ctx.schedule_activity(get_entry, EntryInput(name=input.name, shown=0), retry=servers.PATIENT)
    entry = None if entry is None or entry.released_at else entry
    owner = _owner(ctx, input, entry)
    if entry:
        await ctx.schedule_activity(set_state, SetStateInput(name=input.name, state="deleting"), retry=servers.PATIENT)
    if entry and entry.actor and not input.is_actor_stopped:
        await _stop_actor(ctx, entry.actor)

    deleted = await _delete_objects(ctx, input, owner)
    if entry:
        try:
            await _give_back(ctx, ReleaseInput(name=input.name, keep_volumes=input.keep_volumes))
        except ActivityError as error:
            if error.type != NameInUseError.__name__ or not await _is_still(ctx, entry):
                raise
            ctx.trace_warn(f"{input.name} is deleted once more: {error.message}")
            deleted += await _delete_objects(ctx, input, owner)
            await _give_back(ctx, ReleaseInput(name=input.name, owner=entry.owner, keep_volumes=input.keep_volumes))
    ctx.set_progress(3, 3, f"{input.name} is gone")
    return DeletePostgresOutput(deleted=list(dict.fromkeys(deleted)))


async def _delete_objects(ctx: OrchestrationContext, input: DeletePostgresInput, owner: str) -> list[str]:
    """Delete what there is of the server in the cluster, and say what that was."""
    ctx.set_progress(1, 3, f"deleting the objects of {input.name}")
    gone = await ctx.schedule_activity(
        delete_postgres_objects,
        DeletePostgresObjectsInput(
            name=input.name, owner=owner, delete_volumes=not input.keep_volumes, delete_backups=input.delete_backups
        ),
        retry=servers.UNHURRIED,
    )
    return gone.deleted


async def _give_back(ctx: OrchestrationContext, input: ReleaseInput) -> None:
    ctx.set_progress(2, 3, f"giving the name {input.name} back")
    await ctx.schedule_activity(release, input, retry=servers.PATIENT)


async def _is_still(ctx: OrchestrationContext, entry: InventoryEntry) -> bool:
    """Say whether the name is still that server's, and has not been given back by somebody else and taken anew."""
    now = await ctx.schedule_activity(get_entry, EntryInput(name=entry.name, shown=0), retry=servers.PATIENT)
    return now is not None and now.reserved_at == entry.reserved_at and now.released_at is None


def _owner(ctx: OrchestrationContext, input: DeletePostgresInput, entry: InventoryEntry | None) -> str:
    """Give whose objects go. Who names an owner means no other; else it is the one of the inventory."""
    if entry and input.owner and entry.owner != input.owner:
        raise NonRetryableError(f"{input.name} belongs to {entry.owner}, and was to be deleted as {input.owner}'s.")
    return input.owner or (entry.owner if entry else owners.owner_of(ctx.instance_id))


async def _stop_actor(ctx: OrchestrationContext, actor: str) -> None:
    """Tell the actor to end, and wait for its word: what it makes after the deletion would stay."""
    ctx.set_progress(0, 3, f"asking {actor} to stop")
    ctx.send_signal(actor, servers.INSTANCE_DELETED, servers.Deleted(reply_to=ctx.instance_id))
    index, _ = await ctx.select(ctx.schedule_wait(servers.ACTOR_STOPPED), ctx.schedule_timer(ACTOR_SECONDS))
    if index == 1:
        ctx.trace_warn(f"{actor} did not answer within {ACTOR_SECONDS:g} s: it has ended before, or cannot run")

"""Back a Postgres server up, or bring a backup back: one run for one of both, made for a schedule.

Run every night by an OrchestrationSchedule, it says in its output and in the inventory what it has made; a night that
failed is a run that failed. A server whose volume was lost is made again empty, by its actor or by create-postgres, and
then gets its data by the same orchestration with `restore`.
"""

from __future__ import annotations

from activities.inventory.look import get_entry
from activities.inventory.record_event import record_event
from activities.postgres.backup import backup_database
from activities.postgres.restore import restore_database
from activities.types import BackupInput, EntryInput, EventInput, InventoryEntry, RestoreInput
from perdure import ActivityError, Exponential, NonRetryableError, OrchestrationContext, RetryPolicy, orchestration
from workflows import names, owners, servers
from workflows.types import BackupPostgresInput, BackupPostgresOutput

__all__ = ["backup_postgres"]

WHILE_AWAY = RetryPolicy(8, backoff=Exponential(base=2, multiplier=2.0, max=60))
"""For a Job that cannot be started or watched now; one that has failed is not run again."""


@orchestration(names.BACKUP_POSTGRES, version="1.0.0")
async def backup_postgres(ctx: OrchestrationContext, input: BackupPostgresInput) -> BackupPostgresOutput:
    """Find out whose the server is, do it, and note in the inventory what came of it."""
    ctx.set_progress(0, 2, f"looking {input.name} up")
    entry = await ctx.schedule_activity(get_entry, EntryInput(name=input.name, shown=0), retry=servers.PATIENT)
    known = entry if entry and entry.released_at is None else None
    if known and known.state in servers.TAKEN_AWAY:
        raise NonRetryableError(f"{input.name} is {known.state}: {known.message or 'try again when that is over'}")
    owner = input.owner or (known.owner if known else owners.owner_of(ctx.instance_id))
    what = "restore" if input.restore else "backup"
    try:
        ctx.set_progress(1, 2, f"restoring {input.restore}" if input.restore else f"backing {input.name} up")
        done = await (_restore(ctx, input, owner) if input.restore else _back_up(ctx, input, owner))
    except ActivityError as error:
        await _note(ctx, known, kind=f"{what}-failed", message=error.message)
        raise
    size = "" if done.size_bytes is None else f", {done.size_bytes} bytes, {done.checksum}"
    await _note(ctx, known, kind=what, message=f"{done.backup}: {done.tables} tables{size}")
    ctx.set_progress(2, 2, f"{done.backup} is {'back' if done.restored else 'made'}")
    return done


async def _back_up(ctx: OrchestrationContext, input: BackupPostgresInput, owner: str) -> BackupPostgresOutput:
    wanted = BackupInput(
        name=input.name, owner=owner, target=input.target, storage=input.storage or "", keep=input.keep
    )
    made = await ctx.schedule_activity(backup_database, wanted, retry=WHILE_AWAY)
    return BackupPostgresOutput(**made.model_dump(by_alias=False), restored=False)


async def _restore(ctx: OrchestrationContext, input: BackupPostgresInput, owner: str) -> BackupPostgresOutput:
    wanted = RestoreInput(name=input.name, owner=owner, backup=input.restore, target=input.target)
    back = await ctx.schedule_activity(restore_database, wanted, retry=WHILE_AWAY)
    return BackupPostgresOutput(backup=back.backup, tables=back.tables, restored=True)


async def _note(ctx: OrchestrationContext, entry: InventoryEntry | None, *, kind: str, message: str) -> None:
    """Note what happened to a server that the inventory knows; an inventory that is away costs the note alone."""
    if entry is None:
        return
    event = EventInput(name=entry.name, kind=kind, message=message, owner=entry.owner)
    try:
        await ctx.schedule_activity(record_event, event, retry=servers.QUICK)
    except ActivityError as error:
        ctx.trace_warn(f"the inventory did not take that {entry.name} had a {kind}: {error.message}")

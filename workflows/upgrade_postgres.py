"""Bring a Postgres server to another major version, by dump and restore into a new volume, with a way back.

Clients are let in by the server's Service, so the upgrade begins with taking that away, together with the server. The
old server comes back under a name that no client knows, and is dumped; the new one is made, filled and looked at under
the same name. No client can write what the dump does not have, and none reaches the new server before it is right.

**The moment of the switch is one transaction of the inventory**: that the server runs, in its new version and volume.
Whatever happens before it leads back (`roll_back_postgres`), whatever happens after it leads on: the Service is made
again, by this run or by the server's actor. The old volume stays until after the switch.
"""

from __future__ import annotations

from activities.inventory.look import get_entry
from activities.inventory.record_event import record_event
from activities.inventory.set_state import set_state
from activities.kubernetes.delete import delete
from activities.kubernetes.get import get
from activities.postgres import manifests, volumes
from activities.postgres.backup import backup_database
from activities.postgres.connection import verify_connection
from activities.postgres.delete import delete_postgres_objects
from activities.postgres.deploy import deploy_postgres
from activities.postgres.restore import restore_database
from activities.postgres.wait import wait_for_postgres
from activities.types import (
    BackupInput,
    BackupOutput,
    DeleteInput,
    DeletePostgresObjectsInput,
    DeployPostgresInput,
    DeployPostgresOutput,
    EntryInput,
    EventInput,
    InventoryEntry,
    ObjectRef,
    RestoreInput,
    SetStateInput,
    VerifyConnectionInput,
    WaitForPostgresInput,
)
from perdure import (
    Exponential,
    NonRetryableError,
    OrchestrationCancelled,
    OrchestrationContext,
    PerdureError,
    RetryPolicy,
    orchestration,
)
from workflows import names, servers
from workflows.roll_back_postgres import ROLLED_BACK, host_while_upgrading, roll_back_postgres
from workflows.types import RollBackPostgresInput, UpgradePostgresInput, UpgradePostgresOutput

__all__ = ["upgrade_postgres"]

STEPS = 7
WHILE_AWAY = RetryPolicy(8, backoff=Exponential(base=2, multiplier=2.0, max=60))
"""For what takes its own time, while the API server may be away for some of it."""

STARTING = RetryPolicy(12, backoff=Exponential(base=1, multiplier=1.5, max=10), timeout=60)
"""A server that has just begun, or whose Service the node does not know yet, refuses a few times."""

KEPT_BACKUPS = 1_000
"""As many as there may be: an upgrade makes backups and takes none away."""

CLOSING_TRIES = 3

ROLL_BACK_SECONDS = 2 * 3600.0


@orchestration(names.UPGRADE_POSTGRES, version="1.0.0")
async def upgrade_postgres(ctx: OrchestrationContext, input: UpgradePostgresInput) -> UpgradePostgresOutput:
    """Back up, ask, move the data to a new server, switch; or be back where it was, and fail with the first error."""
    ctx.set_progress(0, STEPS, f"looking {input.name} up")
    entry, before = await _server_there(ctx, input)

    ctx.set_progress(1, STEPS, f"backing up {input.name}, which goes on working")
    saved = await _back_up(ctx, before)
    if input.require_approval:
        ctx.set_progress(2, STEPS, f"waiting for Approve or Reject; backup {saved.backup} is made")
        await _approval(ctx, input, entry, saved)
        entry, before = await _server_there(ctx, input)
    new = {"version": input.version, "volume": f"data-v{servers.major(input.version)}", "image": ""}
    after = before.model_copy(update=new)
    try:
        await _begin(ctx, entry, after)
        saved = await _fill(ctx, before, after, verify=input.verify_connection)
        ctx.set_progress(5, STEPS, f"switching to Postgres {after.version}")
        await _switch(ctx, entry, before, after)
    except (PerdureError, OrchestrationCancelled) as error:
        await _go_back(ctx, before, after, error)
        raise
    try:
        await _let_clients_in(ctx, after)
        if not input.keep_old_volume:
            ctx.set_progress(6, STEPS, f"dropping the volume of Postgres {before.version}")
            await _delete(ctx, volumes.claim(before.name, before.volume))
    except OrchestrationCancelled:
        await _let_clients_in(ctx, after)
        raise
    ctx.set_progress(STEPS, STEPS, f"{input.name} is Postgres {after.version}")
    return UpgradePostgresOutput(
        from_version=before.version,
        version=after.version,
        volume=after.volume,
        backup=saved.backup,
        tables=saved.tables,
    )


async def _server_there(
    ctx: OrchestrationContext, input: UpgradePostgresInput
) -> tuple[InventoryEntry, DeployPostgresInput]:
    """Give the server as the inventory and its StatefulSet have it; refuse one that cannot be upgraded."""
    entry = await ctx.schedule_activity(get_entry, EntryInput(name=input.name, shown=0), retry=servers.PATIENT)
    if entry is None or entry.released_at is not None:
        raise NonRetryableError(f"There is no server {input.name} in the inventory of this namespace.")
    if entry.state not in {"running", "degraded"}:
        raise NonRetryableError(f"{input.name} is {entry.state}; only what is running or degraded can be upgraded.")
    target = ObjectRef(api_version="apps/v1", kind="StatefulSet", name=input.name)
    found = (await ctx.schedule_activity(get, target, retry=servers.PATIENT)).manifest
    if found is None:
        raise NonRetryableError(f"{input.name} has no StatefulSet: let it be mended first, then upgrade it.")
    version, image = manifests.version_of(found), manifests.image_of(found)
    if int(servers.major(input.version)) <= int(servers.major(version)):
        message = f"{input.name} is Postgres {version}; {input.version} is no later major version."
        raise NonRetryableError(message)
    before = DeployPostgresInput(
        name=input.name,
        version=version,
        storage=entry.storage,
        owner=entry.owner,
        volume=manifests.volume_of(found)[0],
        host=entry.dns_label,
        image="" if image == f"postgres:{version}" else image,
        parameters=manifests.parameters_of(found),
        resources=manifests.resources_of(found),
    )
    return entry, before


async def _back_up(ctx: OrchestrationContext, server: DeployPostgresInput) -> BackupOutput:
    wanted = BackupInput(name=server.name, owner=server.owner, keep=KEPT_BACKUPS)
    return await ctx.schedule_activity(backup_database, wanted, retry=WHILE_AWAY)


async def _approval(
    ctx: OrchestrationContext, input: UpgradePostgresInput, entry: InventoryEntry, saved: BackupOutput
) -> None:
    """Return when somebody has sent `Approve`; else the run fails, and nothing was taken away."""
    ctx.set_custom_status({"waitingFor": ["Approve", "Reject"], "backup": saved.backup})
    index, _ = await ctx.select(
        ctx.schedule_wait("Approve"), ctx.schedule_wait("Reject"), ctx.schedule_timer(input.approval_seconds)
    )
    said = ("approved", "rejected", f"not approved within {input.approval_seconds:g} s")[index]
    ctx.set_custom_status({"approval": said, "backup": saved.backup})
    message = f"the upgrade to Postgres {input.version} was {said}"
    event = EventInput(name=entry.name, kind="upgrade", message=message, owner=entry.owner)
    await ctx.schedule_activity(record_event, event, retry=servers.PATIENT)
    if index != 0:
        raise NonRetryableError(f"{message}; {entry.name} is untouched.")


async def _begin(ctx: OrchestrationContext, entry: InventoryEntry, after: DeployPostgresInput) -> None:
    """Take the server for this upgrade: its actor rests, and no second upgrade begins."""
    upgrading = SetStateInput(
        name=entry.name,
        state="upgrading",
        message=f"it is being upgraded to Postgres {after.version}",
        details={**entry.details, "upgrade": ctx.instance_id},
        expected=["running", "degraded"],
        owner=entry.owner,
    )
    taken = await ctx.schedule_activity(set_state, upgrading, retry=servers.PATIENT)
    if not taken.changed:
        raise NonRetryableError(f"{entry.name} is {taken.state} since; it was not touched.")


async def _fill(
    ctx: OrchestrationContext, before: DeployPostgresInput, after: DeployPostgresInput, *, verify: bool
) -> BackupOutput:
    """Dump the old server, make the new one, and restore into it, both out of the reach of clients."""
    ctx.set_progress(3, STEPS, f"closing {before.name} to its clients, and backing it up")
    saved = await _last_backup(ctx, before)
    ctx.set_progress(4, STEPS, f"moving {saved.tables} tables to Postgres {after.version}")
    await _delete(ctx, volumes.claim(after.name, after.volume))
    server = await _bring_up(ctx, after)
    back = RestoreInput(name=after.name, owner=after.owner, backup=saved.backup)
    restored = await ctx.schedule_activity(restore_database, back, retry=WHILE_AWAY)
    if restored.tables < saved.tables:
        message = f"Of {saved.tables} tables of the backup {saved.backup} only {restored.tables} came back."
        raise NonRetryableError(message)
    if verify:
        where = VerifyConnectionInput.model_validate(server.model_dump())
        await ctx.schedule_activity(verify_connection, where, retry=STARTING)
    return saved


async def _last_backup(ctx: OrchestrationContext, server: DeployPostgresInput) -> BackupOutput:
    """Give a backup during which no client was let in, and leave the server taken away.

    Its actor may have begun to mend it before it was told to rest, and make the Service once more. That is looked for
    when nobody can be served any more, and before it is taken away: what has been seen is in history, whoever dies.
    """
    await _take_away(ctx, server)
    for _ in range(CLOSING_TRIES):
        await _bring_up(ctx, server)
        saved = await _back_up(ctx, server)
        await _take_away(ctx, _closed(server))
        service = ObjectRef(api_version="v1", kind="Service", name=server.host)
        if (await ctx.schedule_activity(get, service, retry=servers.PATIENT)).manifest is None:
            return saved
        ctx.trace_warn(f"the Service of {server.name} was made again; backup {saved.backup} does not count")
        await _take_away(ctx, server)
    raise NonRetryableError(f"Somebody lets clients in to {server.name} whenever it is closed.")


async def _take_away(ctx: OrchestrationContext, server: DeployPostgresInput) -> None:
    """Delete the StatefulSet, the Service of this name and the Pod, with all connections; volumes stay."""
    gone = DeletePostgresObjectsInput(name=server.name, owner=server.owner, host=server.host, delete_volumes=False)
    await ctx.schedule_activity(delete_postgres_objects, gone, retry=servers.UNHURRIED)


def _closed(server: DeployPostgresInput) -> DeployPostgresInput:
    """Give the server as no client finds it."""
    return server.model_copy(update={"host": host_while_upgrading(server.name)})


async def _bring_up(ctx: OrchestrationContext, server: DeployPostgresInput) -> DeployPostgresOutput:
    """Make a server that only this upgrade finds."""
    made = await ctx.schedule_activity(deploy_postgres, _closed(server), retry=servers.PATIENT)
    wait = WaitForPostgresInput(name=server.name, timeout_seconds=600)
    await ctx.schedule_activity(wait_for_postgres, wait, retry=WHILE_AWAY)
    return made


async def _switch(
    ctx: OrchestrationContext, entry: InventoryEntry, before: DeployPostgresInput, after: DeployPostgresInput
) -> None:
    """Write down what the server is from now on."""
    running = SetStateInput(
        name=entry.name,
        state="running",
        message=f"upgraded from Postgres {before.version} to {after.version}",
        details={**entry.details, "volume": after.volume},
        expected=["upgrading"],
        owner=entry.owner,
        version=after.version,
    )
    switched = await ctx.schedule_activity(set_state, running, retry=servers.PATIENT)
    if not switched.changed:
        raise NonRetryableError(f"{entry.name} is {switched.state} since: somebody else has taken it meanwhile.")


async def _go_back(
    ctx: OrchestrationContext, before: DeployPostgresInput, after: DeployPostgresInput, error: BaseException
) -> None:
    """Start an instance that brings the old server back, however long it takes, and unless cancelled wait for it."""
    is_cancelled = isinstance(error, OrchestrationCancelled)
    reason = error.message if isinstance(error, PerdureError) else "it was cancelled"
    ctx.trace_error(f"the upgrade of {before.name} to Postgres {after.version} goes back: {reason}")
    back = RollBackPostgresInput(before=before, volume=after.volume, upgrade=ctx.instance_id, reason=reason)
    ctx.schedule_orchestration(roll_back_postgres, f"{ctx.instance_id}::back", back)
    if not is_cancelled:
        await ctx.select(ctx.schedule_wait(ROLLED_BACK), ctx.schedule_timer(ROLL_BACK_SECONDS))


async def _let_clients_in(ctx: OrchestrationContext, server: DeployPostgresInput) -> None:
    """Give the server its own name, and then take away the other."""
    await ctx.schedule_activity(deploy_postgres, server, retry=servers.PATIENT)
    await _delete(ctx, ObjectRef(api_version="v1", kind="Service", name=host_while_upgrading(server.name)), wait=False)


async def _delete(ctx: OrchestrationContext, target: ObjectRef, *, wait: bool = True) -> None:
    """Delete what belongs to the server, which the steps before have made sure of; this run is not its owner."""
    gone = DeleteInput(**target.model_dump(by_alias=False), wait_seconds=300 if wait else 0, require_own=False)
    await ctx.schedule_activity(delete, gone, retry=servers.UNHURRIED)

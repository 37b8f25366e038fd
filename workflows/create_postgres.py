"""Create a Postgres server, hand it over when it answers, and leave somebody behind who looks after it.

Each step may be repeated after a crash: the name is reserved once, the objects are the owner's own, and their password
is drawn once and stays in the Secret. What this code may not know: how any step is done.
"""

from __future__ import annotations

from activities.inventory.look import get_entry
from activities.inventory.reserve import reserve
from activities.inventory.set_state import set_state
from activities.postgres.connection import verify_connection
from activities.postgres.deploy import deploy_postgres
from activities.postgres.wait import wait_for_postgres
from activities.types import (
    DeployPostgresInput,
    DeployPostgresOutput,
    EntryInput,
    InventoryEntry,
    ReserveInput,
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
from workflows import names, owners, servers
from workflows.delete_postgres import delete_postgres
from workflows.postgres_actor import postgres_actor
from workflows.types import CreatePostgresInput, CreatePostgresOutput, DeletePostgresInput, PostgresActorInput

__all__ = ["create_postgres", "create_postgres_1_0_0"]

MINUTE = 60.0


@orchestration(names.CREATE_POSTGRES, version="1.1.0")
async def create_postgres(ctx: OrchestrationContext, input: CreatePostgresInput) -> CreatePostgresOutput:
    """Reserve the name, make the server, see that it answers, write it down, and start its actor.

    What was made by a creation that fails or is cancelled is removed again, and the first error stays the error. A
    server that was there before, of an earlier run of the same resource, is brought to what is asked for now.
    """
    owner, entry = owners.owner_of(ctx.instance_id), None
    steps = 5 if input.verify_connection else 4
    try:
        ctx.set_progress(0, steps, f"reserving the name {input.name}")
        wanted = ReserveInput(name=input.name, version=input.version, storage=input.storage, owner=owner)
        await ctx.schedule_activity(reserve, wanted, retry=servers.PATIENT)
        entry = await ctx.schedule_activity(get_entry, EntryInput(name=input.name, shown=0), retry=servers.PATIENT)
        server = await _bring_up(ctx, input, entry, steps=steps)
    except (PerdureError, OrchestrationCancelled) as error:
        if _is_new(entry) or isinstance(error, OrchestrationCancelled):
            await _clean_up(ctx, input, owner=owner, error=error)
        raise
    ctx.set_progress(steps, steps, f"{input.name} is ready")
    return CreatePostgresOutput(**server.model_dump(by_alias=False), version=input.version)


def _is_new(entry: InventoryEntry | None) -> bool:
    """Say whether there has been no server yet: what runs is not removed because a change of it comes to nothing."""
    return entry is not None and entry.released_at is None and entry.state in {"creating", "failed"}


async def _bring_up(
    ctx: OrchestrationContext, input: CreatePostgresInput, entry: InventoryEntry | None, *, steps: int
) -> DeployPostgresOutput:
    """Make or change the server's objects, wait for it, connect to it, and see to it that it is looked after."""
    owner = owners.owner_of(ctx.instance_id)
    if entry and entry.state in servers.TAKEN_AWAY:
        raise NonRetryableError(f"{input.name} is {entry.state}: {entry.message}. Apply the change when that is over.")
    ctx.set_progress(1, steps, f"{'making' if _is_new(entry) else 'changing'} the objects of {input.name}")
    wanted = DeployPostgresInput(
        name=input.name,
        version=input.version,
        storage=input.storage,
        parameters=input.parameters,
        volume=servers.volume_of(entry),
        owner=owner,
    )
    server = await ctx.schedule_activity(deploy_postgres, wanted, retry=servers.PATIENT)

    ctx.set_progress(2, steps, f"waiting until Postgres {input.version} is ready")
    await ctx.schedule_activity(
        wait_for_postgres,
        WaitForPostgresInput(name=input.name, timeout_seconds=10 * MINUTE),
        retry=RetryPolicy(5, backoff=Exponential(base=2, multiplier=2.0, max=30)),
        total_timeout=15 * MINUTE,
    )
    if input.verify_connection:
        ctx.set_progress(3, steps, f"connecting to {server.host}")
        await _connect(ctx, server)

    ctx.set_progress(steps - 1, steps, "writing it down")
    await _hand_over(ctx, input, owner=owner, actor=entry.actor if entry else "")
    return server


async def _connect(ctx: OrchestrationContext, server: DeployPostgresOutput) -> None:
    """Connect as its clients will; a server that has just begun refuses a few times."""
    answer = await ctx.schedule_activity(
        verify_connection,
        VerifyConnectionInput(
            host=server.host, port=server.port, database=server.database, secret_name=server.secret_name
        ),
        retry=RetryPolicy(12, backoff=Exponential(base=1, multiplier=1.5, max=10), timeout=MINUTE),
    )
    ctx.trace_info(f"Postgres {answer.server_version} answers at {server.host}")


async def _hand_over(ctx: OrchestrationContext, input: CreatePostgresInput, *, owner: str, actor: str) -> None:
    """Write down that it runs, and tell the actor that it has, or start one."""
    looked_after = PostgresActorInput(
        name=input.name,
        version=input.version,
        storage=input.storage,
        parameters=input.parameters,
        verify_connection=input.verify_connection,
        period_seconds=input.period_seconds,
        owner=owner,
    )
    new_actor = f"{ctx.instance_id}::actor" if input.actor and not actor else ""
    running = SetStateInput(
        name=input.name,
        state="running",
        message=f"Postgres {input.version} is ready",
        version=input.version,
        storage=input.storage,
        owner=owner,
        actor=new_actor,
    )
    await ctx.schedule_activity(set_state, running, retry=servers.PATIENT)
    if actor:
        ctx.send_signal(actor, servers.UPDATE, looked_after)
    elif new_actor:
        ctx.schedule_orchestration(postgres_actor, new_actor, looked_after)


async def _clean_up(ctx: OrchestrationContext, input: CreatePostgresInput, *, owner: str, error: BaseException) -> None:
    """Keep what happened, and take away what was made; neither may hide the error that it is about."""
    ctx.trace_error(f"the creation of {input.name} failed: {error}")
    failed = SetStateInput(name=input.name, state="failed", message=str(error), owner=owner)
    gone = DeletePostgresInput(name=input.name, owner=owner, is_actor_stopped=True)
    try:
        known = EntryInput(name=input.name, shown=0)
        entry = await ctx.schedule_activity(get_entry, known, retry=servers.QUICK)
        if entry is None or entry.owner != owner or not _is_new(entry):
            return
        await ctx.schedule_activity(set_state, failed, retry=servers.QUICK)
        if input.clean_up:
            ctx.set_progress(0, 1, f"removing what was made of {input.name}")
            await ctx.schedule_sub_orchestration(delete_postgres, gone)
            ctx.set_progress(1, 1, f"what was made of {input.name} is removed")
    except PerdureError as second:
        ctx.trace_error(f"what was made of {input.name} could not be removed: {second}")


@orchestration(names.CREATE_POSTGRES, version="1.0.0")
async def create_postgres_1_0_0(ctx: OrchestrationContext, input: CreatePostgresInput) -> CreatePostgresOutput:
    """Deploy the server, wait until it is ready, connect to it once, and say where it is."""
    steps = 3 if input.verify_connection else 2

    ctx.set_progress(0, steps, f"making the objects of {input.name}")
    server = await ctx.schedule_activity(
        deploy_postgres,
        DeployPostgresInput(name=input.name, version=input.version, storage=input.storage),
        retry=RetryPolicy(5, backoff=Exponential(base=2, multiplier=2.0, max=30), timeout=MINUTE),
    )

    ctx.set_progress(1, steps, f"waiting until Postgres {input.version} is ready")
    await ctx.schedule_activity(
        wait_for_postgres,
        WaitForPostgresInput(name=input.name, timeout_seconds=10 * MINUTE),
        retry=RetryPolicy(5, backoff=Exponential(base=2, multiplier=2.0, max=30)),
        total_timeout=15 * MINUTE,
    )

    if input.verify_connection:
        ctx.set_progress(2, steps, f"connecting to {server.host}")
        answer = await ctx.schedule_activity(
            verify_connection,
            VerifyConnectionInput(
                host=server.host, port=server.port, database=server.database, secret_name=server.secret_name
            ),
            retry=RetryPolicy(12, backoff=Exponential(base=1, multiplier=1.5, max=10), timeout=MINUTE),
        )
        ctx.trace_info(f"Postgres {answer.server_version} answers at {server.host}")

    ctx.set_progress(steps, steps, f"{input.name} is ready")
    return CreatePostgresOutput(
        host=server.host,
        port=server.port,
        database=server.database,
        secret_name=server.secret_name,
        version=input.version,
    )

"""Look after one Postgres server for as long as it exists: an instance that never ends by itself.

Each round it looks, mends what is missing or was changed by hand, and records what it saw. Nothing that happens to the
server, to the API server or to the inventory ends it: what cannot be known in a round is asked again in the next. It
ends on the signal `InstanceDeleted`, or when the inventory says that its server is gone.

As a resource of its own (`managed`, `readyWhen: Custom`, `deletionPolicy: Compensate`) it is a whole database: applying
it makes the server, deleting it removes the server.
"""

from __future__ import annotations

from typing import NamedTuple

from activities.inventory.look import get_entry
from activities.inventory.record_health import record_health
from activities.inventory.reserve import reserve
from activities.inventory.set_state import set_state
from activities.postgres.deploy import deploy_postgres
from activities.postgres.health import check_postgres_health
from activities.types import (
    DeployPostgresInput,
    EntryInput,
    HealthInput,
    HealthOutput,
    HealthRecordInput,
    InventoryEntry,
    ReserveInput,
    SetStateInput,
)
from perdure import ActivityError, OrchestrationCancelled, OrchestrationContext, orchestration
from workflows import names, owners, servers
from workflows.delete_postgres import delete_postgres
from workflows.types import DeletePostgresInput, PostgresActorInput, PostgresActorOutput

__all__ = ["postgres_actor"]

ROUNDS = 20
"""Rounds of one execution: some three hundred events, replayed in milliseconds."""

SOON_SECONDS = 5.0
"""How long until the next look after something was mended."""


class _Round(NamedTuple):
    """What came of a round: the state, how long to rest, and why it was the last one."""

    state: PostgresActorInput
    seconds: float
    reason: str = ""


@orchestration(names.POSTGRES_ACTOR, version="1.0.0")
async def postgres_actor(ctx: OrchestrationContext, state: PostgresActorInput) -> PostgresActorOutput:
    """Look, mend, record, rest, and begin again; what is carried from execution to execution is the state."""
    try:
        if state.managed and state.rounds == 0:
            await _take_name(ctx, state)
        for _ in range(ROUNDS):
            state, seconds, reason = await _round(ctx, state)
            news = None if reason else await _rest(ctx, state, seconds)
            if news is None:
                return _ended(state, reason or f"{state.name} is being deleted")
            state = news
    except OrchestrationCancelled:
        if state.managed:
            await _remove(ctx, state)
        raise
    return ctx.continue_as_new(state)


async def _round(ctx: OrchestrationContext, state: PostgresActorInput) -> _Round:
    """Look once, and mend what can be mended; nothing is touched while the inventory does not answer."""
    state = state.model_copy(update={"rounds": state.rounds + 1})
    try:
        entry = await _entry_or_none(ctx, state)
        reason = _reason_to_end(ctx, state, entry)
        if reason:
            return _Round(state, 0, reason)
        if entry and entry.state == "upgrading":
            _show(ctx, state, healthy=False, message=entry.message or "it is being upgraded")
            return _Round(state, state.period_seconds)
        return await _look_after(ctx, state, entry)
    except ActivityError as error:
        ctx.trace_warn(f"{state.name} cannot be looked after now: {error.message}")
        _show(ctx, state, healthy=False, message=error.message)
        return _Round(state, state.period_seconds)


async def _look_after(ctx: OrchestrationContext, state: PostgresActorInput, entry: InventoryEntry | None) -> _Round:
    """See how the server is, make again what is missing, and write down what was seen."""
    wanted = _wanted(ctx, state, entry)
    look = HealthInput(
        name=wanted.name,
        version=wanted.version,
        parameters=wanted.parameters,
        volume=wanted.volume,
        owner=wanted.owner,
        connect=state.verify_connection,
    )
    health = await ctx.schedule_activity(check_postgres_health, look, retry=servers.QUICK)
    broken = [*health.missing, *health.drifted]
    if broken:
        now = await _entry_or_none(ctx, state)
        if now and now.state in servers.TAKEN_AWAY:  # since the round began: it is missing on purpose
            return _Round(state, min(SOON_SECONDS, state.period_seconds))
        await ctx.schedule_activity(deploy_postgres, wanted, retry=servers.QUICK)
        ctx.trace_warn(f"{state.name}: {', '.join(broken)} mended")
        mended = {"healed": state.healed + 1, "last_healed": ", ".join(broken)}
        state = state.model_copy(update=mended)
    await _record(ctx, state, health, entry)
    message = f"mended: {state.last_healed}" if broken else _message(state, wanted, health)
    _show(ctx, state, healthy=health.healthy, message=message)
    return _Round(state, min(SOON_SECONDS, state.period_seconds) if broken else state.period_seconds)


def _reason_to_end(ctx: OrchestrationContext, state: PostgresActorInput, entry: InventoryEntry | None) -> str:
    """Say why there is nothing to look after any more; empty while there is."""
    if entry is None:
        return ""
    if entry.owner != _owner(ctx, state):
        return f"the inventory says that {state.name} is {entry.owner}'s now"
    if entry.released_at or entry.state in {"deleting", "deleted"}:
        return f"the inventory says that {state.name} is {entry.state}"
    return ""


def _wanted(ctx: OrchestrationContext, state: PostgresActorInput, entry: InventoryEntry | None) -> DeployPostgresInput:
    """Give the server as it should be; which major version it is, and in which volume, the inventory knows."""
    is_same_major = entry is None or servers.major(entry.version) == servers.major(state.version)
    return DeployPostgresInput(
        name=state.name,
        version=state.version if is_same_major or entry is None else entry.version,
        storage=state.storage,
        parameters=state.parameters,
        volume=servers.volume_of(entry),
        owner=_owner(ctx, state),
    )


def _message(state: PostgresActorInput, wanted: DeployPostgresInput, health: HealthOutput) -> str:
    """Say how it is, and what is asked for in vain."""
    if servers.major(wanted.version) == servers.major(state.version) or not state.managed:
        return health.message
    return f"{health.message}; it is Postgres {wanted.version}: to come to {state.version} start upgrade-postgres"


async def _record(
    ctx: OrchestrationContext, state: PostgresActorInput, health: HealthOutput, entry: InventoryEntry | None
) -> None:
    """Write down what was seen; an inventory that is away costs a record, and nothing else."""
    owner = _owner(ctx, state)
    look = HealthRecordInput(
        name=state.name, healthy=health.healthy, message=health.message, latency_ms=health.latency_ms, owner=owner
    )
    change = SetStateInput(
        name=state.name,
        state="running" if health.healthy else "degraded",
        message=health.message,
        expected=["creating", "failed", "running", "degraded"],
        owner=owner,
        actor=ctx.instance_id,
    )
    try:
        await ctx.schedule_activity(record_health, look, retry=servers.QUICK)
        if entry is None or entry.state != change.state or entry.actor != ctx.instance_id:
            await ctx.schedule_activity(set_state, change, retry=servers.QUICK)
    except ActivityError as error:
        ctx.trace_warn(f"the inventory did not take what was seen of {state.name}: {error.message}")


async def _take_name(ctx: OrchestrationContext, state: PostgresActorInput) -> None:
    """Reserve the name, as whoever creates a server does."""
    ctx.set_ready(ready=False, message=f"reserving the name {state.name}")
    wanted = ReserveInput(name=state.name, version=state.version, storage=state.storage, owner=_owner(ctx, state))
    await ctx.schedule_activity(reserve, wanted, retry=servers.PATIENT)


async def _entry_or_none(ctx: OrchestrationContext, state: PostgresActorInput) -> InventoryEntry | None:
    """Give what the inventory says; None when it has never heard of the server."""
    return await ctx.schedule_activity(get_entry, EntryInput(name=state.name, shown=0), retry=servers.QUICK)


async def _rest(ctx: OrchestrationContext, state: PostgresActorInput, seconds: float) -> PostgresActorInput | None:
    """Wait for the next round, or for news: None when the server is going, else the state as it was updated."""
    index, news = await ctx.select(
        ctx.schedule_wait(servers.INSTANCE_DELETED, type=servers.Deleted),
        ctx.schedule_wait(servers.UPDATE),
        ctx.schedule_timer(seconds),
    )
    if index == 0 and isinstance(news, servers.Deleted):
        if news.reply_to:
            ctx.send_signal(news.reply_to, servers.ACTOR_STOPPED)
        return None
    return _updated(ctx, state, news) if index == 1 else state


def _updated(ctx: OrchestrationContext, state: PostgresActorInput, news: object) -> PostgresActorInput:
    """Give the state with what was changed; what makes no sense is told, and changes nothing."""
    try:
        wanted = PostgresActorInput.model_validate(news)
    except ValueError as error:
        ctx.trace_error(f"the update of {state.name} is refused: {error}")
        return state
    carried = state.model_dump(include={"name", "owner", "rounds", "healed", "last_healed"}, by_alias=False)
    return wanted.model_copy(update=carried)


async def _remove(ctx: OrchestrationContext, state: PostgresActorInput) -> None:
    """Take the server away with the run that is its owner.

    By the steps of `delete-postgres`, called as a function: so they are steps of this run, and its resource shows them.
    """
    _show(ctx, state, healthy=False, message=f"removing {state.name}")
    await delete_postgres(ctx, DeletePostgresInput(name=state.name, owner=_owner(ctx, state), is_actor_stopped=True))


def _show(ctx: OrchestrationContext, state: PostgresActorInput, *, healthy: bool, message: str) -> None:
    """Tell people; the same again costs nothing."""
    ctx.set_ready(healthy, message)
    ctx.set_custom_status(
        {"healthy": healthy, "message": message, "healed": state.healed, "lastHealed": state.last_healed}
    )


def _owner(ctx: OrchestrationContext, state: PostgresActorInput) -> str:
    """Give whose the server is: of who was named, else of this run's resource."""
    return state.owner or owners.owner_of(ctx.instance_id)


def _ended(state: PostgresActorInput, reason: str) -> PostgresActorOutput:
    return PostgresActorOutput(reason=reason, rounds=state.rounds, healed=state.healed)

"""Go back from an upgrade that did not come to its end: the old server on the old volume, under its own name.

An instance of its own, which an upgrade starts and does not own: whoever cancels the upgrade does not cut its way back
off, and no grace ends it. It goes back only while the inventory says that this very upgrade has the server. Before that
nothing was taken away, and after that the new server is the server: there is no way back, and clients are let in to it,
whatever has kept the upgrade from doing so.
"""

from __future__ import annotations

from activities.inventory.look import get_entry
from activities.inventory.set_state import set_state
from activities.kubernetes.delete import delete
from activities.postgres import volumes
from activities.postgres.delete import delete_postgres_objects
from activities.postgres.deploy import deploy_postgres
from activities.postgres.wait import wait_for_postgres
from activities.types import (
    DeleteInput,
    DeletePostgresObjectsInput,
    EntryInput,
    InventoryEntry,
    ServerState,
    SetStateInput,
    WaitForPostgresInput,
)
from perdure import ActivityError, Exponential, OrchestrationContext, RetryPolicy, orchestration
from workflows import names, servers
from workflows.types import RollBackPostgresInput, RollBackPostgresOutput

__all__ = ["ROLLED_BACK", "host_while_upgrading", "roll_back_postgres"]

ROLLED_BACK = "RolledBack"
"""Tells an upgrade that its way back is over."""

STUBBORN = RetryPolicy(70, backoff=Exponential(base=1, multiplier=2.0, max=60), timeout=900)
"""An hour or more: while this goes on the server is down, and nobody else brings it back."""

SETTLING_SECONDS = 5.0
"""What a cancelled upgrade was just doing is told to stop within a second or so."""


def host_while_upgrading(name: str) -> str:
    """Give the name of the Service of a server that is being upgraded; no client knows it."""
    return f"{name}-upgrade"


@orchestration(names.ROLL_BACK_POSTGRES, version="1.0.0")
async def roll_back_postgres(ctx: OrchestrationContext, input: RollBackPostgresInput) -> RollBackPostgresOutput:
    """Bring the old server back and write down why, or lead on; in any case tell the upgrade that this is over."""
    try:
        await ctx.schedule_timer(SETTLING_SECONDS)
        entry = await ctx.schedule_activity(get_entry, EntryInput(name=input.before.name, shown=0), retry=STUBBORN)
        if entry is None or entry.state != "upgrading" or entry.details.get("upgrade") != input.upgrade:
            ctx.trace_info(f"{input.before.name} is not in the hands of {input.upgrade}: nothing to go back from")
            if entry and entry.state in {"running", "degraded"} and servers.volume_of(entry) == input.volume:
                await _let_clients_in(ctx, input, entry)
            return RollBackPostgresOutput(rolled_back=False)
        await _bring_back(ctx, input, entry)
    finally:
        ctx.send_signal(input.upgrade, ROLLED_BACK)
    return RollBackPostgresOutput(rolled_back=True)


async def _let_clients_in(ctx: OrchestrationContext, input: RollBackPostgresInput, entry: InventoryEntry) -> None:
    """Give the server that the upgrade has switched to its own name, and take away the other."""
    ctx.set_progress(0, 1, f"letting clients in to {entry.name}, which is Postgres {entry.version}")
    after = input.before.model_copy(update={"version": entry.version, "volume": input.volume, "image": ""})
    other = DeleteInput(
        api_version="v1", kind="Service", name=host_while_upgrading(entry.name), wait_seconds=0, require_own=False
    )
    await ctx.schedule_activity(deploy_postgres, after, retry=STUBBORN)
    await ctx.schedule_activity(delete, other, retry=STUBBORN)
    ctx.set_progress(1, 1, f"clients reach {entry.name} again")


async def _bring_back(ctx: OrchestrationContext, input: RollBackPostgresInput, entry: InventoryEntry) -> None:
    """Take away what the upgrade has made, the new volume too, and make the old server again."""
    before = input.before
    ctx.set_progress(0, 3, f"taking away what the upgrade of {before.name} has made")
    made = DeletePostgresObjectsInput(
        name=before.name, owner=before.owner, host=host_while_upgrading(before.name), delete_volumes=False
    )
    new_claim = DeleteInput(
        **volumes.claim(before.name, input.volume).model_dump(by_alias=False), wait_seconds=300, require_own=False
    )
    try:
        await ctx.schedule_activity(delete_postgres_objects, made, retry=STUBBORN)
        await ctx.schedule_activity(delete, new_claim, retry=STUBBORN)
        ctx.set_progress(1, 3, f"making Postgres {before.version} of {before.name} again")
        await ctx.schedule_activity(deploy_postgres, before, retry=STUBBORN)
    except ActivityError as error:
        why = f"the upgrade failed, and so did the way back: {error.message} (first: {input.reason})"
        await _write_down(ctx, input, entry, state="failed", message=why)
        raise
    ctx.set_progress(2, 3, f"waiting until Postgres {before.version} is ready")
    why = f"Postgres {before.version} is back; the upgrade did not come to its end: {input.reason}"
    state: ServerState = "running"
    try:
        wait = WaitForPostgresInput(name=before.name, timeout_seconds=600)
        await ctx.schedule_activity(wait_for_postgres, wait, retry=STUBBORN)
    except ActivityError as error:
        # All of it is there: whoever looks after the server looks after this too.
        state, why = "degraded", f"{why} (and it is not ready yet: {error.message})"
    await _write_down(ctx, input, entry, state=state, message=why)
    ctx.set_progress(3, 3, why)


async def _write_down(
    ctx: OrchestrationContext, input: RollBackPostgresInput, entry: InventoryEntry, *, state: ServerState, message: str
) -> None:
    """Give the server back to whoever looks after it, with what happened to it."""
    details = {key: value for key, value in entry.details.items() if key != "upgrade"}
    change = SetStateInput(
        name=entry.name,
        state=state,
        message=message,
        details={**details, "volume": input.before.volume},
        expected=["upgrading"],
        owner=entry.owner,
        version=input.before.version,
    )
    await ctx.schedule_activity(set_state, change, retry=STUBBORN)

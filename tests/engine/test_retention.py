"""What is over goes by itself, when its worker is told how long it shall stay."""

from __future__ import annotations

import dataclasses

import pytest

from perdure import OrchestrationContext, errors, orchestration
from tests.engine.world import SETTINGS, World

SHORT = dataclasses.replace(SETTINGS, retention_seconds=0.05)


@orchestration("test::orchestration::brief")
async def brief(ctx: OrchestrationContext, input: int) -> int:
    """Return at once."""
    return input


@orchestration("test::orchestration::with-child")
async def with_child(ctx: OrchestrationContext, input: int) -> int:
    """Let a child return."""
    return await ctx.schedule_sub_orchestration(brief, input)


@orchestration("test::orchestration::lasting")
async def lasting(ctx: OrchestrationContext) -> None:
    """Wait for a signal that nobody sends."""
    await ctx.schedule_wait("never")


async def test_finished_trees_go_after_their_time_and_what_runs_stays(world: World) -> None:
    """A root goes with its children and its history; an instance that has not ended is left alone, however old."""
    running, over = await world.start(lasting), await world.start(with_child, 7)

    await world.worker(with_child, brief, lasting, settings=SHORT)
    await world.until("select 1 where not exists (select from instances where instance_id = $1)", over)

    left = await world.fetch("select instance_id from instances union select instance_id from history")
    assert {row["instance_id"] for row in left} == {running}
    with pytest.raises(errors.InstanceNotFoundError):
        await world.client.get_instance_info(over)

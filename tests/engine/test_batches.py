"""Batches: while one is on its way, the next takes its turns when it is full; what follows waits for its commit."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from perdure import JsonValue, OrchestrationContext, orchestration
from perdure._core import limits
from tests.engine.world import PATIENCE_SECONDS, PUPPET, WAITING, Puppet, World, in_the_way, relay

_LOCK = "select from instances where instance_id = $1 for update"
_COMMITS = "-- commit_turn%"
_has_taken_turn = asyncio.Event()


@orchestration("test::orchestration::second")
async def second(ctx: OrchestrationContext) -> JsonValue:
    """Ask the puppet once there is a word."""
    await ctx.schedule_wait("word")
    _has_taken_turn.set()
    return await ctx.schedule_activity(PUPPET, "second")


@pytest.fixture(autouse=True)
def _one_is_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TURNS_PER_COMMIT", 1)
    monkeypatch.setattr(f"{__name__}._has_taken_turn", asyncio.Event())


async def _taken_turn() -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await _has_taken_turn.wait()


async def _waiting(world: World) -> str:
    instance_id = await world.start(second)
    await world.until("select from instances where instance_id = $1 and turn = 1", instance_id)
    return instance_id


async def test_a_full_batch_takes_its_turns_while_another_is_on_its_way(world: World, puppet: Puppet) -> None:
    """Code goes on while the database is at work; what it asked for begins when its own turn is written."""
    await world.worker(relay, second, puppet.activity)
    ahead = await _waiting(world)
    first = await world.start(relay)
    call = await puppet.called()
    async with in_the_way(world, _LOCK, first):
        call.returns("first")
        await world.until(WAITING, _COMMITS)
        await world.client.send_signal(ahead, "word")
        await _taken_turn()
        await world.until(WAITING, _COMMITS)
        assert puppet.count == 1

    (await puppet.called()).returns("second")
    assert [(await world.end(instance_id)).output for instance_id in (first, ahead)] == ["first", "second"]


async def test_a_turn_that_was_taken_ahead_is_dropped_with_its_instance(world: World, puppet: Puppet) -> None:
    """Held and resumed while its turn waits for another batch, an instance takes it anew; the old one is not sent."""
    await world.worker(relay, second, puppet.activity)
    ahead = await _waiting(world)
    first = await world.start(relay)
    call = await puppet.called()
    with capture_logs() as logs:
        async with in_the_way(world, _LOCK, first):
            call.returns("first")
            await world.until(WAITING, _COMMITS)
            await world.client.send_signal(ahead, "word")
            await _taken_turn()
            await world.fetch("insert into inbox (instance_id, kind, payload) values ($1, 'Signal', '{broken')", ahead)
            await world.fetch("update instances set wake_at = now() where instance_id = $1", ahead)
            await world.phase(ahead, "Suspended")
            await world.fetch("delete from inbox where payload = '{broken'")
            await world.client.resume_instance(ahead)
            await world.until("select from instances where instance_id = $1 and owner_id is not null", ahead)

        (await puppet.called()).returns("second")
        assert (await world.end(ahead)).output == "second"
    assert puppet.count == 2
    assert "instance lost to another owner" not in [line["event"] for line in logs]

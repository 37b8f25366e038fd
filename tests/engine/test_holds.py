"""Code that no longer fits its history: held before any effect, told apart from failure, resumed by right code."""

from __future__ import annotations

import asyncio

import pytest

from perdure import JsonValue, OrchestrationCancelled, OrchestrationContext, orchestration
from perdure._core import failure, futures, limits
from perdure._core.definition import AnyOrchestration
from perdure._store.store import Record, Store
from tests.engine.world import ALONE, PATIENCE_SECONDS, PUPPET, Hand, Puppet, World, relay

NAME = "test::orchestration::changing"


@orchestration(NAME)
async def right(ctx: OrchestrationContext) -> JsonValue:
    """Ask the puppet, sleep, ask again."""
    first = await ctx.schedule_activity(PUPPET, "first")
    second = await ctx.schedule_activity(PUPPET, "second")
    return [first, second]


@orchestration(NAME)
async def wrong(ctx: OrchestrationContext) -> JsonValue:
    """Ask for something else, under the same version."""
    return await ctx.schedule_activity(PUPPET, "other")


async def begin(world: World, puppet: Puppet) -> str:
    """Bring an instance of the right code behind its first activity, and stop its worker."""
    hand = await world.worker(right, puppet.activity)
    instance_id = await world.start(right)
    (await puppet.called()).returns(1)
    await puppet.called()
    await hand.stop()
    return instance_id


async def meet(world: World, puppet: Puppet, code: AnyOrchestration) -> None:
    """Let a worker with this code work, and nobody else."""
    for hand in world.hands:
        if hand.is_working:
            await hand.stop()
    await world.worker(code, puppet.activity)


async def test_changed_code_is_held_and_right_code_resumes_it(world: World, puppet: Puppet) -> None:
    """Held: Suspended, with what was expected and what came, nothing run. The right code goes on by itself."""
    instance_id = await begin(world, puppet)
    await meet(world, puppet, wrong)
    held = await world.phase(instance_id, "Suspended")

    await meet(world, puppet, right)
    again = await puppet.called()
    again.returns(2)

    assert held.hold_reason == "Nondeterministic"
    assert held.error is not None
    assert held.error.code == "PERDURE-1201"
    assert '"first"' in held.error.message
    assert '"other"' in held.error.message
    assert again.input == "second"
    info = await world.end(instance_id)
    assert (info.phase, info.output, info.error, info.hold_reason) == ("Completed", [1, 2], None, "")


async def test_a_held_instance_stops_no_other(world: World, puppet: Puppet) -> None:
    """Beside a held instance the same worker runs new ones of the same orchestration."""
    held = await begin(world, puppet)
    await meet(world, puppet, wrong)
    await world.phase(held, "Suspended")

    fresh = await world.start(wrong)
    (await puppet.called()).returns("fine")

    assert (await world.end(fresh)).output == "fine"
    assert (await world.client.get_instance_info(held)).phase == "Suspended"


async def test_a_held_instance_can_be_cancelled(world: World, puppet: Puppet) -> None:
    """Nobody needs the right code to get rid of an instance: a cancel ends it by force."""
    held = await begin(world, puppet)
    await meet(world, puppet, wrong)
    await world.phase(held, "Suspended")

    await world.client.cancel_instance(held, "no longer wanted")

    info = await world.end(held)
    assert info.phase == "Cancelled"
    assert puppet.count == 2


async def test_a_signal_does_not_make_a_held_instance_try_over_and_over(world: World, puppet: Puppet) -> None:
    """What waits in its inbox is taken in when its code is right again; only a cancel is worth another try."""
    held = await begin(world, puppet)
    await meet(world, puppet, wrong)
    await world.phase(held, "Suspended")

    await world.client.send_signal(held, "more")

    await world.until("select from inbox where instance_id = $1", held)
    await world.until("select from instances where owner_id is null and wake_at > now() + interval '10 s'")


async def test_history_that_cannot_be_read_is_held_and_stops_no_other(world: World, puppet: Puppet) -> None:
    """A row that is no turn holds its own instance; the worker and all others go on."""
    instance_id = await begin(world, puppet)
    await world.fetch("update history set body = '{broken' where turn = 0")

    await meet(world, puppet, right)

    info = await world.phase(instance_id, "Suspended")
    assert info.hold_reason == "ReplayFailed"
    other = await world.start(right)
    for answer in (1, 2):
        (await puppet.called()).returns(answer)
    assert (await world.end(other)).phase == "Completed"


@orchestration(NAME)
async def undoes(ctx: OrchestrationContext) -> JsonValue:
    """Undo by the puppet when cancelled."""
    try:
        return await ctx.schedule_activity(PUPPET, "do")
    except OrchestrationCancelled:
        return await ctx.schedule_activity(PUPPET, "undo")


@orchestration(NAME)
async def undoes_otherwise(ctx: OrchestrationContext) -> JsonValue:
    """Undo in another way."""
    try:
        return await ctx.schedule_activity(PUPPET, "do")
    except OrchestrationCancelled:
        return await ctx.schedule_activity(PUPPET, "undo otherwise")


async def test_code_changed_while_it_compensated_still_ends(world: World, puppet: Puppet) -> None:
    """The cancel is in the history already: an instance that does not fit any more ends by it and is not held."""
    hand = await world.worker(undoes, puppet.activity)
    instance_id = await world.start(undoes)
    await puppet.called()
    await world.client.cancel_instance(instance_id, "enough")
    await puppet.called()
    await hand.stop()

    await world.worker(undoes_otherwise, puppet.activity)

    info = await world.end(instance_id)
    assert (info.phase, puppet.count) == ("Cancelled", 2)


async def test_a_turn_that_cannot_be_taken_waits_for_another_worker(
    world: World, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replay goes through, so trying again by the clock would run its activities in vain, uncounted, for ever."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    with monkeypatch.context() as patch:
        patch.setattr(failure, "to_exception", broken)
        (await puppet.called()).fails(ValueError("unheard"))
        await world.phase(instance_id, "Suspended")
        assert await world.fetch("select 1 from instances where wake_at is null and hold_reason = 'ReplayFailed'")
        await hand.stop()

    await world.worker(relay, puppet.activity)
    (await puppet.called()).returns("heard")

    assert (await world.end(instance_id)).output == "heard"


async def join(world: World, puppet: Puppet, instance_id: str) -> Hand:
    """Let a worker come, and have tried what was held before it came; the instance is held until then and paused."""
    await world.fetch("update instances set wake_at = null, is_suspended = true where instance_id = $1", instance_id)
    hand = await world.worker(right, puppet.activity)
    await world.until("select 1 from instances where wake_at is not null and instance_id = $1", instance_id)
    return hand


@pytest.mark.parametrize("how", ["leaves", "dies"])
async def test_what_a_worker_held_after_others_came_is_tried_when_it_has_gone(
    world: World, puppet: Puppet, how: str
) -> None:
    """In a rolling update the old code may hold something when the right code is there already and has looked."""
    instance_id = await begin(world, puppet)
    await world.fetch("update instances set phase = 'Suspended', hold_reason = 'ReplayFailed'")
    old = await join(world, puppet, instance_id)
    await join(world, puppet, instance_id)
    await world.fetch("update instances set wake_at = null, is_suspended = false")

    await (old.stop() if how == "leaves" else world.crash(old))
    (await puppet.called()).returns(2)

    assert (await world.end(instance_id)).output == [1, 2]


async def test_a_cancel_that_cannot_be_taken_in_ends_the_instance(
    world: World, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel is never a reason to hold."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    await puppet.called()

    monkeypatch.setattr(futures.Scheduler, "run", broken)
    await world.client.cancel_instance(instance_id, "anyway")

    assert (await world.end(instance_id)).phase == "Cancelled"


async def test_an_instance_that_kills_its_workers_is_held(world: World, puppet: Puppet) -> None:
    """After so many deaths in a row it is not run, whoever joins: who was killed comes back. A cancel ends it; if it is
    resumed it gets one more chance.
    """
    first = await world.worker(relay, puppet.activity)
    ids = [await world.start(relay) for _ in range(2)]
    for _ in ids:
        await puppet.called()
    await first.stop()
    await world.fetch("update instances set recoveries = $1", limits.RECOVERIES + 1)

    second = await world.worker(relay, puppet.activity)
    held = [await world.phase(instance_id, "Suspended") for instance_id in ids]
    await world.client.cancel_instance(ids[0], "not that one")
    assert (await world.end(ids[0])).phase == "Cancelled"
    assert puppet.count == 2
    await second.stop()
    await world.worker(relay, puppet.activity)
    other = await world.start(relay)
    (await puppet.called()).returns("another")
    assert (await world.end(other)).output == "another"
    assert (await world.client.get_instance_info(ids[1])).hold_reason == "Poison"
    await world.client.resume_instance(ids[1])
    (await puppet.called()).returns("harmless")

    assert [info.hold_reason for info in held] == 2 * ["Poison"]
    assert held[1].error is not None
    assert f"{limits.RECOVERIES + 1} workers died" in held[1].error.message
    assert (await world.end(ids[1])).output == "harmless"


async def test_a_turn_that_stands_after_its_instance_has_left_begins_nothing(
    world: World, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was on its way when the instance was to be held: what it asked for is begun by whoever has it next."""
    await world.worker(right, puppet.activity, settings=ALONE)
    instance_id = await world.start(right)
    first = await puppet.called()
    fetch, sent, holding, stands = Store.fetch, asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def fetch_in_this_order(store: Store, name: str, *arguments: object) -> list[Record]:
        is_commit = name.startswith("commit_turn")
        if is_commit:
            sent.set()
            await holding.wait()
        elif name == "hold":
            holding.set()
            await stands.wait()
        rows = await fetch(store, name, *arguments)
        if is_commit:
            stands.set()
        return rows

    monkeypatch.setattr(Store, "fetch", fetch_in_this_order)
    first.returns(1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await sent.wait()
    await world.fetch("insert into inbox (instance_id, kind, payload) values ($1, 'Signal', '{broken')", instance_id)
    await world.fetch("update instances set wake_at = now() where instance_id = $1", instance_id)
    world.hands[-1].worker.nudge()

    held = await world.phase(instance_id, "Suspended")
    assert (held.hold_reason, puppet.count) == ("MessageUnreadable", 1)

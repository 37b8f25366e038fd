"""Suspending: an instance takes no turn until it is resumed, and loses nothing of what comes in meanwhile."""

from __future__ import annotations

import dataclasses

import pytest

from perdure import Fixed, JsonValue, OrchestrationContext, RetryPolicy, errors, orchestration
from perdure._store import connect
from tests.engine import proxy
from tests.engine.world import ALONE, PUPPET, SETTINGS, WAITING, Puppet, World, in_the_way, relay


@orchestration("test::orchestration::two-steps")
async def two_steps(ctx: OrchestrationContext) -> list[JsonValue]:
    """Ask the puppet twice."""
    return [await ctx.schedule_activity(PUPPET, number) for number in (1, 2)]


@orchestration("test::orchestration::listener")
async def listener(ctx: OrchestrationContext) -> JsonValue:
    """Wait for a word."""
    return await ctx.schedule_wait("word")


@orchestration("test::orchestration::sleeper")
async def sleeper(ctx: OrchestrationContext, input: float) -> str:
    """Sleep and wake up."""
    await ctx.schedule_timer(input)
    return "awake"


@orchestration("test::orchestration::blink")
async def blink(ctx: OrchestrationContext) -> None:
    """End at once."""


async def pause(world: World, instance_id: str) -> None:
    """Suspend an instance, and wait until the only worker there has noticed: it claims nothing new before."""
    await world.client.suspend_instance(instance_id)
    await world.run(blink)


async def put_away(world: World, instance_id: str) -> None:
    """Wait until nobody owns an instance."""
    await world.until("select 1 from instances where instance_id = $1 and owner_id is null", instance_id)


async def test_a_suspended_instance_takes_no_turn_and_goes_on_when_resumed(world: World) -> None:
    """What is sent to it waits with it, under whichever worker."""
    await world.worker(listener, settings=ALONE)
    instance_id = await world.start(listener)
    await world.until("select 1 from instances where turn = 1")

    await world.client.suspend_instance(instance_id, "while we look")
    await put_away(world, instance_id)
    await world.client.send_signal(instance_id, "word", "kept")
    other = await world.start(sleeper, 0.0)
    await world.worker(sleeper)
    await world.end(other)
    info = await world.client.get_instance_info(instance_id)
    assert (info.phase, info.is_suspended, info.suspend_reason) == ("Suspended", True, "while we look")
    assert len(await world.events(instance_id)) == 1
    await world.client.resume_instance(instance_id)

    info = await world.end(instance_id)
    assert (info.output, info.is_suspended, info.suspend_reason) == ("kept", False, "")


async def test_the_result_of_a_running_activity_is_kept(world: World, puppet: Puppet) -> None:
    """The activity runs to its end; its result is applied after the resume, and it is not run again."""
    await world.worker(two_steps, blink, puppet.activity, settings=ALONE)
    instance_id = await world.start(two_steps)
    first = await puppet.called()

    await pause(world, instance_id)
    first.returns("first")
    await put_away(world, instance_id)
    assert puppet.count == 1
    await world.client.resume_instance(instance_id)
    second = await puppet.called()
    second.returns("second")

    assert (second.input, puppet.count) == (2, 2)
    assert (await world.end(instance_id)).output == ["first", "second"]
    assert await world.fetch("select 1 from inbox union all select 1 from tasks") == []


async def test_a_kept_result_is_not_run_again_by_another_worker_either(world: World, puppet: Puppet) -> None:
    """The worker that ran the activity is gone when the instance is resumed; its row of attempts is gone at the end."""
    policy = RetryPolicy(3, backoff=Fixed(0))

    @orchestration("test::orchestration::retrying")
    async def retrying(ctx: OrchestrationContext) -> list[JsonValue]:
        first = await ctx.schedule_activity(PUPPET, retry=policy)
        await ctx.schedule_wait("word")
        return [first]

    hand = await world.worker(retrying, blink, puppet.activity, settings=ALONE)
    instance_id = await world.start(retrying)
    (await puppet.called()).fails(ValueError("once more"))
    again = await puppet.called()
    await pause(world, instance_id)
    again.returns("kept")
    await put_away(world, instance_id)
    await hand.stop()

    await world.client.resume_instance(instance_id)
    await world.worker(retrying, puppet.activity, settings=ALONE)
    await world.until("select 1 from instances where turn = 2")

    assert (puppet.count, await world.fetch("select 1 from tasks")) == (2, [])
    await world.client.send_signal(instance_id, "word")
    assert (await world.end(instance_id)).output == ["kept"]


async def test_a_failure_is_kept_like_a_result(world: World, puppet: Puppet) -> None:
    """An activity that fails for good while its instance is suspended fails it after the resume."""
    await world.worker(relay, blink, puppet.activity, settings=ALONE)
    instance_id = await world.start(relay)
    call = await puppet.called()

    await pause(world, instance_id)
    call.fails(ValueError("too bad"))
    await put_away(world, instance_id)
    await world.client.resume_instance(instance_id)

    info = await world.end(instance_id)
    assert (info.phase, info.error and info.error.message, puppet.count) == ("Failed", "too bad", 1)


async def test_an_instance_resumed_while_its_activity_runs_just_goes_on(world: World, puppet: Puppet) -> None:
    """It was never given back, and the result is applied where it came in."""
    hand = await world.worker(relay, blink, puppet.activity, settings=ALONE)
    instance_id = await world.start(relay)
    call = await puppet.called()

    await pause(world, instance_id)
    await world.client.resume_instance(instance_id)
    call.returns("done")

    assert (await world.end(instance_id)).output == "done"
    assert (puppet.count, hand.worker.lives) == (1, 1)


async def test_suspending_and_resuming_many_times_loses_and_repeats_nothing(world: World, puppet: Puppet) -> None:
    """Whatever moment the marks meet, each activity's result is applied once and the code comes to its end."""
    await world.worker(two_steps, puppet.activity)
    ids = [await world.start(two_steps) for _ in range(20)]
    calls = [await puppet.called() for _ in ids]

    for call in calls:
        await world.client.suspend_instance(call.info.instance_id)
        call.returns(call.info.instance_id)
        await world.client.resume_instance(call.info.instance_id)
        await world.client.suspend_instance(call.info.instance_id)
        await world.client.resume_instance(call.info.instance_id)
    for _ in ids:
        call = await puppet.called()
        assert call.input == 2
        call.returns(None)

    assert [(await world.end(instance_id)).output for instance_id in ids] == [
        [instance_id, None] for instance_id in ids
    ]


async def test_an_activity_that_has_not_begun_does_not_begin_while_its_instance_is_given_back(
    world: World, puppet: Puppet
) -> None:
    """It would run beside the next owner's. Its slot comes free when the instance is on its way out."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        crowded = dataclasses.replace(ALONE, max_activities=1)
        await world.worker(relay, blink, puppet.activity, settings=crowded, dsn=dsn)
        first = await world.start(relay, "first")
        running = await puppet.called()
        second = await world.start(relay, "second")
        await world.until("select 1 from instances where instance_id = $1 and turn = 1", second)

        wire.lose("request", "release")
        await world.client.suspend_instance(second)
        await wire.broken()
        running.returns(None)
        await world.end(first)
        await put_away(world, second)
        assert puppet.count == 1

        await world.client.resume_instance(second)
        (await puppet.called()).returns("done")
        assert ((await world.end(second)).output, puppet.count) == ("done", 2)


async def test_an_instance_that_nobody_has_run_yet_is_suspended(world: World) -> None:
    """No worker begins it; resumed, it is pending again and runs."""
    instance_id = await world.start(sleeper, 0.0)
    await world.client.suspend_instance(instance_id)
    await world.worker(sleeper)
    await world.run(sleeper, 0.0)
    assert (await world.client.get_instance_info(instance_id)).started_at is None

    await world.client.resume_instance(instance_id)

    assert (await world.end(instance_id)).output == "awake"


async def test_a_timer_that_comes_due_fires_after_the_resume(world: World) -> None:
    """Suspended over the time of its timer, it wakes up once it may."""
    await world.worker(sleeper, settings=ALONE)
    instance_id = await world.start(sleeper, 2.0)
    await world.until("select 1 from instances where turn = 1")
    await world.client.suspend_instance(instance_id)
    await world.until("select 1 from history where at < now() - interval '2.1 s'")
    assert (await world.client.get_instance_info(instance_id)).phase == "Suspended"

    await world.client.resume_instance(instance_id)

    assert (await world.end(instance_id)).output == "awake"


async def test_a_suspended_instance_stays_so_when_its_worker_dies(world: World, puppet: Puppet) -> None:
    """Reaped with its activity under way, nobody claims it; resumed, the activity is run again."""
    first = await world.worker(relay, blink, puppet.activity)
    instance_id = await world.start(relay)
    await puppet.called()
    await pause(world, instance_id)
    await world.crash(first)
    await world.worker(relay, puppet.activity)
    await put_away(world, instance_id)

    await world.client.resume_instance(instance_id)
    (await puppet.called()).returns("again")

    assert (await world.end(instance_id)).output == "again"


async def test_a_cancel_ends_a_suspended_instance(world: World, puppet: Puppet) -> None:
    """Owned, with an activity under way, or given back: a pause keeps nobody from ending."""
    await world.worker(relay, listener, blink, puppet.activity, settings=ALONE)
    owned, idle = await world.start(relay), await world.start(listener)
    call = await puppet.called()
    await world.until("select 1 from instances where instance_id = $1 and turn = 1", idle)
    for instance_id in (owned, idle):
        await pause(world, instance_id)
    await put_away(world, idle)

    for instance_id in (owned, idle):
        await world.client.cancel_instance(instance_id, "enough")

    await call.cancelled.wait()
    assert [(await world.end(instance_id)).phase for instance_id in (owned, idle)] == ["Cancelled", "Cancelled"]


async def test_a_cancelled_parent_takes_its_suspended_child_along(world: World, puppet: Puppet) -> None:
    """The child was paused by somebody; the end of its parent ends it."""

    @orchestration("test::orchestration::parent")
    async def parent(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_sub_orchestration(listener, instance_id="paused-child")

    await world.worker(parent, listener, settings=ALONE)
    instance_id = await world.start(parent)
    await world.until("select 1 from instances where instance_id = 'paused-child' and turn = 1")
    await world.client.suspend_instance("paused-child")
    await put_away(world, "paused-child")

    await world.client.cancel_instance(instance_id, "all of it")

    assert (await world.end(instance_id)).phase == "Cancelled"
    assert (await world.end("paused-child")).phase == "Cancelled"


async def test_a_suspended_parent_hears_of_its_child_when_resumed(world: World, puppet: Puppet) -> None:
    """The child goes on and ends; its result waits for the parent."""

    @orchestration("test::orchestration::parent")
    async def parent(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_sub_orchestration(relay, instance_id="busy-child")

    await world.worker(parent, relay, puppet.activity, settings=ALONE)
    instance_id = await world.start(parent)
    call = await puppet.called()
    await world.client.suspend_instance(instance_id)
    await put_away(world, instance_id)
    call.returns("done")
    await world.end("busy-child")
    assert (await world.client.get_instance_info(instance_id)).phase == "Suspended"

    await world.client.resume_instance(instance_id)

    assert (await world.end(instance_id)).output == "done"


async def test_a_suspended_instance_that_continues_as_new_begins_again_when_resumed(world: World) -> None:
    """The mark meets the turn that ends an execution: the next one waits, with all that was left over."""

    @orchestration("test::orchestration::cycling")
    async def cycling(ctx: OrchestrationContext, input: int) -> JsonValue:
        if input == 0:
            await ctx.schedule_wait("go")
            ctx.continue_as_new(1)
        return [ctx.execution, await ctx.schedule_wait("word")]

    await world.worker(cycling, settings=ALONE)
    instance_id = await world.start(cycling, 0)
    await world.until("select 1 from instances where turn = 1")
    await world.client.send_signal(instance_id, "word", "left over")
    await world.until("select 1 from instances where buffered_signals = 1")

    async with in_the_way(world, "lock table history in access exclusive mode"):
        await world.client.send_signal(instance_id, "go")
        await world.until(WAITING, "-- commit_turn%")
        await world.client.suspend_instance(instance_id)
        await world.until("select 1 from instances where wake_at is null")
    await put_away(world, instance_id)
    assert await world.fetch("select 1 from instances where execution = 2 and phase = 'Suspended'")
    await world.client.resume_instance(instance_id)

    assert (await world.end(instance_id)).output == [2, "left over"]


async def test_pauses_are_told_apart_from_ends(world: World) -> None:
    """A finished instance cannot be paused or resumed, and one that is not there is an error of its own."""
    await world.worker(sleeper)
    ended = await world.run(sleeper, 0.0)

    for call in (world.client.suspend_instance, world.client.resume_instance):
        with pytest.raises(errors.InstanceFinishedError):
            await call(ended.instance_id)
        with pytest.raises(errors.InstanceNotFoundError):
            await call("nobody")


@pytest.mark.parametrize("statement", ["inbox_keep", "release"])
@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_lost_answer_on_the_way_out_loses_no_result(
    world: World, puppet: Puppet, monkeypatch: pytest.MonkeyPatch, statement: str, lost: proxy.Lost
) -> None:
    """The wire breaks as the result is kept or the instance is given back: it is applied once all the same.

    It breaks once more at the next try. Until then there is time to go on with the instance, for who takes it up early.
    """
    monkeypatch.setattr(connect, "_FIRST_PAUSE_SECONDS", 1.0)
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        settings = dataclasses.replace(SETTINGS, poll_seconds=3_600)
        hand = await world.worker(two_steps, blink, puppet.activity, dsn=dsn, settings=settings)
        instance_id = await world.start(two_steps)
        first = await puppet.called()
        await pause(world, instance_id)
        wire.lose(lost, statement)
        first.returns("first")
        await wire.broken()
        wire.lose("answer", statement)
        await put_away(world, instance_id)
        await world.client.resume_instance(instance_id)
        await wire.broken()
        (await puppet.called()).returns("second")

        assert (await world.end(instance_id)).output == ["first", "second"]
        assert puppet.count == 2
        await hand.stop()


async def test_what_a_paused_instance_asked_for_begins_when_it_is_resumed(world: World, puppet: Puppet) -> None:
    """The pause was noticed with a turn on its way: the turn stands, and what it asks for waits for the resume."""
    await world.worker(two_steps, puppet.activity, settings=ALONE)
    instance_id = await world.start(two_steps)
    first = await puppet.called()
    async with in_the_way(world, "lock table history in access exclusive mode"):
        first.returns("first")
        await world.until(WAITING, "-- commit_turn%")
        await world.client.suspend_instance(instance_id)
        await world.until("select 1 from instances where wake_at is null")
    await put_away(world, instance_id)
    assert puppet.count == 1

    await world.client.resume_instance(instance_id)
    (await puppet.called()).returns("second")

    assert (await world.end(instance_id)).output == ["first", "second"]


async def test_a_claim_whose_answer_is_lost_forgets_no_pause(world: World) -> None:
    """The claim noted the mark, and nobody heard it: who is paused is read again."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(listener, dsn=dsn, settings=ALONE)
        instance_id = await world.start(listener)
        await world.until("select 1 from instances where turn = 1")

        wire.lose("answer", "claim")
        await world.client.suspend_instance(instance_id)
        await wire.broken()

        await put_away(world, instance_id)
        assert (await world.client.get_instance_info(instance_id)).phase == "Suspended"
        await hand.stop()

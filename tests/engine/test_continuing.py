"""Continuing as new: one execution ends where the next begins, and nothing falls between them."""

from __future__ import annotations

import dataclasses
from typing import cast

import msgspec
import pytest

from perdure import JsonValue, OrchestrationContext, orchestration
from perdure._core import history
from tests.engine import proxy
from tests.engine.world import ALONE, PUPPET, SETTINGS, WAITING, Puppet, World, in_the_way

NAME = "test::orchestration::counter"


@orchestration("test::orchestration::cycle")
async def cycle(ctx: OrchestrationContext, input: list[int]) -> JsonValue:
    """Go on for so many executions, with a step in each; give which there were."""
    left, *done = input
    await ctx.schedule_timer(0)
    if left > 1:
        ctx.continue_as_new([left - 1, *done, ctx.execution])
    return [*done, ctx.execution]


@orchestration("test::orchestration::actor")
async def actor(ctx: OrchestrationContext, input: list[JsonValue]) -> JsonValue:
    """Take one word an execution, until it is `end`."""
    word = await ctx.schedule_wait("word")
    if word != "end":
        ctx.continue_as_new([*input, word])
    return input


@orchestration("test::orchestration::asks")
async def asks(ctx: OrchestrationContext, input: int) -> JsonValue:
    """Ask the puppet in each of so many executions."""
    answer = await ctx.schedule_activity(PUPPET, ctx.execution)
    if input > 1:
        ctx.continue_as_new(input - 1)
    return answer


async def test_each_execution_begins_with_an_empty_history(world: World) -> None:
    """The instance runs all the while; each execution has its number and a history that can be read alone."""
    await world.worker(cycle, settings=ALONE)

    info = await world.run(cycle, [4])

    assert (info.output, info.execution) == ([1, 2, 3, 4], 4)
    for execution in range(1, 5):
        turns = await world.client.get_history(info.instance_id, execution)
        assert isinstance(turns[0].events[0], history.OrchestrationStarted)
        assert isinstance(turns[-1].commands[-1], history.ContinueAsNew) == (execution < 4)


async def test_many_chains_on_three_workers_do_not_mix(world: World) -> None:
    """Three actors of five executions each, and twenty more: every one counts its own."""
    for _ in range(3):
        await world.worker(cycle, settings=dataclasses.replace(SETTINGS, max_instances=10))

    ids = [await world.start(cycle, [5]) for _ in range(23)]

    assert [(await world.end(instance_id)).output for instance_id in ids] == 23 * [[1, 2, 3, 4, 5]]


async def test_old_executions_are_pruned(world: World) -> None:
    """An instance that goes on for ever keeps the history of the last executions only."""
    await world.worker(cycle, settings=dataclasses.replace(SETTINGS, keep_executions=3))

    info = await world.run(cycle, [12])

    rows = await world.fetch("select distinct execution from history order by execution")
    assert [row["execution"] for row in rows] == [10, 11, 12]
    assert info.output == list(range(1, 13))


async def test_a_chain_goes_on_where_its_worker_died(world: World, puppet: Puppet) -> None:
    """A crash in a later execution replays that one only, and asks again for what had no result."""
    first = await world.worker(asks, puppet.activity)
    instance_id = await world.start(asks, 3)
    (await puppet.called()).returns(None)
    assert (await puppet.called()).input == 2
    await world.crash(first)

    await world.worker(asks, puppet.activity)
    inputs = []
    for _ in range(2):
        call = await puppet.called()
        inputs.append(call.input)
        call.returns("done")

    assert (inputs, (await world.end(instance_id)).output) == ([2, 3], "done")


async def test_what_an_earlier_execution_left_never_touches_a_later_one(world: World, puppet: Puppet) -> None:
    """An activity and a timer nobody waited for have the numbers of those of the next one, and end nothing there."""

    @orchestration("test::orchestration::leaves")
    async def leaves(ctx: OrchestrationContext, input: str) -> JsonValue:
        ours, _ = ctx.schedule_activity(PUPPET, input), ctx.schedule_timer(0.2 if input == "left" else 3_600)
        if input == "left":
            await ctx.schedule_wait("go")
            ctx.continue_as_new("awaited")
        return [await ours, ctx.execution]

    await world.worker(leaves, puppet.activity, settings=ALONE)
    instance_id = await world.start(leaves, "left")
    left = await puppet.called()
    await world.client.send_signal(instance_id, "go")
    await left.cancelled.wait()
    awaited = await puppet.called()
    await world.until("select 1 from history where at < now() - interval '0.3 s'")
    awaited.returns("of the second")

    assert (left.input, awaited.input) == ("left", "awaited")
    assert (await world.end(instance_id)).output == ["of the second", 2]


async def test_a_result_that_was_on_its_way_is_not_taken_for_one_of_the_next_execution(
    world: World, puppet: Puppet
) -> None:
    """Two activities of one number end in the moment of the change: each execution gets its own."""

    @orchestration("test::orchestration::races")
    async def races(ctx: OrchestrationContext, input: str) -> JsonValue:
        ours = ctx.schedule_activity(PUPPET, input)
        if input == "first":
            await ctx.schedule_wait("go")
            ctx.continue_as_new("second")
        return await ours

    await world.worker(races, puppet.activity, settings=ALONE)
    instance_id = await world.start(races, "first")
    late = await puppet.called()
    async with in_the_way(world, "lock table history in access exclusive mode"):
        await world.client.send_signal(instance_id, "go")
        await world.until(WAITING, "-- commit_turn%")
        late.returns("of the first")
    (await puppet.called()).returns("of the second")

    assert (await world.end(instance_id)).output == "of the second"


async def test_signals_nobody_waited_for_come_first_in_the_next_execution(world: World) -> None:
    """More than twenty, of several names, in their order, before any that is sent later."""

    @orchestration("test::orchestration::collects")
    async def collects(ctx: OrchestrationContext, input: int) -> JsonValue:
        if input:
            await ctx.schedule_wait("go")
            ctx.continue_as_new(input - 1)
        words = [await ctx.schedule_wait("word") for _ in range(60)]
        return [*words, await ctx.schedule_wait("other")]

    await world.worker(collects)
    instance_id = await world.start(collects, 2)

    for number in range(50):
        await world.client.send_signal(instance_id, "word", number)
    await world.client.send_signal(instance_id, "other", "kept")
    for _ in range(2):
        await world.client.send_signal(instance_id, "go")
    for number in range(50, 60):
        await world.client.send_signal(instance_id, "word", number)

    assert (await world.end(instance_id)).output == [*range(60), "kept"]


async def test_no_signal_is_lost_between_executions_of_an_actor(world: World) -> None:
    """Sent as fast as can be to one that continues as new at every word, on workers that come and die."""
    hand = await world.worker(actor)
    instance_id = await world.start(actor, [])
    for number in range(60):
        await world.client.send_signal(instance_id, "word", number, dedupe_key=str(number))
        if number % 20 == 10:
            await world.crash(hand)
            hand = await world.worker(actor)
    await world.client.send_signal(instance_id, "word", "end")

    info = await world.end(instance_id)
    assert (info.output, info.execution) == (list(range(60)), 61)


async def test_signals_survive_a_death_between_two_executions(world: World) -> None:
    """The execution has ended, the next has taken no turn, the worker dies: what was left over begins the next one."""

    @orchestration("test::orchestration::leftover")
    async def leftover(ctx: OrchestrationContext, input: int) -> JsonValue:
        if input == 0:
            await ctx.schedule_wait("go")
            ctx.continue_as_new(1)
        return [await ctx.schedule_wait("word") for _ in range(3)]

    first = await world.worker(leftover)
    instance_id = await world.start(leftover, 0)
    for number in range(2):
        await world.client.send_signal(instance_id, "word", number)
    await world.until("select 1 from instances where buffered_signals = 2")
    [row] = await world.fetch("select turn from instances")
    async with in_the_way(world, "insert into history values ($1, 2, $2, now(), '')", instance_id, row["turn"] + 1):
        await world.client.send_signal(instance_id, "go")
        await world.until(WAITING, "-- commit_turn%")
        await world.crash(first)
    assert [r["execution"] for r in await world.fetch("select distinct execution from history")] == [1]

    await world.worker(leftover)
    await world.client.send_signal(instance_id, "word", 2)

    assert (await world.end(instance_id)).output == [0, 1, 2]


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_commit_of_unknown_outcome_ends_an_execution_once(world: World, lost: proxy.Lost) -> None:
    """The wire breaks as one execution ends: the next begins once, with the signals it should have."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(actor, dsn=dsn)
        instance_id = await world.start(actor, [])
        await world.until("select 1 from instances where turn = 1")

        wire.lose(lost, "commit_turn")
        for word in ("a", "b", "c", "end"):
            await world.client.send_signal(instance_id, "word", word)
        await wire.broken()

        info = await world.end(instance_id)
        assert (info.output, info.execution) == (["a", "b", "c"], 4)
        await hand.stop()


@orchestration(NAME, version="1.0.0")
async def counter_1(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Wait, and go on as the highest version, or as the one that is asked for."""
    version = cast("str | None", await ctx.schedule_wait("go"))
    ctx.continue_as_new([*cast("list[JsonValue]", input), ctx.version], version=version)


@orchestration(NAME, version="2.0.0")
async def counter_2(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Go back when told so, or end."""
    version = cast("str | None", await ctx.schedule_wait("go"))
    if version:
        ctx.continue_as_new([*cast("list[JsonValue]", input), ctx.version], version=version)
    return [*cast("list[JsonValue]", input), ctx.version]


async def test_continuing_as_new_takes_the_highest_version(world: World) -> None:
    """Started on the old version, it is upgraded where it chooses to: the status says so."""
    await world.worker(counter_1, counter_2)
    handle = await world.client.start_orchestration_versioned("upgraded", NAME, "1.0.0", [])

    for _ in range(2):
        await world.client.send_signal(handle.instance_id, "go")

    info = await world.end(handle.instance_id)
    assert (info.output, info.version) == (["1.0.0", "2.0.0"], "2.0.0")


async def test_a_version_that_only_another_worker_offers_goes_on_there(world: World) -> None:
    """The next execution is given away with all its signals, and comes back when the one after it asks for that."""
    await world.worker(counter_1, settings=ALONE)
    await world.worker(counter_2, settings=ALONE)
    await world.until("select 1 from workers having count(*) = 2")
    handle = await world.client.start_orchestration_versioned("wanderer", NAME, "1.0.0", [])

    for number in range(20):
        await world.client.send_signal(handle.instance_id, "go", "1.0.0" if number % 2 else "2.0.0")
    for version in ("2.0.0", None):
        await world.client.send_signal(handle.instance_id, "go", version)

    info = await world.end(handle.instance_id)
    assert info.output == [*(10 * ["1.0.0", "2.0.0"]), "1.0.0", "2.0.0"]


async def test_a_version_that_nobody_offers_waits_until_somebody_does(world: World) -> None:
    """Nothing is substituted and nothing is lost: the instance shows the version it waits for."""
    first = await world.worker(counter_1)
    handle = await world.client.start_orchestration_versioned("waits", NAME, "1.0.0", [])
    for version in ("2.0.0", None):
        await world.client.send_signal(handle.instance_id, "go", version)
    await world.until("select 1 from instances where execution = 2 and owner_id is null")
    waiting = await world.client.get_instance_info("waits")
    await first.stop()

    await world.worker(counter_2)

    assert (waiting.phase, waiting.version) == ("Running", "2.0.0")
    assert (await world.end("waits")).output == ["1.0.0", "2.0.0"]


async def test_a_cancel_hits_the_execution_that_runs(world: World, puppet: Puppet) -> None:
    """After continuing as new it is the new one that is cancelled, with its activity."""
    await world.worker(asks, puppet.activity)
    instance_id = await world.start(asks, 2)
    (await puppet.called()).returns(None)
    second = await puppet.called()

    await world.client.cancel_instance(instance_id, "in the second")

    await second.cancelled.wait()
    info = await world.end(instance_id)
    assert (info.phase, info.execution, second.input) == ("Cancelled", 2, 2)


async def test_a_cancel_on_the_way_from_one_execution_to_the_next_is_not_lost(world: World, puppet: Puppet) -> None:
    """It comes while the last turn of the first is committed: the second ends by it."""
    await world.worker(asks, puppet.activity, settings=ALONE)
    instance_id = await world.start(asks, 2)
    first = await puppet.called()
    async with in_the_way(world, "lock table history in access exclusive mode"):
        first.returns(None)
        await world.until(WAITING, "-- commit_turn%")
        await world.client.cancel_instance(instance_id, "between")
        await world.until("select 1 from instances where wake_at is null")

    info = await world.end(instance_id)
    assert (info.phase, info.execution, info.error and info.error.message) == ("Cancelled", 2, "between")


async def test_the_custom_status_goes_along(world: World) -> None:
    """What the first execution said of the instance stands until a later one says something else."""

    @orchestration("test::orchestration::says")
    async def says(ctx: OrchestrationContext, input: int) -> None:
        if input == 0:
            ctx.set_custom_status("said in the first")
            ctx.continue_as_new(1)
        await ctx.schedule_wait("go")
        if input == 1:
            ctx.continue_as_new(2)
        ctx.set_custom_status("said in the last")

    await world.worker(says)
    instance_id = await world.start(says, 0)
    await world.client.send_signal(instance_id, "go")
    await world.until("select 1 from instances where execution = 3")
    between = await world.client.get_instance_info(instance_id)
    await world.client.send_signal(instance_id, "go")

    assert between.custom_status == "said in the first"
    assert (await world.end(instance_id)).custom_status == "said in the last"


@pytest.mark.parametrize("owner", ["hot", "cold"])
async def test_a_message_for_an_execution_that_is_over_does_not_stay(world: World, owner: str) -> None:
    """It means nothing to the one that runs, and must not wake it again and again: it goes at once."""
    hand = await world.worker(actor)
    instance_id = await world.start(actor, [])
    await world.client.send_signal(instance_id, "word", "go on")
    await world.until("select 1 from history where execution = 2")
    if owner == "cold":
        await hand.stop()
    late = history.encode_event(history.ChildCompleted(1, msgspec.Raw(b"1")))
    row = "insert into inbox (instance_id, kind, payload, execution) values ($1, 'Event', $2, 1)"
    await world.fetch(row, instance_id, late)
    await world.fetch("update instances set wake_at = now()")
    if owner == "cold":
        await world.worker(actor)

    await world.until("select 1 where not exists (select from inbox)")
    await world.client.send_signal(instance_id, "word", "end")

    assert (await world.end(instance_id)).output == ["go on"]

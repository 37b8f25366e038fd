"""What blows around a worker (connections that are killed, schemas that change, long work) and fails nobody."""

from __future__ import annotations

import asyncio
import dataclasses

from perdure import ActivityContext, JsonValue, OrchestrationContext, activity, orchestration
from tests.engine.world import ALONE, PUPPET, SETTINGS, Puppet, World, in_the_way, relay


@orchestration("test::orchestration::echo")
async def echo(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Return what comes in."""
    return input


KILL = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where datname = current_database() and application_name = any($1)"
)


async def test_an_activity_may_run_longer_than_the_lease(world: World, puppet: Puppet) -> None:
    """The worker renews its lease while the activity runs: nobody takes the instance over, nothing runs twice."""
    short = dataclasses.replace(SETTINGS, lease_seconds=1.5)
    hand = await world.worker(relay, puppet.activity, settings=short)
    await world.worker(relay, puppet.activity, settings=short)
    instance_id = await world.start(relay)
    call = await puppet.called()

    await world.until("select 1 from history where at < now() - interval '3 s'")
    call.returns("long after")

    assert (await world.end(instance_id)).output == "long after"
    assert (puppet.count, hand.worker.lives) == (1, 1)


async def test_who_asks_whose_the_attempt_is_waits_until_it_is_known(world: World) -> None:
    """A worker whose lease has run out, because nothing came through, has no effect that it was to confirm first."""
    began, go, effects = asyncio.Event(), asyncio.Event(), []

    @activity(PUPPET)
    async def careful(ctx: ActivityContext, input: JsonValue) -> JsonValue:
        began.set()
        await go.wait()
        await ctx.confirm()
        effects.append(ctx.attempt)
        return input

    hand = await world.worker(relay, careful)
    instance_id = await world.start(relay, "sure")
    await began.wait()
    worker_id = hand.worker.worker_id
    async with in_the_way(world, "select from workers where worker_id = $1 for update", worker_id):
        await world.until("select 1 from workers where worker_id = $1 and lease_until < now()", worker_id)
        go.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert effects == []

    assert (await world.end(instance_id)).output == "sure"
    assert effects == [1]


async def test_whoever_kills_all_connections_fails_nobody(world: World) -> None:
    """Again and again, with turns, children and signals on their way: all come to their end, each step once."""
    ran = []

    @activity("test::activity::noted")
    async def noted(ctx: ActivityContext, input: JsonValue) -> None:
        ran.append((ctx.instance_id, input))

    @orchestration("test::orchestration::family")
    async def family(ctx: OrchestrationContext) -> JsonValue:
        for number in range(3):
            await ctx.schedule_activity(noted, number)
            await ctx.schedule_timer(0.05)
            await ctx.schedule_sub_orchestration(echo, number)
        return "done"

    await world.worker(family, echo, noted, settings=dataclasses.replace(SETTINGS, lease_seconds=3_600))
    ids = [await world.start(family) for _ in range(20)]
    for turns in (2, 4, 6):
        await world.until("select 1 from instances where turn >= $1 and parent_id is null", turns)
        await world.fetch(KILL, ["perdure-test", "perdure-lease"])

    assert {(await world.end(instance_id)).output for instance_id in ids} == {"done"}
    assert sorted(ran) == sorted((instance_id, number) for instance_id in ids for number in range(3))


async def test_a_worker_whose_listening_connection_dies_listens_again(world: World) -> None:
    """It hears of a start without polling, also of one that came while nobody listened."""
    await world.worker(echo, settings=dataclasses.replace(ALONE, lease_seconds=1.0))
    assert (await world.run(echo, 1)).output == 1

    await world.fetch(KILL, ["perdure-lease"])

    assert (await world.run(echo, 2)).output == 2
    assert (await world.run(echo, 3)).output == 3


async def test_a_schema_that_changes_under_a_worker_stops_nothing(world: World, puppet: Puppet) -> None:
    """A later release adds a column while this one works: prepared statements are prepared anew."""
    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    call = await puppet.called()

    await world.fetch("alter table instances add column later integer")
    await world.fetch("alter table history add column later integer")
    call.returns("still here")

    assert (await world.end(instance_id)).output == "still here"
    other = await world.start(relay)
    (await puppet.called()).returns("and again")
    assert (await world.end(other)).output == "and again"


async def test_a_fan_out_of_many_instances_is_complete_on_one_worker_and_on_two(world: World) -> None:
    """Twenty times five at once: every result is there, in its place."""

    @activity("test::activity::double")
    async def double(ctx: ActivityContext, input: int) -> int:
        return 2 * input

    @orchestration("test::orchestration::fan")
    async def fan(ctx: OrchestrationContext, input: int) -> JsonValue:
        return await ctx.join(*(ctx.schedule_activity(double, input + n) for n in range(5)))

    for _ in range(2):
        await world.worker(fan, double, settings=dataclasses.replace(SETTINGS, max_instances=15))
        ids = [await world.start(fan, number) for number in range(20)]
        expected = [[2 * (number + n) for n in range(5)] for number in range(20)]
        assert [(await world.end(instance_id)).output for instance_id in ids] == expected


async def test_large_values_go_through_activities_children_signals_and_executions(world: World) -> None:
    """Up to a hundred kilobytes each, over a hundred events: all arrive as they were sent."""

    @activity("test::activity::repeat")
    async def repeat(ctx: ActivityContext, input: str) -> str:
        return input

    @orchestration("test::orchestration::carrier")
    async def carrier(ctx: OrchestrationContext, input: list[str]) -> JsonValue:
        sizes = [10_000, 50_000, 100_000]
        said = await ctx.join(*(ctx.schedule_activity(repeat, "ü" * (sizes[n % 3] // 2)) for n in range(20)))
        told = await ctx.join(*(ctx.schedule_sub_orchestration(echo, text) for text in said[:5]))
        heard = await ctx.schedule_wait("word", str)
        if len(input) < 3:
            ctx.continue_as_new([*input, heard])
        return [sum(map(len, said)), told == said[:5], [len(text) for text in [*input, heard]]]

    await world.worker(carrier, echo, repeat)
    instance_id = await world.start(carrier, [])
    for size in (100_000, 50_000, 10_000, 1):
        await world.client.send_signal(instance_id, "word", "x" * size)

    total = sum([10_000, 50_000, 100_000][n % 3] // 2 for n in range(20))
    assert (await world.end(instance_id)).output == [total, True, [100_000, 50_000, 10_000, 1]]


async def test_an_activity_asked_for_and_given_up_in_one_turn_never_runs(world: World, puppet: Puppet) -> None:
    """Nothing of it is left behind either, on its owner or in a queue."""

    @orchestration("test::orchestration::fickle")
    async def fickle(ctx: OrchestrationContext) -> str:
        ctx.schedule_activity(PUPPET, "here").cancel()
        ctx.schedule_activity(PUPPET, "elsewhere", queue="somewhere").cancel()
        await ctx.schedule_timer(0)
        return "done"

    await world.worker(fickle, puppet.activity)

    assert (await world.run(fickle)).output == "done"
    assert (puppet.count, await world.fetch("select 1 from tasks")) == (0, [])


async def test_the_custom_status_stays_on_whoever_has_ended(world: World, puppet: Puppet) -> None:
    """The last one of a turn counts; it is there on one that completed, failed or was cancelled, and may be reset."""

    @orchestration("test::orchestration::shows")
    async def shows(ctx: OrchestrationContext, input: str) -> None:
        ctx.set_custom_status("first")
        ctx.set_custom_status({"at": input})
        await ctx.schedule_activity(PUPPET)
        if input == "fails":
            raise ValueError(input)
        if input == "resets":
            ctx.set_custom_status(None)

    await world.worker(shows, puppet.activity)
    seen = {}
    for name in ("completes", "fails", "resets", "is cancelled"):
        instance_id = await world.start(shows, name)
        call = await puppet.called()
        assert (await world.client.get_instance_info(instance_id)).custom_status == {"at": name}
        await world.client.cancel_instance(instance_id) if name == "is cancelled" else call.returns(None)
        seen[name] = (await world.end(instance_id)).custom_status

    expected = {"at": "completes"}, {"at": "fails"}, None, {"at": "is cancelled"}
    assert tuple(seen.values()) == expected


async def test_a_zero_character_goes_everywhere_and_wedges_nothing(world: World, puppet: Puppet) -> None:
    """Postgres cannot hold it as text: in values it is kept all the same, in sentences it is written visibly."""

    @orchestration("test::orchestration::zero")
    async def zero(ctx: OrchestrationContext, input: str) -> None:
        ctx.set_custom_status(input)
        told = await ctx.schedule_sub_orchestration(echo, await ctx.schedule_activity(PUPPET, input))
        heard = await ctx.schedule_wait("word")
        if input == "\x00":
            ctx.continue_as_new(f"{input}{told}{heard}")
        await ctx.schedule_wait("never")

    await world.worker(zero, echo, puppet.activity)
    instance_id = await world.start(zero, "\x00")
    await world.client.send_signal(instance_id, "word", "\x00s")
    (await puppet.called()).returns("\x00r")
    (await puppet.called()).fails(ValueError("\x00e"))

    info = await world.end(instance_id)
    assert (info.phase, info.input, info.custom_status) == ("Failed", "\x00\x00r\x00s", "\x00\x00r\x00s")
    assert info.error is not None
    assert info.error.message == "\\0e"
    other = await world.start(zero, "other")
    await puppet.called()
    await world.client.suspend_instance(other, "\x00")
    await world.client.cancel_instance(other, "\x00c")
    ended = await world.end(other)
    assert (ended.phase, ended.error and ended.error.message) == ("Cancelled", "\\0c")

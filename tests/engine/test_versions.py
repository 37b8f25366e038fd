"""Versions: an instance keeps the one it began with, and waits for it rather than run as another."""

from __future__ import annotations

import dataclasses

from perdure import JsonValue, OrchestrationContext, orchestration
from tests.engine.world import ALONE, PUPPET, SETTINGS, Puppet, World, relay

NAME = "test::orchestration::edition"


@orchestration(NAME, version="1.9.0")
async def old(ctx: OrchestrationContext) -> JsonValue:
    """Ask the puppet, and say which version this is."""
    return [await ctx.schedule_activity(PUPPET, ctx.version), ctx.version]


@orchestration(NAME, version="1.10.0")
async def new(ctx: OrchestrationContext) -> JsonValue:
    """Do it in another way: sleep first."""
    await ctx.schedule_timer(0)
    return [await ctx.schedule_activity(PUPPET, ctx.version), ctx.version]


async def test_the_highest_version_is_taken_by_default_and_an_exact_one_when_asked_for(
    world: World, puppet: Puppet
) -> None:
    """1.10.0 is higher than 1.9.0; whoever asks for 1.9.0 gets that."""
    await world.worker(old, new, puppet.activity)
    latest = await world.start(NAME)
    exact = (await world.client.start_orchestration_versioned("exact", NAME, "1.9.0")).instance_id
    for _ in range(2):
        call = await puppet.called()
        call.returns(call.input)

    assert (await world.end(latest)).output == ["1.10.0", "1.10.0"]
    assert (await world.end(exact)).output == ["1.9.0", "1.9.0"]


async def test_a_running_instance_keeps_its_version_over_a_deployment(world: World, puppet: Puppet) -> None:
    """Begun by workers that had the old code only, it is gone on with by the copy of it that the new ones have."""
    first = await world.worker(old, puppet.activity)
    begun = await world.start(NAME)
    await puppet.called()
    await first.stop()

    await world.worker(old, new, puppet.activity)
    fresh = await world.start(NAME)
    for _ in range(2):
        call = await puppet.called()
        call.returns(call.input)

    assert (await world.end(begun)).output == ["1.9.0", "1.9.0"]
    assert (await world.end(fresh)).output == ["1.10.0", "1.10.0"]


async def test_two_generations_of_workers_each_run_what_is_theirs(world: World, puppet: Puppet) -> None:
    """In the middle of a rolling deployment no instance is run by a worker that has not its version."""
    old_hand = await world.worker(old, puppet.activity)
    begun = [await world.start(NAME) for _ in range(10)]
    for _ in begun:
        call = await puppet.called()
    await world.worker(new, puppet.activity)
    exact = [
        (await world.client.start_orchestration_versioned(f"new-{n}", NAME, "1.10.0")).instance_id for n in range(10)
    ]
    for _ in exact:
        call = await puppet.called()
        call.returns(call.input)
    assert [(await world.end(instance_id)).output for instance_id in exact] == 10 * [["1.10.0", "1.10.0"]]

    await world.crash(old_hand)
    await world.worker(old, puppet.activity)
    for _ in begun:
        call = await puppet.called()
        call.returns(call.input)

    assert [(await world.end(instance_id)).output for instance_id in begun] == 10 * [["1.9.0", "1.9.0"]]


async def test_three_workers_are_replaced_one_by_one_under_load(world: World) -> None:
    """A rolling deployment of three: every instance comes to its end under the version it began with."""

    @orchestration(NAME, version="1.9.0")
    async def old_loop(ctx: OrchestrationContext) -> JsonValue:
        for _ in range(5):
            await ctx.schedule_timer(0.05)
        return ctx.version

    new_loop = orchestration(NAME, version="1.10.0")(old_loop.function)
    hands = [await world.worker(old_loop) for _ in range(3)]
    ids = [await world.start(NAME) for _ in range(30)]
    await world.until("select 1 from instances where version = '1.9.0' having count(*) = 30")
    for hand in hands:
        await world.worker(old_loop, new_loop)
        ids += [await world.start(NAME) for _ in range(10)]
        await hand.stop()

    outputs = [(await world.end(instance_id)).output for instance_id in ids]
    assert outputs[:30] == 30 * ["1.9.0"]
    assert set(map(str, outputs[30:])) <= {"1.9.0", "1.10.0"}
    infos = [await world.client.get_instance_info(instance_id) for instance_id in ids]
    assert [info.version for info in infos] == outputs


async def test_a_version_that_nobody_offers_waits_and_stops_no_other(world: World, puppet: Puppet) -> None:
    """It is not substituted by a higher one; it goes on by itself where it is offered."""
    first = await world.worker(old, puppet.activity)
    begun = await world.start(NAME)
    await puppet.called()
    await first.stop()
    await world.worker(new, relay, puppet.activity, settings=ALONE)
    other = await world.start(relay)
    (await puppet.called()).returns("meanwhile")
    assert (await world.end(other)).output == "meanwhile"
    assert await world.fetch("select 1 from instances where instance_id = $1 and owner_id is null", begun)

    await world.worker(old, puppet.activity, settings=ALONE)
    (await puppet.called()).returns("at last")

    assert (await world.end(begun)).output == ["at last", "1.9.0"]


async def test_the_order_of_a_fan_out_over_versions_is_kept(world: World) -> None:
    """Children of two versions on workers of two generations: each result is in its place."""

    @orchestration("test::orchestration::said", version="1.0.0")
    async def said_1(ctx: OrchestrationContext, input: int) -> str:
        return f"{input} by {ctx.version}"

    said_2 = orchestration("test::orchestration::said", version="2.0.0")(said_1.function)

    @orchestration("test::orchestration::asks-all")
    async def asks_all(ctx: OrchestrationContext) -> JsonValue:
        versions = [("1.0.0", "2.0.0")[number % 2] for number in range(20)]
        name = "test::orchestration::said"
        return await ctx.join(
            *(ctx.schedule_sub_orchestration(name, n, version=version) for n, version in enumerate(versions))
        )

    small = dataclasses.replace(SETTINGS, max_instances=10)
    await world.worker(asks_all, said_1, settings=small)
    await world.worker(said_2, settings=small)

    assert (await world.run(asks_all)).output == [f"{n} by {('1.0.0', '2.0.0')[n % 2]}" for n in range(20)]

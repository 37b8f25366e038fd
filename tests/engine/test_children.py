"""Sub-orchestrations: each is an instance of its own, and its end reaches its parent once."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from perdure import (
    ChildOrchestrationError,
    Fixed,
    JsonValue,
    OrchestrationCancelled,
    OrchestrationContext,
    RetryPolicy,
    orchestration,
)
from perdure._core import history, limits
from tests.engine import proxy
from tests.engine.world import ALONE, PUPPET, SETTINGS, Puppet, World, relay


@dataclasses.dataclass
class Order:
    """A typed input."""

    item: str
    count: int


@orchestration("test::orchestration::maker")
async def maker(ctx: OrchestrationContext, input: Order) -> Order:
    """Make twice as much."""
    return dataclasses.replace(input, count=2 * input.count)


@orchestration("test::orchestration::delegate")
async def delegate(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Let a child ask the puppet."""
    return await ctx.schedule_sub_orchestration(relay, input)


@orchestration("test::orchestration::forgiving")
async def forgiving(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Let a child ask the puppet, and say how it failed."""
    try:
        return await ctx.schedule_sub_orchestration(relay, input)
    except ChildOrchestrationError as error:
        return {"type": error.type, "message": error.message, "name": error.name, "code": error.cause_code}


@orchestration("test::orchestration::many")
async def many(ctx: OrchestrationContext, input: int) -> JsonValue:
    """Wait for so many children, each with its number."""
    return await ctx.join(*(ctx.schedule_sub_orchestration(echo, number) for number in range(input)))


@orchestration("test::orchestration::echo")
async def echo(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Return what comes in, a turn later."""
    await ctx.schedule_timer(0)
    return input


def ends_of_children(events: list[history.Event]) -> list[history.Event]:
    """Pick what a parent heard of its children."""
    return [event for event in events if isinstance(event, history.ChildCompleted | history.ChildFailed)]


async def test_a_child_gets_typed_input_and_gives_typed_output(world: World) -> None:
    """Both go through JSON and come out as the types that its definition says; its id follows from its parent."""

    @orchestration("test::orchestration::shop")
    async def shop(ctx: OrchestrationContext) -> int:
        order = await ctx.schedule_sub_orchestration(maker, Order("chair", 2))
        assert isinstance(order, Order)
        return order.count

    await world.worker(shop, maker, settings=ALONE)

    parent = await world.run(shop)

    assert parent.output == 4
    child = await world.client.get_instance_info(f"{parent.instance_id}::sub::1.1")
    assert (child.parent_id, child.output) == (parent.instance_id, {"item": "chair", "count": 4})


async def test_children_have_ids_of_their_own_or_the_one_they_are_given(world: World) -> None:
    """Several children of one parent are several instances; a given id is taken as it is."""

    @orchestration("test::orchestration::family")
    async def family(ctx: OrchestrationContext) -> JsonValue:
        named = ctx.schedule_sub_orchestration(echo, "named", instance_id="my-child")
        return await ctx.join(ctx.schedule_sub_orchestration(echo, 1), named, ctx.schedule_sub_orchestration(echo, 2))

    await world.worker(family, echo, settings=ALONE)

    parent = await world.run(family)

    assert parent.output == [1, "named", 2]
    rows = await world.fetch("select instance_id from instances where parent_id = $1", parent.instance_id)
    auto = {f"{parent.instance_id}::sub::1.{seq}" for seq in (2, 3)}
    assert {row["instance_id"] for row in rows} == {"my-child", *auto}


async def test_a_child_by_name_runs_the_highest_version_and_a_versioned_one_its_own(world: World) -> None:
    """Without a version the highest offered is taken; one that is asked for is never replaced by another."""

    @orchestration("test::orchestration::edition", version="1.0.0")
    async def old(ctx: OrchestrationContext) -> str:
        return ctx.version

    @orchestration("test::orchestration::edition", version="1.10.0")
    async def new(ctx: OrchestrationContext) -> str:
        return ctx.version

    @orchestration("test::orchestration::reader")
    async def reader(ctx: OrchestrationContext) -> JsonValue:
        latest = ctx.schedule_sub_orchestration("test::orchestration::edition")
        exact = ctx.schedule_sub_orchestration("test::orchestration::edition", version="1.0.0", returns=str)
        return await ctx.join(latest, exact)

    await world.worker(reader, old, new)

    assert (await world.run(reader)).output == ["1.10.0", "1.0.0"]


async def test_the_failure_of_a_child_is_an_error_that_can_be_caught(world: World, puppet: Puppet) -> None:
    """It says what went wrong and whose it was; the parent goes on."""
    await world.worker(forgiving, relay, puppet.activity, settings=ALONE)
    parent = await world.start(forgiving, "x")

    (await puppet.called()).fails(ValueError("no such thing"))

    output = (await world.end(parent)).output
    assert output == {
        "type": "ValueError",
        "message": "no such thing",
        "name": "test::orchestration::relay",
        "code": "PERDURE-1301",
    }


async def test_the_failure_of_a_child_that_is_not_caught_fails_the_parent(world: World, puppet: Puppet) -> None:
    """And its own parent after it: the reason of the innermost is still to be read at the top."""

    @orchestration("test::orchestration::top")
    async def top(ctx: OrchestrationContext) -> JsonValue:
        return await ctx.schedule_sub_orchestration(delegate, "x")

    await world.worker(top, delegate, relay, puppet.activity)
    instance_id = await world.start(top)
    (await puppet.called()).fails(ValueError("deep down"))

    info = await world.end(instance_id)
    assert info.error is not None
    assert (info.phase, "deep down" in info.error.message) == ("Failed", True)


async def test_a_child_that_is_cancelled_fails_its_parents_wait(world: World, puppet: Puppet) -> None:
    """Somebody cancels the child alone: the parent is not cancelled, and hears why its child was."""
    await world.worker(forgiving, relay, puppet.activity)
    parent = await world.start(forgiving, "x")
    await puppet.called()

    await world.client.cancel_instance(f"{parent}::sub::1.1", "not this one")

    output = (await world.end(parent)).output
    assert isinstance(output, dict)
    assert (output["type"], output["message"]) == ("InstanceCancelledError", "not this one")


@pytest.mark.parametrize("whose", ["owned", "nobody's"])
async def test_a_child_that_is_terminated_fails_its_parents_wait(world: World, puppet: Puppet, whose: str) -> None:
    """Whether somebody owns the child or nobody does, its parent hears of the end at once."""
    hand = await world.worker(forgiving, relay, puppet.activity, settings=ALONE)
    parent = await world.start(forgiving, "x")
    await puppet.called()
    if whose != "owned":
        await hand.stop()

    await world.client.terminate_instance(f"{parent}::sub::1.1", "enough")
    if whose != "owned":
        await world.worker(forgiving, relay, puppet.activity)

    output = (await world.end(parent)).output
    assert isinstance(output, dict)
    assert output["type"] == "InstanceTerminatedError"
    assert len(ends_of_children(await world.events(parent))) == 1


@pytest.mark.parametrize("outcome", ["returns", "fails"])
async def test_the_end_of_a_child_reaches_its_parent_once_after_a_restart(
    world: World, puppet: Puppet, outcome: str
) -> None:
    """Both were running when their worker died; the next one brings the child to its end and tells the parent."""
    first = await world.worker(forgiving, relay, puppet.activity)
    parent = await world.start(forgiving, "x")
    await puppet.called()
    await world.crash(first)

    await world.worker(forgiving, relay, puppet.activity)
    call = await puppet.called()
    call.returns("done") if outcome == "returns" else call.fails(ValueError("done"))

    info = await world.end(parent)
    assert info.phase == "Completed"
    assert len(ends_of_children(await world.events(parent))) == 1


async def test_a_child_that_ends_while_nobody_owns_its_parent_wakes_it(world: World, puppet: Puppet) -> None:
    """Only the child can be run at first; who later offers the parent finds the result."""
    first = await world.worker(delegate, relay, puppet.activity)
    parent = await world.start(delegate, "x")
    await puppet.called()
    await first.stop()
    await world.worker(relay, puppet.activity)
    (await puppet.called()).returns("meanwhile")
    await world.end(f"{parent}::sub::1.1")

    await world.worker(delegate, settings=ALONE)

    assert (await world.end(parent)).output == "meanwhile"


async def test_a_child_may_run_on_another_worker(world: World, puppet: Puppet) -> None:
    """Neither worker polls: the one hears of the child that is to run, the other of its end."""
    await world.worker(delegate, settings=ALONE)
    await world.worker(relay, puppet.activity, settings=ALONE)
    await world.until("select 1 from workers having count(*) = 2")

    parent = await world.start(delegate, "x")
    (await puppet.called()).returns("from elsewhere")

    assert (await world.end(parent)).output == "from elsewhere"


async def test_a_taken_id_is_an_error_of_the_parent(world: World, puppet: Puppet) -> None:
    """An id that somebody else has is told at the await; the other instance is left alone."""

    @orchestration("test::orchestration::claims-it")
    async def claims_it(ctx: OrchestrationContext, input: str) -> JsonValue:
        try:
            return await ctx.schedule_sub_orchestration(relay, instance_id=input)
        except ChildOrchestrationError as error:
            return error.type

    await world.worker(claims_it, relay, puppet.activity, settings=ALONE)
    taken = await world.start(relay, "mine")
    call = await puppet.called()

    assert (await world.run(claims_it, taken)).output == "InstanceConflictError"
    call.returns("not touched")
    assert (await world.end(taken)).output == "not touched"


async def test_an_id_asked_for_twice_in_one_commit_belongs_to_one(world: World) -> None:
    """Two waits in one turn, and parents whose turns go out together: one gets the child, the others are told."""

    @orchestration("test::orchestration::twins")
    async def twins(ctx: OrchestrationContext) -> JsonValue:
        both = [ctx.schedule_sub_orchestration(echo, number, instance_id="the-one") for number in range(2)]
        results = await ctx.join(*both, return_exceptions=True)
        return ["error" if isinstance(result, BaseException) else "child" for result in results]

    ids = [await world.start(twins) for _ in range(10)]
    await world.worker(twins, echo, settings=ALONE)

    outputs = [(await world.end(instance_id)).output for instance_id in ids]
    words = [word for output in outputs for word in cast("list[str]", output)]
    assert sorted(words) == ["child"] + 19 * ["error"]


async def test_an_id_that_goes_to_a_detached_instance_is_taken(world: World) -> None:
    """Asked for as a child and as a detached instance in one turn, in either order: nobody waits in vain."""

    @orchestration("test::orchestration::both")
    async def both(ctx: OrchestrationContext, input: str) -> JsonValue:
        if input == "detached first":
            ctx.schedule_orchestration(echo, f"{ctx.instance_id}-x", "detached")
        child = ctx.schedule_sub_orchestration(echo, "child", instance_id=f"{ctx.instance_id}-x")
        if input == "child first":
            ctx.schedule_orchestration(echo, f"{ctx.instance_id}-x", "detached")
        try:
            return await child
        except ChildOrchestrationError as error:
            return error.type

    await world.worker(both, echo, settings=ALONE)

    assert (await world.run(both, "child first")).output in {"child", "InstanceConflictError"}
    assert (await world.run(both, "detached first")).output in {"child", "InstanceConflictError"}


async def test_a_taken_id_is_told_by_the_next_owner_too(world: World, puppet: Puppet) -> None:
    """The worker died between the commit and the telling: whoever rebuilds the parent finds that no child is there."""

    @orchestration("test::orchestration::claims-it")
    async def claims_it(ctx: OrchestrationContext, input: str) -> JsonValue:
        try:
            return await ctx.schedule_sub_orchestration(relay, instance_id=input)
        except ChildOrchestrationError as error:
            return error.type

    first = await world.worker(claims_it, relay, puppet.activity)
    parent = await world.start(claims_it, "my-child")
    await puppet.called()
    await world.crash(first)
    await world.fetch("update instances set parent_id = 'somebody-else' where instance_id = 'my-child'")

    await world.worker(claims_it, settings=ALONE)
    await world.fetch("update instances set owner_id = null, wake_at = now() where instance_id = $1", parent)
    await world.fetch("select pg_notify('perdure_wake', '')")

    assert (await world.end(parent)).output == "InstanceConflictError"


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_commit_of_unknown_outcome_starts_a_child_once(world: World, puppet: Puppet, lost: proxy.Lost) -> None:
    """The parent's wait is neither forgotten nor told that its own child took its id."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(delegate, relay, puppet.activity, dsn=dsn)
        await world.until("select 1 from workers")
        wire.lose(lost, "commit_turn")
        parent = await world.start(delegate, "x")
        await wire.broken()
        (await puppet.called()).returns("once")

        assert (await world.end(parent)).output == "once"
        assert puppet.count == 1
        await hand.stop()


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_commit_of_unknown_outcome_tells_the_end_of_a_child_once(
    world: World, puppet: Puppet, lost: proxy.Lost
) -> None:
    """The turn that ends the child tells its parent, whatever becomes of the wire."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(delegate, relay, puppet.activity, dsn=dsn)
        parent = await world.start(delegate, "x")
        call = await puppet.called()
        wire.lose(lost, "commit_turn")
        call.returns("once")
        await wire.broken()

        assert (await world.end(parent)).output == "once"
        assert len(ends_of_children(await world.events(parent))) == 1
        await hand.stop()


async def test_a_failed_child_is_run_again_as_its_policy_says(world: World, puppet: Puppet) -> None:
    """Each attempt is an instance of its own, of a given id with a number behind it."""

    @orchestration("test::orchestration::persistent")
    async def persistent(ctx: OrchestrationContext) -> JsonValue:
        policy = RetryPolicy(3, backoff=Fixed(0))
        return await ctx.schedule_sub_orchestration(relay, "x", instance_id="try", retry=policy)

    await world.worker(persistent, relay, puppet.activity, settings=ALONE)
    parent = await world.start(persistent)

    for _ in range(2):
        (await puppet.called()).fails(ValueError("again"))
    (await puppet.called()).returns("third time")

    assert (await world.end(parent)).output == "third time"
    rows = await world.fetch("select instance_id, phase from instances where parent_id = $1 order by 1", parent)
    assert [tuple(row) for row in rows] == [("try", "Failed"), ("try~2", "Failed"), ("try~3", "Completed")]


async def test_a_child_that_takes_too_long_is_cancelled_and_run_again(world: World) -> None:
    """The timeout of the policy bounds each attempt; the last one's is the error of the parent."""

    @orchestration("test::orchestration::endless")
    async def endless(ctx: OrchestrationContext) -> None:
        await ctx.schedule_wait("never")

    @orchestration("test::orchestration::hurried")
    async def hurried(ctx: OrchestrationContext) -> None:
        await ctx.schedule_sub_orchestration(endless, retry=RetryPolicy(2, backoff=Fixed(0), timeout=0.1))

    await world.worker(hurried, endless, settings=ALONE)

    info = await world.run(hurried)

    assert (info.phase, info.error and info.error.code) == ("Failed", "PERDURE-1209")
    ended = "select 1 from instances where parent_id = $1 and phase = 'Cancelled' having count(*) = 2"
    await world.until(ended, info.instance_id)


async def test_five_hundred_children_on_two_workers_end_together(world: World) -> None:
    """Their ends all name one parent: nobody waits for anybody in a circle, and every result is there in its place."""
    small = dataclasses.replace(SETTINGS, max_instances=300)
    for _ in range(2):
        await world.worker(many, echo, settings=small)

    parent = await world.run(many, 500)

    assert parent.output == list(range(500))
    assert await world.fetch("select 1 from inbox") == []


async def test_a_parent_that_ends_asks_its_children_to_end(world: World, puppet: Puppet) -> None:
    """It returned, or failed, without waiting for them: they are cancelled, and what they say changes nothing."""

    @orchestration("test::orchestration::careless")
    async def careless(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_sub_orchestration(relay, "left")
        await ctx.schedule_wait("go")
        if input == "Failed":
            raise ValueError("careless")
        return "done"

    await world.worker(careless, relay, puppet.activity, settings=ALONE)
    for end in ("Failed", "Completed"):
        parent = await world.start(careless, end)
        call = await puppet.called()

        await world.client.send_signal(parent, "go")

        await call.cancelled.wait()
        assert (await world.end(f"{parent}::sub::1.1")).phase == "Cancelled"
        assert (await world.end(parent)).phase == end
    assert await world.fetch("select 1 from inbox") == []


async def test_a_child_started_and_given_up_in_one_turn_never_is(world: World, puppet: Puppet) -> None:
    """What is asked for and not wanted in the same turn is not asked for at all."""

    @orchestration("test::orchestration::fickle")
    async def fickle(ctx: OrchestrationContext) -> str:
        ctx.schedule_sub_orchestration(relay, "dropped").cancel()
        ctx.schedule_sub_orchestration(relay, "never awaited")
        return "done"

    await world.worker(fickle, relay, puppet.activity)

    assert (await world.run(fickle)).output == "done"
    assert await world.fetch("select 1 from instances where parent_id is not null") == []


async def test_the_loser_of_a_race_is_cancelled_and_may_clean_up(world: World, puppet: Puppet) -> None:
    """A child that lost to a signal is asked to end; the parent does not wait for it."""

    @orchestration("test::orchestration::careful")
    async def careful(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_activity(PUPPET, "do")
        except OrchestrationCancelled as cancelled:
            await ctx.schedule_activity(PUPPET, f"undo: {cancelled.reason}")
            raise

    @orchestration("test::orchestration::racer")
    async def racer(ctx: OrchestrationContext) -> int:
        index, _ = await ctx.select2(ctx.schedule_sub_orchestration(careful), ctx.schedule_wait("faster"))
        await ctx.schedule_wait("end")
        return index

    await world.worker(racer, careful, puppet.activity, settings=ALONE)
    parent = await world.start(racer)
    await puppet.called()
    await world.client.send_signal(parent, "faster")
    undo = await puppet.called()
    undo.returns(None)
    assert (await world.end(f"{parent}::sub::1.1")).phase == "Cancelled"
    await world.client.send_signal(parent, "end")

    assert undo.input == "undo: The parent no longer waits for it."
    info = await world.end(parent)
    assert (info.phase, info.output) == ("Completed", 1)


async def test_a_child_may_continue_as_new_and_still_answers_its_parent(world: World) -> None:
    """Its parent hears of its end, not of the ends of its executions."""

    @orchestration("test::orchestration::cycling")
    async def cycling(ctx: OrchestrationContext, input: int) -> str:
        if input:
            ctx.continue_as_new(input - 1)
        return f"execution {ctx.execution}"

    @orchestration("test::orchestration::patient")
    async def patient(ctx: OrchestrationContext) -> str:
        return await ctx.schedule_sub_orchestration(cycling, 3)

    await world.worker(patient, cycling, settings=ALONE)

    parent = await world.run(patient)

    assert parent.output == "execution 4"
    assert len(ends_of_children(await world.events(parent.instance_id))) == 1


@orchestration("test::orchestration::reborn")
async def reborn(ctx: OrchestrationContext, input: int) -> JsonValue:
    """Leave a child behind, continue as new, and wait for another."""
    if input == 0:
        ctx.schedule_sub_orchestration(relay, "left")
        await ctx.schedule_wait("go")
        ctx.continue_as_new(1)
    return await ctx.schedule_sub_orchestration(relay, "awaited")


async def test_a_later_execution_gets_its_own_children_only(world: World, puppet: Puppet) -> None:
    """The child of the first execution has the number of that of the second: it is cancelled, and not mistaken."""
    await world.worker(reborn, settings=ALONE)
    await world.worker(relay, puppet.activity, settings=ALONE)
    parent = await world.start(reborn, 0)
    left = await puppet.called()

    await world.client.send_signal(parent, "go")
    await left.cancelled.wait()
    assert (await world.end(f"{parent}::sub::1.1")).phase == "Cancelled"
    awaited = await puppet.called()
    awaited.returns("of the second")

    assert (left.input, awaited.input) == ("left", "awaited")
    assert (await world.end(parent)).output == "of the second"
    assert (await world.end(f"{parent}::sub::2.1")).output == "of the second"
    assert await world.fetch("select 1 from inbox") == []


async def test_a_later_execution_hears_of_its_child_after_a_restart(world: World, puppet: Puppet) -> None:
    """A parent at its second execution is rebuilt on one worker, and its child ends on another."""
    first = await world.worker(reborn, relay, puppet.activity)
    parent = await world.start(reborn, 0)
    await puppet.called()
    await world.client.send_signal(parent, "go")
    await world.end(f"{parent}::sub::1.1")
    await puppet.called()
    await world.crash(first)

    await world.worker(reborn, settings=ALONE)
    await world.worker(relay, puppet.activity)
    (await puppet.called()).returns("of the second")

    assert (await world.end(parent)).output == "of the second"
    assert len(ends_of_children(await world.events(parent))) == 1


@pytest.mark.parametrize("what", ["output", "turn"])
async def test_a_child_that_exceeds_a_limit_fails_its_parents_wait(world: World, what: str) -> None:
    """Its output is too large, or what it asks for at once: the parent is told, and does not wait for ever."""

    @orchestration("test::orchestration::greedy")
    async def greedy(ctx: OrchestrationContext, input: str) -> str:
        if input == "turn":
            largest = "x" * (limits.PAYLOAD_BYTES - 10)
            await ctx.join(*(ctx.schedule_activity(PUPPET, largest) for _ in range(20)))
        return "x" * limits.PAYLOAD_BYTES

    @orchestration("test::orchestration::parent")
    async def parent(ctx: OrchestrationContext, input: str) -> JsonValue:
        try:
            return await ctx.schedule_sub_orchestration(greedy, input)
        except ChildOrchestrationError as error:
            return error.type

    await world.worker(parent, greedy)

    assert (await world.run(parent, what)).output == "PayloadTooLargeError"

"""Children and detached orchestrations in a simulation: the real ones, or what stands for them."""

from __future__ import annotations

import asyncio

import pytest

from perdure import (
    ActivityContext,
    ChildOrchestrationError,
    Fixed,
    OrchestrationContext,
    OrchestrationRegistry,
    RetryPolicy,
    errors,
    orchestration,
)
from perdure.testing import Simulation, simulate
from tests.unit.testing.flows import Order, Receipt, buy, charge, price, refund

GIVEN = {price: 12.5, charge: charge, refund: refund}


@orchestration("shop::orchestration::many")
async def many(ctx: OrchestrationContext, input: list[str]) -> float:
    """Buy many things side by side."""
    orders = [Order(item=item) for item in input]
    receipts = await ctx.join(*(ctx.schedule_sub_orchestration(buy, order) for order in orders))
    return sum(receipt.total for receipt in receipts)


@orchestration("shop::orchestration::careful")
async def careful(ctx: OrchestrationContext) -> str:
    """Buy one thing, and say why it could not be had."""
    try:
        receipt = await ctx.schedule_sub_orchestration(buy, Order(item="lamp"), instance_id="order")
    except ChildOrchestrationError as error:
        return f"{error.instance_id}: {error.type}: {error.message}"
    return f"{receipt.total:g}"


def test_children_are_run_for_real() -> None:
    """With the activities of the simulation, under ids that follow from the parent's; each can be looked at."""
    run = simulate(many, ["lamp", "chair"], activities=GIVEN, orchestrations=[buy])

    assert run.output == 25
    assert [child.instance_id for child in run.children] == ["test::sub::1.1", "test::sub::1.2"]
    assert run.children[0].output == Receipt(total=12.5)


def test_a_child_may_be_stood_for() -> None:
    """By a value, a function of context and input, an error, or durable code of the test."""

    async def durable(ctx: OrchestrationContext, order: Order) -> Receipt:
        await ctx.schedule_timer(60)
        return Receipt(total=len(order.item))

    stand_ins: list[tuple[object, str, float]] = [
        (Receipt(total=1), "1", 0),
        (lambda _, order: Receipt(total=order.count), "1", 0),
        (durable, "4", 60),
        (ValueError("sold out"), "order: ValueError: sold out", 0),
    ]
    for stand_in, output, elapsed in stand_ins:
        run = simulate(careful, orchestrations={buy: stand_in})

        assert (run.output, run.elapsed) == (output, elapsed)


def test_a_failing_child_tells_its_parent() -> None:
    """Type, message and id arrive as they do on a worker."""
    run = simulate(careful, activities={**GIVEN, charge: ValueError("no money")}, orchestrations=[buy])

    assert run.output == "order: ValueError: no money"
    assert run.children[0].phase == "Failed"


def test_a_child_whose_id_is_taken_is_not_started() -> None:
    """The parent gets an error, not a hang."""
    with Simulation(activities=GIVEN, orchestrations=[buy]) as simulation:
        simulation.start(buy, Order(item="chair"), instance_id="order")
        run = simulation.start(careful)

        assert run.output.startswith("order: InstanceConflictError")
        assert run.children == []


def test_a_child_is_cancelled_with_its_parent_and_when_it_lost_a_race() -> None:
    """It may compensate; the parent does not wait for that."""

    async def slow(ctx: ActivityContext) -> float:
        await asyncio.sleep(600)
        return 1.0

    @orchestration("shop::orchestration::impatient")
    async def impatient(ctx: OrchestrationContext) -> int:
        index, _ = await ctx.select(ctx.schedule_sub_orchestration(buy, Order(item="lamp")), ctx.schedule_timer(60))
        return index

    activities = {**GIVEN, price: slow}
    lost = simulate(impatient, activities=activities, orchestrations=[buy])
    with Simulation(activities=activities, orchestrations=[buy]) as simulation:
        cancelled = simulation.start(many, ["lamp", "chair"])
        cancelled.cancel("closed")

    assert (lost.output, lost.children[0].phase) == (1, "Cancelled")
    assert [child.phase for child in cancelled.children] == ["Cancelled", "Cancelled"]
    assert cancelled.phase == "Cancelled"


def test_a_child_is_run_again_by_a_retry_policy() -> None:
    """Each run is an instance of its own; the delays are virtual."""

    @orchestration("shop::orchestration::persistent")
    async def persistent(ctx: OrchestrationContext) -> float:
        policy = RetryPolicy(3, backoff=Fixed(100), jitter=0)
        return (await ctx.schedule_sub_orchestration(buy, Order(item="lamp"), instance_id="order", retry=policy)).total

    def moody(ctx: OrchestrationContext) -> Receipt:
        if ctx.instance_id != "order~3":
            raise ValueError(ctx.instance_id)
        return Receipt(total=3)

    run = simulate(persistent, orchestrations={buy: moody})

    assert (run.output, run.elapsed) == (3, 200)
    assert [child.instance_id for child in run.children] == ["order", "order~2", "order~3"]


def test_a_child_that_continues_as_new_still_tells_its_parent() -> None:
    """Its end is the end of its last execution."""

    async def rounds(ctx: OrchestrationContext, order: Order) -> Receipt:
        if ctx.execution < 3:
            ctx.continue_as_new(order)
        return Receipt(total=ctx.execution)

    assert simulate(careful, orchestrations={buy: rounds}).output == "3"


def test_a_parent_that_continues_as_new_hears_no_more_of_its_children() -> None:
    """They are cancelled; what they say goes to nobody."""

    @orchestration("shop::orchestration::leaving")
    async def leaving(ctx: OrchestrationContext) -> int:
        if ctx.execution == 1:
            ctx.schedule_sub_orchestration(buy, Order(item="lamp", count=100))
            ctx.schedule_sub_orchestration(many, ["lamp"])
            await ctx.schedule_timer(1)
            ctx.continue_as_new()
        await ctx.schedule_timer(1)
        return ctx.execution

    run = simulate(leaving, activities=GIVEN, orchestrations=[buy, many])

    assert (run.output, [child.phase for child in run.children]) == (2, ["Cancelled", "Completed"])


def test_detached_orchestrations_are_run_when_they_are_known() -> None:
    """They go their own way: the run is over before them."""

    @orchestration("shop::orchestration::starting")
    async def starting(ctx: OrchestrationContext) -> str:
        ctx.schedule_orchestration(buy, "order", Order(item="lamp", count=10))
        return "started"

    with Simulation(activities=GIVEN, orchestrations=[buy]) as simulation:
        run = simulation.start(starting)
        assert (run.output, simulation.find("order").phase) == ("started", "Running")
        simulation.send_signal("order", "approved", "Ada")

        assert simulation.find("order").phase == "Completed"


def test_the_highest_version_is_taken_or_the_one_that_is_asked_for() -> None:
    """As a registry does on a worker, also by an execution that continues as new."""

    @orchestration("shop::orchestration::flow", version="1.0.0")
    async def old(ctx: OrchestrationContext) -> str:
        if ctx.execution == 1:
            ctx.continue_as_new()
        return ctx.version

    @orchestration("shop::orchestration::flow", version="1.1.0")
    async def new(ctx: OrchestrationContext) -> str:
        return ctx.version

    @orchestration("shop::orchestration::caller")
    async def caller(ctx: OrchestrationContext) -> list[str]:
        latest = ctx.schedule_sub_orchestration(old)
        exact = ctx.schedule_sub_orchestration(new, version="1.0.0")
        return list(await ctx.join(latest, exact))

    run = simulate(caller, orchestrations=OrchestrationRegistry.of(old, new))

    assert run.output == ["1.1.0", "1.1.0"]
    assert [child.executions for child in run.children] == [1, 2]


@pytest.mark.parametrize(("version", "wanted"), [("", "any version"), ("9.9.9", "version 9.9.9")])
def test_a_child_that_nothing_stands_for_fails_the_test(version: str, wanted: str) -> None:
    """With its name and version, and what to write."""

    @orchestration("shop::orchestration::lost")
    async def lost(ctx: OrchestrationContext) -> None:
        await ctx.schedule_sub_orchestration("shop::orchestration::nowhere", version=version)

    with pytest.raises(errors.SimulationError, match=rf"nowhere in {wanted}, .*orchestrations="):
        simulate(lost)

"""`Simulation`: step by step, with time, signals and cancels in the hand of the test."""

from __future__ import annotations

import asyncio
import datetime

import pytest

from perdure import ActivityContext, OrchestrationCancelled, OrchestrationContext, errors, orchestration
from perdure._core import limits
from perdure.testing import Simulation
from tests.unit.testing.flows import HOUR, Order, Receipt, buy, charge, price, refund

GIVEN = {price: 12.5, charge: charge, refund: refund}
LARGE = Order(item="lamp", count=10)


@orchestration("shop::orchestration::beat")
async def beat(ctx: OrchestrationContext, input: int) -> None:
    """Look after something, once an hour, for ever."""
    ctx.set_custom_status(input)
    ctx.set_ready(input > 1, "warming up")
    await ctx.schedule_timer(HOUR)
    ctx.continue_as_new(input + 1)


def test_a_forgotten_decorator_is_told() -> None:
    """A plain function is no orchestration; the error says what to write."""

    async def plain(ctx: OrchestrationContext) -> None: ...

    with Simulation() as simulation, pytest.raises(errors.DefinitionError, match="decorate it with @orchestration"):
        simulation.start(plain)  # type: ignore[arg-type]  # what the test is about


def test_what_can_happen_without_time_happens_at_once() -> None:
    """A run that is started stands where it waits for somebody, for time, or for what takes time."""
    with Simulation(activities=GIVEN) as simulation:
        run = simulation.start(buy, LARGE)

        assert (run.phase, run.waits, simulation.elapsed) == ("Running", ["approved"], 0)
        run.signal("approved", "Ada")
        assert run.output == Receipt(total=125, approved_by="Ada")


async def test_each_step_works_in_an_async_test() -> None:
    """Start, signal, cancel and time: none minds the loop of the test."""
    with Simulation(activities=GIVEN) as simulation:
        run, other = simulation.start(buy, LARGE), simulation.start(buy, LARGE, instance_id="other")
        simulation.advance(60)
        run.signal("approved", "Ada")
        other.cancel()

        assert (run.phase, run.elapsed, other.phase) == ("Completed", 60, "Cancelled")


def test_time_passes_only_when_it_is_told_to() -> None:
    """A second before the hour the run still waits; with the second it does no longer."""
    with Simulation(activities=GIVEN) as simulation:
        run = simulation.start(buy, LARGE)

        simulation.advance(datetime.timedelta(minutes=59, seconds=59))
        assert run.phase == "Running"
        simulation.advance(1)
        assert (run.phase, run.elapsed) == ("Failed", HOUR)


def test_what_comes_due_on_the_way_happens_in_its_order() -> None:
    """Advancing by a day takes every hour of it."""
    with Simulation() as simulation:
        run = simulation.start(beat, 1)

        assert (run.custom_status, run.is_ready) == (1, False)
        simulation.advance(datetime.timedelta(days=1))
        assert (run.custom_status, run.is_ready, run.executions, simulation.elapsed) == (25, True, 25, 24 * HOUR)


def test_time_can_pass_until_something_is_so() -> None:
    """It stops before it moves on; what never comes true is an error that says how all stand."""
    with Simulation(activities=GIVEN) as simulation:
        eternal, run = simulation.start(beat, 1, instance_id="eternal"), simulation.start(buy, LARGE)
        simulation.run_until(lambda: eternal.custom_status == 3)
        assert (simulation.elapsed, run.phase) == (2 * HOUR, "Failed")

    with Simulation(activities=GIVEN) as simulation:
        run = simulation.start(buy, LARGE)
        with pytest.raises(
            errors.SimulationError, match=r"nothing more can happen: <Run test of .*: Failed with Timeout"
        ):
            simulation.run_until(lambda: run.phase == "Completed")


def test_a_cancel_is_raised_at_the_await_and_compensated() -> None:
    """As on a worker: `except` and `finally` go on, then the run is Cancelled."""
    with Simulation(activities=GIVEN) as simulation:
        run = simulation.start(buy, LARGE)
        run.cancel("too expensive")

        assert run.phase == "Cancelled"
        assert run.error is not None
        assert (run.error.code, "too expensive" in run.error.message) == (errors.InstanceCancelledError.code, True)
        assert [call.name for call in run.activities][-1] == refund.name
        assert isinstance(run.exception, OrchestrationCancelled)


def test_compensation_that_does_not_end_is_ended_with_its_grace() -> None:
    """The limit of workers is that of simulations."""

    async def hanging(ctx: ActivityContext) -> None:
        await asyncio.sleep(HOUR)

    with Simulation(activities={**GIVEN, refund: hanging}) as simulation:
        run = simulation.start(buy, LARGE)
        run.cancel()
        assert run.phase == "Running"
        simulation.run()

        assert (run.phase, run.elapsed) == ("Cancelled", limits.CANCEL_GRACE_SECONDS)
        assert run.error is not None
        assert run.error.code == errors.CancelGraceEndedError.code


def test_a_signal_may_come_while_an_activity_runs() -> None:
    """It is kept until the code waits for it."""

    async def slow(ctx: ActivityContext) -> float:
        await asyncio.sleep(20)
        return 20.0

    with Simulation(activities={**GIVEN, price: slow}) as simulation:
        run = simulation.start(buy, LARGE)
        simulation.advance(10)
        run.signal("approved", "Ada")
        assert [call.state for call in run.activities] == ["Running"]
        simulation.run()

        assert run.output == Receipt(total=200, approved_by="Ada")


def test_instances_send_signals_to_each_other() -> None:
    """What one sends, the other gets, if it is there."""

    @orchestration("shop::orchestration::asking")
    async def asking(ctx: OrchestrationContext) -> object:
        ctx.send_signal("clerk", "question", ctx.instance_id)
        ctx.send_signal("nobody", "question")
        return await ctx.schedule_wait("answer")

    @orchestration("shop::orchestration::answering")
    async def answering(ctx: OrchestrationContext) -> None:
        who = await ctx.schedule_wait("question", type=str)
        ctx.send_signal(who, "answer", 42)

    with Simulation() as simulation:
        clerk = simulation.start(answering, instance_id="clerk")
        run = simulation.start(asking)

        assert (run.output, clerk.phase) == (42, "Completed")


def test_what_is_asked_for_wrongly_is_said_at_once() -> None:
    """An id that is taken, one that is not there, a simulation that is closed, a time that cannot pass."""
    with Simulation() as simulation:
        run = simulation.start(beat, 1)
        with pytest.raises(errors.InstanceConflictError):
            simulation.start(beat, 1)
        with pytest.raises(errors.InstanceNotFoundError, match="There is: test"):
            simulation.find("other")
        with pytest.raises(errors.DefinitionError):
            simulation.advance(-1)
    with pytest.raises(errors.SimulationError, match="closed"):
        run.signal("go")
    simulation.close()


def test_a_run_can_be_looked_at_after_its_simulation() -> None:
    """Closing ends what is under way and forgets nothing."""

    async def hanging(ctx: ActivityContext) -> float:
        await asyncio.sleep(HOUR)
        return 1.0

    with Simulation(activities={**GIVEN, price: hanging}) as simulation:
        run = simulation.start(buy, LARGE)

    assert repr(run) == f"<Run test of {buy.name}: Running, waiting for activity {price.name}>"
    assert len(run.history[0]) == 1


def test_a_simulation_that_is_forgotten_leaves_nothing_behind() -> None:
    """A test that fails in the middle closes nothing; no warning of its loop hides the failure."""
    simulation = Simulation(activities=GIVEN)
    simulation.start(buy, LARGE)

    del simulation

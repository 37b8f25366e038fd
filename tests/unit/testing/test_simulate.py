"""`simulate`: an orchestration from start to end in one call, and all that a test may ask of the run."""

from __future__ import annotations

import asyncio
import datetime
import json

import pytest

from perdure import ActivityContext, Fixed, NonRetryableError, OrchestrationContext, RetryPolicy, errors, orchestration
from perdure.testing import BEGINS_AT, Sent, Started, simulate
from tests.unit.testing.flows import HOUR, Order, Receipt, buy, charge, price, refund

GIVEN = {price: 12.5, charge: charge, refund: refund}
RETRY_AT_ONCE = RetryPolicy(2, backoff=Fixed(0))


def test_a_run_gives_what_the_orchestration_returned_as_its_type() -> None:
    """Activities are values or the real ones; the output is read as the annotation says."""
    run = simulate(buy, Order(item="lamp", count=2), activities={price: 12.5, charge: charge})

    assert run.phase == "Completed"
    assert run.output == Receipt(total=25)
    assert (run.error, run.exception, run.elapsed, run.executions) == (None, None, 0, 1)


async def test_it_works_in_an_async_test_all_the_same() -> None:
    """A loop that runs already is left alone."""
    run = simulate(buy, Order(item="lamp"), activities={price: 12.5, charge: charge})

    assert run.output == Receipt(total=12.5)


def test_all_that_a_run_did_can_be_looked_at() -> None:
    """Activities with input, attempts and result, progress, status, lines, and the history."""
    run = simulate(buy, Order(item="lamp", count=10), activities=GIVEN, signals=[("approved", "Ada")])

    assert [(call.name, call.input, call.state, call.attempts) for call in run.activities] == [
        ("shop::activity::price", "lamp", "Completed", 1),
        ("shop::activity::charge", 125.0, "Completed", 1),
    ]
    assert run.activities[1].result == "test/1/2: 125.0"
    assert [tuple(trace) for trace in run.activities[1].traces] == [("info", "charging amount=125.0")]
    assert [(shown.done, shown.total, shown.message) for shown in run.progress] == [
        (0, 2, "asking for the price"),
        (1, 2, "charged"),
        (2, 2, "done"),
    ]
    assert (run.custom_status, run.is_ready) == ("waiting for approval", None)
    assert [tuple(trace) for trace in run.traces] == [("info", "lamp costs 125")]
    assert [len(turns) for turns in run.history] == [4]
    assert run.history[0][0].at == BEGINS_AT


def test_stand_ins_are_called_as_the_real_ones_are() -> None:
    """With the context and the input of the real type, async or not, by definition or by name."""
    seen: list[tuple[int, str]] = []

    async def slow_price(ctx: ActivityContext, item: str) -> float:
        await asyncio.sleep(5)
        seen.append((ctx.attempt, item))
        return 1.0

    run = simulate(
        buy,
        Order(item="lamp"),
        activities={price: slow_price, "shop::activity::charge": lambda _, amount: f"{amount}"},
    )

    assert run.output == Receipt(total=1)
    assert (seen, run.elapsed) == ([(1, "lamp")], 5)
    assert run.activities[1].result == "1.0"


def test_a_failed_attempt_is_retried_by_its_policy_in_virtual_time() -> None:
    """Ten seconds between two attempts pass at once, and count."""

    def moody(ctx: ActivityContext) -> float:
        if ctx.attempt < 3:
            message = f"attempt {ctx.attempt}"
            raise OSError(message)
        return 3.0

    run = simulate(buy, Order(item="lamp"), activities={**GIVEN, price: moody})

    assert run.output == Receipt(total=3)
    assert run.elapsed == 20
    assert (run.activities[0].attempts, [str(error) for error in run.activities[0].exceptions]) == (
        3,
        ["attempt 1", "attempt 2"],
    )


def test_an_attempt_that_takes_too_long_is_timed_out() -> None:
    """Sleeping is virtual, so a timeout is as quick as everything else."""

    async def hanging(ctx: ActivityContext) -> float:
        await asyncio.sleep(HOUR)
        return 1.0

    run = simulate(buy, Order(item="lamp"), activities={**GIVEN, price: hanging})

    assert run.error is not None
    assert (run.error.code, run.error.attempts) == (errors.ActivityTimeoutError.code, 3)
    assert run.elapsed == 3 * 30 + 2 * 10


def test_an_exception_as_a_stand_in_is_raised_at_every_attempt() -> None:
    """The run fails with it as it would on a worker; one that says so is not tried again."""
    often = simulate(buy, Order(item="lamp"), activities={**GIVEN, price: ValueError("no such item")})
    once = simulate(buy, Order(item="lamp"), activities={**GIVEN, price: NonRetryableError("sold out")})

    for run, attempts, message in ((often, 3, "no such item"), (once, 1, "sold out")):
        assert run.phase == "Failed"
        assert run.error is not None
        assert (run.error.message, run.error.attempts, run.error.activity) == (message, attempts, price.name)


def test_asking_for_the_output_of_a_failed_run_shows_where_it_failed() -> None:
    """The error has the traceback of the orchestration as its cause, and those of its activities as notes."""

    def breaking(ctx: ActivityContext, amount: float) -> None:
        raise ZeroDivisionError(amount)

    run = simulate(buy, Order(item="lamp"), activities={**GIVEN, charge: breaking})

    with pytest.raises(
        errors.SimulationError, match="test has no output: it is Failed with ZeroDivisionError"
    ) as raised:
        _ = run.output
    assert isinstance(raised.value.__cause__, errors.ActivityError)
    [note] = raised.value.__notes__
    assert "in breaking" in note
    assert "raise ZeroDivisionError(amount)" in note


def test_an_error_of_the_orchestration_keeps_its_traceback() -> None:
    """Where one's own code broke is what one wants to see first."""

    @orchestration("shop::orchestration::broken")
    async def broken(ctx: OrchestrationContext) -> int:
        return [][ctx.execution]

    run = simulate(broken)

    assert run.error is not None
    assert run.error.type == "IndexError"
    assert isinstance(run.exception, IndexError)
    assert run.exception.__traceback__ is not None
    assert run.exception.__traceback__.tb_next is not None


def test_an_assertion_in_a_stand_in_fails_the_test() -> None:
    """It is the test's, and is not retried, caught or swallowed by the orchestration."""

    def checking(ctx: ActivityContext, amount: float) -> None:
        assert amount == 3, "the price is wrong"

    with pytest.raises(AssertionError, match="the price is wrong"):
        simulate(buy, Order(item="lamp"), activities={**GIVEN, charge: checking})


def test_an_activity_that_nothing_stands_for_fails_the_test() -> None:
    """With its name, and what to write."""
    with pytest.raises(
        errors.SimulationError, match=r"activities=\{'shop::activity::charge': lambda ctx, input: ...\}"
    ):
        simulate(buy, Order(item="lamp"), activities={price: 1})


def test_a_stand_in_that_gives_the_wrong_type_is_found() -> None:
    """The result is read as the real activity's annotation says: a stand-in cannot drift away from it."""
    run = simulate(buy, Order(item="lamp"), activities={**GIVEN, price: "cheap"})

    assert run.error is not None
    assert run.error.code == errors.InputInvalidError.code


def test_a_timer_beyond_the_calendar_fails_the_run() -> None:
    """It is the delay that is wrong, and the error says so; there is no moment at which it could fire."""

    @orchestration("shop::orchestration::never")
    async def never(ctx: OrchestrationContext) -> None:
        await ctx.schedule_timer(1e12)

    run = simulate(never)

    assert run.error is not None
    assert (run.error.code, run.error.message) == (
        errors.DefinitionError.code,
        "delay of a timer is 1e+12 s; expected an end before the year 10000.",
    )


def test_an_input_of_the_wrong_type_fails_the_run() -> None:
    """As it would on a worker: the path of the field is told."""
    run = simulate(buy, {"article": "lamp"})  # type: ignore[misc]  # what the test is about

    assert run.error is not None
    assert "item: Field required" in run.error.message


def test_signals_are_sent_when_the_code_waits_for_them() -> None:
    """The first of a name first, each once."""

    @orchestration("shop::orchestration::listening")
    async def listening(ctx: OrchestrationContext) -> list[object]:
        await ctx.schedule_timer(HOUR)
        return [await ctx.schedule_wait(name) for name in ("b", "a", "b")]

    run = simulate(listening, signals=[("a", 1), ("b", 2), ("b", 3)])

    assert run.output == [2, 1, 3]


def test_a_run_that_waits_for_a_signal_says_so() -> None:
    """It stands there when nothing more can happen, and can say for what."""

    @orchestration("shop::orchestration::waiting")
    async def waiting(ctx: OrchestrationContext) -> object:
        return await ctx.schedule_wait("go")

    run = simulate(waiting)

    assert (run.phase, run.waits, run.error) == ("Running", ["go"], None)
    with pytest.raises(errors.SimulationError, match="it is Running, waiting for signal go"):
        _ = run.output


def test_a_timeout_passes_when_nobody_signals() -> None:
    """Time jumps to the next timer; code may compensate."""
    run = simulate(buy, Order(item="lamp", count=10), activities=GIVEN)

    assert run.error is not None
    assert (run.error.type, run.elapsed) == ("TimeoutError", HOUR)
    assert run.activities[-1].name == refund.name


def test_time_can_begin_at_any_moment() -> None:
    """Code that looks at the time of the day can be tested at each."""

    @orchestration("shop::orchestration::at-night")
    async def at_night(ctx: OrchestrationContext) -> list[str]:
        before = ctx.utcnow()
        await ctx.schedule_timer(datetime.timedelta(hours=2))
        return [before.isoformat(), ctx.utcnow().isoformat()]

    run = simulate(at_night, begins_at=datetime.datetime(2024, 2, 28, 23, tzinfo=datetime.UTC))

    assert run.output == ["2024-02-28T23:00:00+00:00", "2024-02-29T01:00:00+00:00"]


def test_what_is_sent_and_started_elsewhere_is_noted() -> None:
    """Nobody need stand for those whom a run only speaks to."""

    @orchestration("shop::orchestration::reaching-out")
    async def reaching_out(ctx: OrchestrationContext) -> None:
        ctx.schedule_orchestration(buy, "order-1", Order(item="lamp"), version="1.0.0")
        ctx.send_signal("order-0", "approved", "Ada")

    run = simulate(reaching_out)

    assert run.started == [Started("order-1", buy.name, {"item": "lamp", "count": 1}, "1.0.0")]
    assert run.sent == [Sent("order-0", "approved", "Ada")]


def test_an_orchestration_that_continues_as_new_is_followed() -> None:
    """Activities and turns of all its executions are there."""

    @orchestration("shop::orchestration::rounds")
    async def rounds(ctx: OrchestrationContext, input: int) -> int:
        total = input + await ctx.schedule_activity("count", returns=int)
        if ctx.execution < 3:
            ctx.continue_as_new(total)
        return total

    run = simulate(rounds, 0, activities={"count": 5})

    assert (run.output, run.executions, len(run.history)) == (15, 3, 3)
    assert [call.execution for call in run.activities] == [1, 2, 3]


@pytest.mark.slow
def test_an_orchestration_that_runs_for_ever_ends_the_test() -> None:
    """After so many turns the test is told how such a one is tested."""

    @orchestration("shop::orchestration::eternal")
    async def eternal(ctx: OrchestrationContext) -> None:
        await ctx.schedule_timer(HOUR)
        ctx.continue_as_new()

    with pytest.raises(errors.SimulationError, match="10000 turns"):
        simulate(eternal)


def test_activities_run_side_by_side() -> None:
    """Two of five and of seven seconds take seven."""

    async def take(ctx: ActivityContext, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    @orchestration("shop::orchestration::both")
    async def both(ctx: OrchestrationContext) -> list[object]:
        return list(await ctx.join(*(ctx.schedule_activity("take", seconds) for seconds in (7, 5))))

    run = simulate(both, activities={"take": take})

    assert (run.output, run.elapsed) == ([7, 5], 7)


def test_an_activity_that_lost_a_race_is_cancelled() -> None:
    """It gets asyncio's cancel, and may clean up."""
    cleaned: list[str] = []

    async def hanging(ctx: ActivityContext) -> None:
        try:
            await asyncio.sleep(HOUR)
        finally:
            cleaned.append(ctx.instance_id)

    @orchestration("shop::orchestration::impatient")
    async def impatient(ctx: OrchestrationContext) -> int:
        index, _ = await ctx.select(ctx.schedule_activity("hang"), ctx.schedule_timer(60))
        await ctx.schedule_timer(1)
        return index

    run = simulate(impatient, activities={"hang": hanging})

    assert (run.output, run.elapsed, cleaned) == (1, 61, ["test"])
    assert (run.activities[0].state, run.activities[0].ended) == ("Cancelled", 60)


def test_an_activity_in_a_thread_is_waited_for_while_time_stands() -> None:
    """Code that goes to a thread is not overtaken by its own timeout."""

    @orchestration("shop::orchestration::threaded")
    async def threaded(ctx: OrchestrationContext) -> object:
        return await ctx.schedule_activity("think", total_timeout=60)

    run = simulate(threaded, activities={"think": lambda: asyncio.to_thread(json.loads, "[1, 2]")})

    assert (run.output, run.elapsed) == ([1, 2], 0)


def test_silence_ends_an_attempt_and_the_next_goes_on_where_it_was() -> None:
    """Heartbeats are kept in time, and their last detail is there for the next attempt."""

    async def copy(ctx: ActivityContext) -> object:
        begun = ctx.heartbeat_detail
        for part in range(3):
            await asyncio.sleep(8)
            ctx.heartbeat([ctx.attempt, part])
        if ctx.attempt == 1:
            await asyncio.sleep(11)
        return begun

    @orchestration("shop::orchestration::copying")
    async def copying(ctx: OrchestrationContext) -> object:
        from_where = ctx.schedule_activity("copy", heartbeat_timeout=10, retry=RETRY_AT_ONCE)
        return await from_where

    run = simulate(copying, activities={"copy": copy})

    assert (run.output, run.elapsed) == ([1, 2], 24 + 10 + 24)
    assert "no heartbeat within 10 s" in str(run.activities[0].exceptions[0])

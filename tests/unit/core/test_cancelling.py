"""Cancelling on the pure core: raised at the awaits, compensated by the code, ended by the grace."""

from __future__ import annotations

import json

import pytest

from perdure import ActivityError, OrchestrationCancelled, OrchestrationContext, orchestration
from perdure._core import history
from perdure._core.definition import AnyOrchestration
from tests.unit.core.runs import Run, completed, failed

CANCEL = history.CancelRequested("not needed")


@orchestration("unit::orchestration::compensating")
async def compensating(ctx: OrchestrationContext) -> str:
    """Book, and unbook when cancelled."""
    try:
        await ctx.schedule_activity("book")
    finally:
        await ctx.schedule_activity("unbook")
    return "booked"


@orchestration("unit::orchestration::plain")
async def plain(ctx: OrchestrationContext) -> None:
    """Two steps at once, and no thought of cancelling."""
    await ctx.join(ctx.schedule_activity("step"), ctx.schedule_timer(60))


def outcome(run: Run) -> history.CancelOrchestration:
    """Give the end of a cancelled run."""
    assert isinstance(run.execution.outcome, history.CancelOrchestration), run.execution.outcome
    return run.execution.outcome


def test_what_is_open_is_given_up_and_the_run_ends_cancelled() -> None:
    """Code that does not care ends in the turn of the cancel, with its reason."""
    run = Run(plain)

    commands = run.turn(CANCEL)

    assert list(commands) == [
        history.CancelActivity(1),
        history.CancelTimer(2),
        history.CancelOrchestration("not needed"),
    ]
    assert run.open == []


def test_a_cancel_wins_over_a_result_of_the_same_turn() -> None:
    """A result that comes with the cancel does not save the run."""
    run = Run(plain)

    run.turn(completed(1), CANCEL)

    assert outcome(run).reason == "not needed"


@pytest.mark.parametrize("result", [completed(1), failed(1, "broken")], ids=["completed", "failed"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_cancel_wins_over_the_end_of_the_same_turn(result: history.Event, *, is_first: bool) -> None:
    """A cancel that comes with the last result, before it or after it, is not lost; an error of the code is told."""

    @orchestration("unit::orchestration::step")
    async def step(ctx: OrchestrationContext) -> None:
        await ctx.schedule_activity("step")

    run = Run(step)
    run.turn(*((CANCEL, result) if is_first else (result, CANCEL)))

    told = outcome(run).failure
    assert (told.message if told else "") == (
        "broken" if isinstance(result, history.ActivityFailed) and not is_first else ""
    )


def test_finally_may_compensate_through_every_crash() -> None:
    """Blocks of finally and except go on scheduling; the run is cancelling until they are through."""
    run = Run(compensating)

    run.turn(CANCEL)
    run.crash()

    assert run.execution.is_cancelling
    assert [type(command).__name__ for command in run.turns[-1].commands] == ["CancelActivity", "ScheduleActivity"]
    run.turn(completed(2))
    assert outcome(run).failure is None


def test_a_second_cancel_is_no_second_blow() -> None:
    """While the code compensates, another cancel changes nothing."""
    run = Run(compensating)
    run.turn(CANCEL)

    assert run.turn(history.CancelRequested("again")) == []

    run.turn(completed(2))
    assert outcome(run).reason == "not needed"


def test_what_goes_wrong_in_compensation_is_kept() -> None:
    """A run whose compensation fails ends Cancelled all the same, and tells what went wrong."""
    run = Run(compensating)
    run.turn(CANCEL)

    run.turn(failed(2, "cannot unbook"))

    told = outcome(run).failure
    assert told is not None
    assert told.message == "cannot unbook"


def test_the_grace_ends_code_that_goes_on_for_ever() -> None:
    """When the grace is over, the run is ended by force, whatever its code waits for."""
    run = Run(compensating)
    run.turn(CANCEL)

    run.turn(history.GraceEnded())

    told = outcome(run).failure
    assert told is not None
    assert told.code == "PERDURE-1205"


def test_except_exception_does_not_swallow_a_cancel() -> None:
    """The cancel is no Exception: code that catches those is cancelled all the same."""

    @orchestration("unit::orchestration::greedy")
    async def greedy(ctx: OrchestrationContext) -> str:
        try:
            await ctx.schedule_activity("step")
        except Exception:  # noqa: BLE001 - this is what the test is about
            return "swallowed"
        return "done"

    run = Run(greedy)
    run.turn(CANCEL)

    assert outcome(run).reason == "not needed"


def test_a_cancel_before_the_first_step_runs_no_code() -> None:
    """Start and cancel in one turn: the code never begins."""
    run = Run(compensating, starts=False)

    commands = run.turn(run.started, CANCEL)

    assert list(commands) == [history.CancelOrchestration("not needed")]


def test_every_branch_is_cancelled_and_may_clean_up() -> None:
    """Spawned and joined coroutines all get the cancel; the run waits for the cleaning up of those it awaits."""
    cleaned: list[str] = []

    async def branch(ctx: OrchestrationContext, name: str) -> None:
        try:
            await ctx.schedule_activity("step", name)
        except OrchestrationCancelled as cancelled:
            await ctx.schedule_activity("clean", [name, cancelled.reason])
            cleaned.append(name)
            raise

    @orchestration("unit::orchestration::branches")
    async def branches(ctx: OrchestrationContext) -> None:
        await ctx.join(branch(ctx, "a"), branch(ctx, "b"))

    run = Run(branches)
    run.turn(CANCEL)
    inputs = [json.loads(bytes(c.input)) for c in run.turns[-1].commands if isinstance(c, history.ScheduleActivity)]
    assert inputs == [["a", "not needed"], ["b", "not needed"]]
    run.turn(completed(3))
    assert run.execution.outcome is None
    run.turn(completed(4))

    assert outcome(run).failure is None
    assert set(cleaned) == {"a", "b"}


def put_away(code: AnyOrchestration) -> None:
    """Lose a coroutine in the middle."""
    Run(code).crash()


def test_putting_a_coroutine_away_runs_no_durable_code() -> None:
    """Code that schedules, traces or raises in its finally is put away in silence: the instance lives on elsewhere."""

    @orchestration("unit::orchestration::busy")
    async def busy(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_activity("step")
        except ActivityError:
            return
        finally:
            ctx.trace_info("leaving")
            await ctx.schedule_activity("step")

    @orchestration("unit::orchestration::raising")
    async def raising(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_activity("step")
        finally:
            raise ValueError

    put_away(busy)
    put_away(raising)


# --- out of time -----------------------------------------------------------------------------------------------------

LATE = history.CancelRequested("It took longer than 60 s.", is_timeout=True)


def timed_out(run: Run) -> str:
    """Give the sentence that a run which was out of time has failed with."""
    assert isinstance(run.execution.outcome, history.FailOrchestration), run.execution.outcome
    assert run.execution.outcome.failure.code == "PERDURE-1223"
    return run.execution.outcome.failure.message


def test_who_is_out_of_time_compensates_and_has_failed() -> None:
    """As by a cancel, through every crash, but for the end."""
    run = Run(compensating)
    run.turn(LATE)
    run.crash()

    run.turn(completed(2))

    assert timed_out(run) == "The run was ended. It took longer than 60 s."


def test_what_goes_wrong_while_it_is_ended_is_told() -> None:
    """An error of the compensation, or that it was cut off."""
    broken, cut_off = Run(compensating), Run(compensating)
    broken.turn(LATE)
    cut_off.turn(LATE)

    broken.turn(failed(2, "cannot unbook"))
    cut_off.turn(history.GraceEnded())

    assert "cannot unbook" in timed_out(broken)
    assert "PERDURE-1205" in timed_out(cut_off)


def test_the_first_wish_says_how_a_run_ends() -> None:
    """A cancel that is followed by the end of the time is a cancel, and the other way round; a termination is one."""
    cancelled, late, terminated = Run(compensating), Run(compensating), Run(compensating)
    for run, events in ((cancelled, (CANCEL, LATE)), (late, (LATE, CANCEL))):
        for event in events:
            run.turn(event)
        run.turn(completed(2))
    terminated.turn(LATE)
    terminated.turn(history.GraceEnded(is_termination=True))

    assert outcome(cancelled).reason == "not needed"
    assert "longer than 60 s" in timed_out(late)
    assert outcome(terminated).reason == "It took longer than 60 s."


def test_who_ends_in_the_turn_in_which_its_time_is_over_has_ended_in_time() -> None:
    """Unless it would only have begun anew."""

    @orchestration("unit::orchestration::once")
    async def once(ctx: OrchestrationContext, again: bool) -> None:  # noqa: FBT001 - an input
        await ctx.schedule_activity("step")
        if again:
            ctx.continue_as_new(again)

    ended, continued = Run(once, False), Run(once, True)
    for run in (ended, continued):
        run.turn(completed(1), LATE)

    assert isinstance(ended.execution.outcome, history.CompleteOrchestration)
    assert "longer than 60 s" in timed_out(continued)

"""Continuing as new on the pure core: the end of one execution, and what the next begins with."""

from __future__ import annotations

import json

import msgspec
import pytest

from perdure import JsonValue, OrchestrationContext, errors, orchestration
from perdure._core import history, lifecycle
from perdure._core.definition import AnyOrchestration
from tests.unit.core.runs import Run, child_completed, completed, fired, signal

CANCEL = history.CancelRequested("enough")


@orchestration("unit::orchestration::counter")
async def counter(ctx: OrchestrationContext, input: int) -> int:
    """Count rounds, one execution a round, up to three."""
    await ctx.schedule_activity("step", input)
    if input < 3:
        ctx.continue_as_new(input + 1)
    return input


def continued(run: Run) -> history.ContinueAsNew:
    """Give the end of a run that continues as new."""
    assert isinstance(run.execution.outcome, history.ContinueAsNew), run.execution.outcome
    return run.execution.outcome


def test_the_next_execution_begins_with_the_new_input_and_an_empty_history() -> None:
    """Numbers of operations begin anew; the instance runs on in between."""
    run = Run(counter, 1)
    run.turn(completed(1))
    assert continued(run) == history.ContinueAsNew(msgspec.Raw(b"2"))
    assert lifecycle.phase_after(continued(run)) == "Running"
    assert (lifecycle.output_of(continued(run)), lifecycle.error_of(continued(run))) == (None, None)

    second = run.next()
    assert second.commands == [history.ScheduleActivity(1, "step", msgspec.Raw(b"2"))]
    second.turn(completed(1))
    third = second.next()
    third.turn(completed(1))

    assert (third.output, third.number) == (3, 3)


def test_nothing_that_comes_after_it_is_run() -> None:
    """`continue_as_new` never returns, and `except Exception` does not catch it."""

    @orchestration("unit::orchestration::greedy")
    async def greedy(ctx: OrchestrationContext, input: str) -> str:
        try:
            ctx.continue_as_new(input)
        except Exception:  # noqa: BLE001 - this is what the test is about
            return "caught"

    assert bytes(continued(Run(greedy, "again")).input) == b'"again"'


def test_a_version_may_be_chosen_and_is_written_down() -> None:
    """Without one the next execution takes the highest."""

    @orchestration("unit::orchestration::upgrading")
    async def upgrading(ctx: OrchestrationContext, input: str) -> None:
        ctx.continue_as_new(version=input)

    assert continued(Run(upgrading, "2.0.0")).version == "2.0.0"
    assert continued(Run(upgrading, "")).version == ""
    assert Run(upgrading, "newest").failure.code == errors.DefinitionError.code


def test_a_value_that_cannot_be_written_fails_instead() -> None:
    """The error is raised at the call, where the code may still catch it."""

    @orchestration("unit::orchestration::unwritable")
    async def unwritable(ctx: OrchestrationContext) -> None:
        ctx.continue_as_new(object())

    failed = Run(unwritable).failure

    assert failed.code == errors.PayloadError.code
    assert "input of the next execution of unit::orchestration::unwritable" in failed.message


# --- signals ----------------------------------------------------------------------------------------------------------


@orchestration("unit::orchestration::mill")
async def mill(ctx: OrchestrationContext, input: list[JsonValue]) -> list[JsonValue]:
    """Take two items in each execution, until an item says stop."""
    taken = list(input)
    while taken[-1:] != ["stop"]:
        taken.append(await ctx.schedule_wait("item"))
        if len(taken) % 2 == 0:
            ctx.continue_as_new(taken)
    return taken


def test_signals_that_nobody_waited_for_go_along_in_their_order() -> None:
    """All names in the one order in which they came, however many."""
    run = Run(mill, [])
    run.turn(signal("other", "x"), *(signal("item", number) for number in range(50)), signal("item", "stop"))
    assert [one.name for one in continued(run).carried] == ["other", *["item"] * 49]

    while isinstance(run.execution.outcome, history.ContinueAsNew):
        run = run.next()

    assert run.output == [*range(50), "stop"]
    assert run.number == 26


def test_a_signal_of_the_very_turn_of_the_end_goes_along() -> None:
    """Before or after the event that ends the execution: the next one has it."""
    run = Run(counter, 1)

    run.turn(signal("go", 1), completed(1), signal("go", 2), signal("stay", 3))

    assert continued(run).carried == [signal("go", 1), signal("go", 2), signal("stay", 3)]


def test_signals_that_are_carried_survive_their_stored_form() -> None:
    """What one execution leaves is what the next one reads, by way of a column."""
    signals = [signal("a", {"width": 3}), signal("b"), signal("a", "äöü \0")]

    assert history.decode_carried(history.encode_carried(signals)) == signals
    assert (history.encode_carried([]), history.decode_carried(None)) == (None, [])


# --- what is still open ----------------------------------------------------------------------------------------------


def test_children_that_still_run_are_asked_to_end() -> None:
    """The next execution does not hear of them; the command comes before the end."""

    @orchestration("unit::orchestration::forgetful")
    async def forgetful(ctx: OrchestrationContext) -> None:
        ctx.schedule_sub_orchestration("unit::orchestration::child")
        ctx.schedule_activity("step")
        ctx.schedule_sub_orchestration("unit::orchestration::child")
        ctx.continue_as_new()

    run = Run(forgetful)

    assert run.commands[-3:] == [
        history.CancelSubOrchestration(1, "run::sub::1.1"),
        history.CancelSubOrchestration(3, "run::sub::1.3"),
        continued(run),
    ]
    assert run.turn(child_completed(1)) == []


def test_results_of_the_last_execution_are_no_business_of_the_next() -> None:
    """A result whose number nothing has in this execution is told, never applied: the engine keeps executions apart."""
    run = Run(counter, 1)
    run.turn(completed(1))

    with pytest.raises(errors.NondeterminismError):
        run.next().turn(completed(2))


def test_what_is_asked_for_in_the_last_turn_is_done_all_the_same() -> None:
    """Detached instances and signals of the turn that continues as new are in it, before its end."""

    @orchestration("unit::orchestration::reaching-out")
    async def reaching_out(ctx: OrchestrationContext) -> None:
        ctx.schedule_orchestration("unit::orchestration::other", "own-way")
        ctx.send_signal("own-way", "go")
        ctx.set_custom_status("next round")
        ctx.continue_as_new()

    assert [type(command) for command in Run(reaching_out).commands] == [
        history.StartOrchestration,
        history.SendSignal,
        history.SetCustomStatus,
        history.ContinueAsNew,
    ]


# --- from elsewhere than the last line --------------------------------------------------------------------------------


def test_a_finally_on_the_way_out_is_kept() -> None:
    """Cleaning up may take turns; the execution ends when it is through, and keeps the signals of the meantime."""

    @orchestration("unit::orchestration::tidy")
    async def tidy(ctx: OrchestrationContext) -> None:
        try:
            ctx.continue_as_new("again")
        finally:
            await ctx.schedule_activity("clean")

    run = Run(tidy)
    assert run.execution.outcome is None
    run.crash()
    run.turn(signal("go"))
    run.turn(completed(1))

    assert continued(run) == history.ContinueAsNew(msgspec.Raw(b'"again"'), "", [signal("go")])


def test_in_a_finally_it_takes_the_place_of_the_error_that_was_on_its_way() -> None:
    """As any `raise` in a finally does."""

    @orchestration("unit::orchestration::undaunted")
    async def undaunted(ctx: OrchestrationContext) -> None:
        try:
            raise ValueError
        finally:
            ctx.continue_as_new("undaunted")

    assert bytes(continued(Run(undaunted)).input) == b'"undaunted"'


@orchestration("unit::orchestration::entity")
async def entity(ctx: OrchestrationContext, input: str) -> str:
    """Look after something by two loops side by side; one of them continues as new after its first round."""
    cleaned: list[str] = []

    async def rounds() -> None:
        await ctx.schedule_timer(60)
        ctx.continue_as_new("next")

    async def orders() -> None:
        try:
            while True:
                await ctx.schedule_wait("order")
        finally:
            cleaned.append("orders")
            ctx.set_custom_status(cleaned)

    match input:
        case "awaited":
            await ctx.spawn(rounds())
        case "joined":
            await ctx.join(orders(), rounds())
        case "beside":
            ctx.spawn(rounds())
            await orders()
        case "raced":
            await ctx.select(orders(), rounds())
        case _:
            return "next execution"
    return "not reached"


@pytest.mark.parametrize("way", ["awaited", "joined", "beside", "raced"])
def test_a_coroutine_beside_the_main_one_may_continue_as_new(way: str) -> None:
    """Awaited, joined, raced or nobody's: the execution ends, and what runs beside it is led out by its `finally`."""
    run = Run(entity, way)

    run.turn(*(fired(seq) for seq in run.open if isinstance(run.execution.pending[seq].command, history.CreateTimer)))

    assert bytes(continued(run).input) == b'"next"'
    assert run.next().output == "next execution"
    statuses = [json.loads(bytes(c.value)) for c in run.commands if isinstance(c, history.SetCustomStatus)]
    assert statuses == ([] if way == "awaited" else [["orders"]])


def test_who_is_led_out_may_clean_up_and_may_fail() -> None:
    """Other coroutines get a cancel at their awaits; an error of their cleaning up is an error of the run."""

    @orchestration("unit::orchestration::led-out")
    async def led_out(ctx: OrchestrationContext, input: bool) -> None:  # noqa: FBT001 - the input of an orchestration
        async def round_over() -> None:
            ctx.continue_as_new(input)

        ctx.spawn(round_over())
        try:
            await ctx.schedule_wait("never")
        finally:
            await ctx.schedule_activity("clean")
            if input:
                raise ValueError("cannot clean")

    fine, broken = Run(led_out, False), Run(led_out, True)
    assert fine.open == [2]
    fine.turn(completed(2))
    broken.turn(completed(2))

    assert bytes(continued(fine).input) == b"false"
    assert broken.failure.message == "cannot clean"


# --- and a cancel ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [[completed(1), CANCEL], [CANCEL, completed(1)]], ids=["after", "before"])
def test_a_cancel_in_the_very_turn_is_not_lost(together: list[history.Event]) -> None:
    """A cancel means the instance, not one execution: there is no next one that would not know of it."""
    run = Run(counter, 1)

    run.turn(*together)

    assert run.execution.outcome == history.CancelOrchestration("enough")


def test_a_cancelled_run_that_continues_as_new_ends_cancelled() -> None:
    """Compensation cannot escape into another execution."""

    @orchestration("unit::orchestration::escaping")
    async def escaping(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_wait("go")
        finally:
            await ctx.schedule_activity("clean")
            ctx.continue_as_new()

    run = Run(escaping)
    run.turn(CANCEL)
    run.turn(completed(2))

    assert run.execution.outcome == history.CancelOrchestration("enough")


def test_a_cancel_while_an_execution_is_on_its_way_out_wins() -> None:
    """While a `finally` still cleans up behind `continue_as_new`, the instance can be cancelled."""

    @orchestration("unit::orchestration::leaving")
    async def leaving(ctx: OrchestrationContext) -> None:
        try:
            ctx.continue_as_new()
        finally:
            await ctx.schedule_activity("clean")

    run = Run(leaving)
    run.turn(CANCEL)

    assert run.execution.outcome == history.CancelOrchestration("enough")


def test_a_cancel_hits_the_execution_that_runs() -> None:
    """The second execution is cancelled like the first."""
    run = Run(counter, 1)
    run.turn(completed(1))
    second = run.next()

    second.turn(CANCEL)

    assert second.execution.outcome == history.CancelOrchestration("enough")


@pytest.mark.parametrize("code", [counter, mill], ids=lambda code: code.name)
def test_a_changed_version_or_input_of_the_next_execution_is_found(code: AnyOrchestration) -> None:
    """What the next execution begins with is an effect; replay compares it."""

    @orchestration(code.name)
    async def changed(ctx: OrchestrationContext, input: JsonValue) -> None:
        await (ctx.schedule_activity("step", input) if code is counter else ctx.schedule_wait("item"))
        if code is mill:
            await ctx.schedule_wait("item")
        ctx.continue_as_new("changed")

    run = Run(code, 1 if code is counter else [])
    run.turn(*([completed(1)] if code is counter else [signal("item"), signal("item")]))

    with pytest.raises(errors.NondeterminismError, match=r"continuing as new with .*changed"):
        run.replayed(changed)

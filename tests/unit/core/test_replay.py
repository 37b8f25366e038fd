"""One execution on its own: turns, results, and the comparison of code with its history."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from perdure import (
    ActivityError,
    ActivityTimeoutError,
    Exponential,
    Fixed,
    JsonValue,
    OrchestrationContext,
    RetryPolicy,
    errors,
    orchestration,
)
from perdure._core import failure, history
from perdure._core.definition import AnyOrchestration
from tests.unit.core.runs import BEGIN, Run, completed, failed, fired

Code = Callable[[OrchestrationContext], Awaitable[object]]


def named(code: Code) -> AnyOrchestration:
    """Make an orchestration of a function; all of a test have the same name."""
    return orchestration("unit::orchestration::code")(code)


@orchestration("unit::orchestration::two-steps")
async def two_steps(ctx: OrchestrationContext) -> list[JsonValue]:
    """Two activities, one after the other."""
    return [await ctx.schedule_activity("step", 1), await ctx.schedule_activity("step", 2)]


def kinds(run: Run) -> list[str]:
    """Name the kinds of all commands so far."""
    return [type(command).__name__ for command in run.commands]


def test_code_that_returns_at_once_ends_in_its_first_turn() -> None:
    """No work is asked for: the one command is the end, with the output."""

    @orchestration("unit::orchestration::double")
    async def double(ctx: OrchestrationContext, input: int) -> int:
        return 2 * input

    run = Run(double, 21)

    assert (run.output, kinds(run)) == (42, ["CompleteOrchestration"])


@pytest.mark.parametrize("error", [ValueError("no such thing"), SystemExit("no such thing")], ids=repr)
def test_code_that_raises_fails_with_the_exact_message(error: BaseException) -> None:
    """Whatever the code raises is its outcome: the class name and the words are kept."""

    async def raises(ctx: OrchestrationContext) -> None:
        raise error

    failed_with = Run(named(raises)).failure

    assert (failed_with.type, failed_with.message) == (type(error).__name__, "no such thing")


def test_an_interrupt_of_the_process_is_no_outcome() -> None:
    """Somebody pressed Ctrl-C while this code ran: the process ends, and the instance goes on elsewhere."""

    async def interrupted(ctx: OrchestrationContext) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run(named(interrupted))


def test_ten_steps_replay_to_the_same_ten_results() -> None:
    """A result in history is never asked for again, however often the coroutine is lost."""

    async def ten(ctx: OrchestrationContext) -> list[JsonValue]:
        return [await ctx.schedule_activity("step", number) for number in range(10)]

    run = Run(named(ten))
    for seq in range(1, 11):
        assert run.open == [seq]
        run.crash()
        run.turn(completed(seq, f"result {seq}"))

    assert run.output == [f"result {seq}" for seq in range(1, 11)]
    assert kinds(run) == 10 * ["ScheduleActivity"] + ["CompleteOrchestration"]


def test_two_activities_that_are_the_same_have_results_of_their_own() -> None:
    """Same name and same input, one after the other and side by side, with a crash between their results."""

    async def twins(ctx: OrchestrationContext) -> list[JsonValue]:
        first = await ctx.schedule_activity("step", 1)
        both = await ctx.join(ctx.schedule_activity("step", 1), ctx.schedule_activity("step", 1))
        return [first, *both]

    run = Run(named(twins))
    for seq in (1, 3, 2):
        run.turn(completed(seq, f"result {seq}"))
        run.crash()

    assert run.output == ["result 1", "result 2", "result 3"]


def test_completions_of_one_batch_are_all_applied_in_one_turn() -> None:
    """Two results that arrive together make one turn."""

    async def pair(ctx: OrchestrationContext) -> list[JsonValue]:
        return await ctx.join(ctx.schedule_activity("step"), ctx.schedule_activity("step"))

    run = Run(named(pair))
    run.turn(completed(2, "b"), completed(1, "a"))

    assert (run.output, len(run.turns)) == (["a", "b"], 2)


@pytest.mark.parametrize(
    "late", [completed(1, "again"), failed(1), completed(1, "first")], ids=["other", "failed", "same"]
)
def test_the_first_result_of_an_operation_stands(late: history.Event) -> None:
    """A second result, of the same kind or the other, in the same batch or later, changes nothing."""
    run = Run(two_steps)

    run.turn(completed(1, "first"), late)
    run.turn(late)
    run.turn(completed(2, "second"))

    assert run.output == ["first", "second"]


def test_a_failed_activity_raises_at_its_await_with_all_that_is_known() -> None:
    """The orchestration sees type, message, attempts and activity; after it caught the error, it goes on."""

    async def catches(ctx: OrchestrationContext) -> list[object]:
        try:
            await ctx.schedule_activity("step")
        except ActivityError as error:
            return [error.type, error.message, error.attempts, error.activity]
        return []

    run = Run(named(catches))
    run.turn(failed(1, "no disk"))

    assert run.output == ["ValueError", "no disk", 3, "step"]


def test_a_timed_out_activity_raises_its_own_error() -> None:
    """Who waits can tell a timeout from other failures."""

    async def waits(ctx: OrchestrationContext) -> str:
        try:
            await ctx.schedule_activity("step")
        except ActivityTimeoutError:
            return "timeout"
        return "result"

    run = Run(named(waits))
    run.turn(history.ActivityFailed(1, failure.Failure("PERDURE-1302", "ActivityTimeoutError", "late")))

    assert run.output == "timeout"


def test_events_after_the_end_change_nothing() -> None:
    """An instance that has ended asks for nothing more."""
    run = Run(two_steps)
    run.turn(failed(1))

    assert run.turn(completed(2), history.CancelRequested("late")) == []
    assert run.failure.message == "broken"


def test_a_result_nobody_asked_for_is_told() -> None:
    """A result of an unknown operation, or of another kind, is nondeterminism, not silently applied."""
    for event in (completed(7), fired(1)):
        with pytest.raises(errors.NondeterminismError):
            Run(two_steps).turn(event)


def test_a_result_that_does_not_fit_its_type_is_an_error_at_the_await() -> None:
    """A stored result is read as the type that is awaited; the error has the path."""

    async def typed(ctx: OrchestrationContext) -> int:
        return (await ctx.schedule_activity("step", returns=dict[str, int]))["width"]

    run = Run(named(typed))
    run.turn(completed(1, {"width": "wide"}))

    assert run.failure.code == "PERDURE-1102"
    assert "width" in run.failure.message


def test_a_failure_that_nobody_awaits_is_told_once_at_the_end() -> None:
    """What was spawned and left alone may fail in vain; who is awaited, joined or asked later is heard of."""

    async def fails(word: str) -> None:
        raise ValueError(word)

    async def careless(ctx: OrchestrationContext) -> str:
        left_alone, asked = ctx.spawn(fails("unheard")), ctx.spawn(fails("heard"))
        del left_alone
        await ctx.schedule_activity("step")
        await ctx.join(asked, ctx.spawn(fails("joined")), return_exceptions=True)
        return "done"

    run = Run(named(careless))
    run.crash()
    run.turn(completed(1))
    run.crash()

    assert [trace.level for trace in run.traces] == ["warning"]
    assert "ValueError: unheard" in run.traces[0].message
    assert "ctx.spawn" in run.traces[0].message


def test_traces_are_told_once_over_the_whole_life() -> None:
    """Lines of turns that are replayed are not told again, wherever the coroutine is lost."""

    async def talkative(ctx: OrchestrationContext) -> None:
        ctx.trace_info("begin")
        await ctx.schedule_activity("step")
        ctx.trace_warn("middle")
        await ctx.schedule_activity("step")
        ctx.trace_error("end")

    run = Run(named(talkative))
    for seq in (1, 2):
        run.crash()
        run.turn(completed(seq))

    assert [tuple(trace) for trace in run.traces] == [("info", "begin"), ("warning", "middle"), ("error", "end")]


def test_code_can_see_that_it_is_replayed() -> None:
    """During replay is_replaying is true, past it false."""
    seen: list[bool] = []

    async def looks(ctx: OrchestrationContext) -> None:
        seen.append(ctx.is_replaying)
        await ctx.schedule_activity("step")
        seen.append(ctx.is_replaying)

    run = Run(named(looks))
    seen.clear()
    run.crash()
    run.execution.advance(BEGIN, [completed(1)])

    assert seen == [True, False]


def test_time_and_ids_are_the_same_on_every_replay() -> None:
    """The clock is that of the turn, ids follow from the instance; both may feed inputs of activities."""

    async def dated(ctx: OrchestrationContext) -> list[str]:
        await ctx.schedule_activity("step", [ctx.utcnow().isoformat(), str(ctx.new_guid()), str(ctx.new_guid())])
        await ctx.schedule_activity("step", ctx.utcnow().isoformat())
        return [ctx.instance_id, ctx.name, ctx.version, str(ctx.execution)]

    run = Run(named(dated))
    for seq in (1, 2):
        run.crash()
        run.turn(completed(seq))

    [first, second] = [msgspec.json.decode(c.input) for c in run.commands if isinstance(c, history.ScheduleActivity)]
    assert first[0] == BEGIN.isoformat()
    assert first[1] != first[2]
    assert second == (BEGIN + datetime.timedelta(seconds=1)).isoformat()
    assert run.output == ["run", "unit::orchestration::code", "1.0.0", "1"]


# --- code that changed -----------------------------------------------------------------------------------------------


async def original(ctx: OrchestrationContext) -> None:
    """What wrote the history: an activity, a timer, another activity."""
    await ctx.schedule_activity("step", 1)
    await ctx.schedule_timer(60)
    await ctx.schedule_activity("step", 2)


async def other_name(ctx: OrchestrationContext) -> None:
    """Ask for another activity."""
    await ctx.schedule_activity("stairs", 1)


async def other_input(ctx: OrchestrationContext) -> None:
    """Ask with another input."""
    await ctx.schedule_activity("step", "one")


async def other_kind(ctx: OrchestrationContext) -> None:
    """Ask for a timer instead."""
    await ctx.schedule_timer(1)


async def other_order(ctx: OrchestrationContext) -> None:
    """Sleep first."""
    await ctx.schedule_timer(60)
    await ctx.schedule_activity("step", 1)


async def early_return(ctx: OrchestrationContext) -> None:
    """Return where the history goes on."""
    await ctx.schedule_activity("step", 1)


async def early_error(ctx: OrchestrationContext) -> None:
    """Raise where the history goes on."""
    await ctx.schedule_activity("step", 1)
    raise ValueError


async def more_at_once(ctx: OrchestrationContext) -> None:
    """Ask for more than was recorded."""
    await ctx.join(ctx.schedule_activity("step", 1), ctx.schedule_activity("step", 2))


async def nothing_at_all(ctx: OrchestrationContext) -> None:
    """Ask for nothing."""


@pytest.mark.parametrize(
    "changed",
    [other_name, other_input, other_kind, other_order, early_return, early_error, more_at_once, nothing_at_all],
    ids=lambda code: code.__name__,
)
def test_changed_code_is_found_before_any_effect(changed: Code) -> None:
    """A change of name, input, kind, order, number or end raises while replaying, and says both sides."""
    run = Run(named(original))
    run.turn(completed(1))
    run.turn(fired(2))

    with pytest.raises(errors.NondeterminismError) as raised:
        run.replayed(named(changed))

    assert raised.value.expected != raised.value.actual
    assert raised.value.expected in raised.value.message
    assert raised.value.actual in raised.value.message


def test_the_changed_delay_of_a_timer_is_no_change() -> None:
    """The fire time that was recorded stands."""

    async def hurried(ctx: OrchestrationContext) -> None:
        await ctx.schedule_activity("step", 1)
        await ctx.schedule_timer(1)
        await ctx.schedule_activity("step", 2)

    run = Run(named(original))
    run.turn(completed(1))

    command = run.replayed(named(hurried)).pending[2].command

    assert isinstance(command, history.CreateTimer)
    assert command.fire_at == BEGIN + datetime.timedelta(seconds=1 + 60)


def test_the_changed_retry_policy_of_an_activity_is_no_change() -> None:
    """The policy that was recorded stands for what was asked with it."""

    def code(policy: RetryPolicy) -> AnyOrchestration:
        async def tries(ctx: OrchestrationContext) -> None:
            await ctx.schedule_activity("step", retry=policy, total_timeout=policy.max_attempts)

        return named(tries)

    run = Run(code(RetryPolicy(3, backoff=Fixed(5))))

    command = run.replayed(code(RetryPolicy(7, backoff=Exponential(1)))).pending[1].command

    assert isinstance(command, history.ScheduleActivity)
    assert (command.retry.max_attempts, command.retry.base, command.total_timeout) == (3, 5.0, 3.0)


def test_reworded_status_and_progress_are_no_change() -> None:
    """What is only shown to people may be worded anew, added or left out."""

    def code(*words: str) -> AnyOrchestration:
        async def tells(ctx: OrchestrationContext) -> None:
            for number, word in enumerate(words):
                ctx.set_custom_status({"said": word})
                ctx.set_progress(number, 5, word)
            await ctx.schedule_activity("step")

        return named(tells)

    run = Run(code("one", "two"))

    assert [type(c) for c in run.commands if isinstance(c, history.SetCustomStatus)] == 2 * [history.SetCustomStatus]
    assert run.replayed(code("three")).pending.keys() == {1}
    assert run.replayed(code()).pending.keys() == {1}


def test_a_history_that_does_not_begin_is_no_history() -> None:
    """Without its first event an execution waits for nothing; a result then is told as what it is."""
    run = Run(two_steps, starts=False)

    with pytest.raises(errors.NondeterminismError):
        run.turn(completed(1))

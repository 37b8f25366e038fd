"""The deterministic scheduler: join, select and spawn over whatever can be awaited, nested at will."""

from __future__ import annotations

import pytest

from perdure import ActivityError, JsonValue, OrchestrationContext, errors, orchestration
from perdure._core import history
from tests.unit.core.runs import Run, completed, failed, fired


async def chain(ctx: OrchestrationContext, name: str, length: int) -> str:
    """Take a few steps, one after the other, in a coroutine of its own."""
    for number in range(length):
        await ctx.schedule_activity("step", f"{name}{number}")
    return name


@orchestration("unit::orchestration::joined")
async def joined(ctx: OrchestrationContext) -> list[JsonValue]:
    """Three activities at once."""
    return await ctx.join(*(ctx.schedule_activity("step", number) for number in range(3)))


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_join_keeps_the_order_of_its_arguments(order: tuple[int, ...]) -> None:
    """Whatever ends first: results stand where they were asked for."""
    run = Run(joined)

    for seq in order:
        run.turn(completed(seq, f"result {seq}"))

    assert run.output == ["result 1", "result 2", "result 3"]


def test_join_waits_for_all_before_it_raises() -> None:
    """A failure does not lose the others: all run to their end, then the first error in argument order is raised."""
    run = Run(joined)

    run.turn(failed(3, "third"))
    run.turn(failed(2, "second"))
    assert run.open == [1]
    run.turn(completed(1))

    assert run.failure.message == "second"


def test_join_can_give_errors_in_the_place_of_results() -> None:
    """With return_exceptions nothing is raised."""

    @orchestration("unit::orchestration::lenient")
    async def lenient(ctx: OrchestrationContext) -> list[str]:
        parts = [ctx.schedule_activity("step"), ctx.schedule_activity("step")]
        results = await ctx.join(*parts, return_exceptions=True)
        return [result.type if isinstance(result, ActivityError) else str(result) for result in results]

    run = Run(lenient)
    run.turn(failed(1), completed(2, "fine"))

    assert run.output == ["ValueError", "fine"]


def test_join_gives_an_error_that_is_as_nothing_in_its_place() -> None:
    """An exception of the author's may have a length of 0, and is an error all the same."""

    class _EmptyError(Exception):
        def __len__(self) -> int:
            return 0

    async def fails() -> None:
        raise _EmptyError

    @orchestration("unit::orchestration::empty")
    async def empty(ctx: OrchestrationContext) -> list[str]:
        results = await ctx.join(ctx.spawn(fails()), return_exceptions=True)
        return [type(result).__name__ for result in results]

    run = Run(empty)
    run.turn()

    assert run.output == ["_EmptyError"]


def test_join_of_nothing_is_nothing() -> None:
    """An empty join does not wait."""

    @orchestration("unit::orchestration::empty")
    async def empty(ctx: OrchestrationContext) -> list[JsonValue]:
        return await ctx.join()

    assert Run(empty).output == []


def test_a_join_of_two_thousand_ends() -> None:
    """Wide fan-outs come to their end, also when results trickle in by hundreds."""

    @orchestration("unit::orchestration::wide")
    async def wide(ctx: OrchestrationContext) -> int:
        return len(set(await ctx.join(*(ctx.schedule_activity("step", n, returns=int) for n in range(2_000)))))

    run = Run(wide)
    for first in range(1, 2_001, 500):
        run.turn(*(completed(seq, seq) for seq in range(first, first + 500)))

    assert run.output == 2_000


def test_select_takes_the_first_in_history_and_gives_up_the_others() -> None:
    """The winner is who ended first, in the order of the batch; the losers are cancelled, once."""

    @orchestration("unit::orchestration::race")
    async def race(ctx: OrchestrationContext) -> list[object]:
        return list(await ctx.select(*(ctx.schedule_activity("step", number) for number in range(3))))

    run = Run(race)
    run.turn(completed(2, "b"), completed(1, "a"))

    assert run.output == [1, "b"]
    assert run.commands[3:5] == [history.CancelActivity(1), history.CancelActivity(3)]


def test_of_several_that_are_done_the_first_argument_wins() -> None:
    """A select among results that are there already goes by the order of its arguments."""

    @orchestration("unit::orchestration::ties")
    async def ties(ctx: OrchestrationContext) -> list[object]:
        first, second = ctx.schedule_activity("step"), ctx.schedule_activity("step")
        await ctx.join(first, second)
        return list(await ctx.select2(second, first))

    run = Run(ties)
    run.turn(completed(1, "first"), completed(2, "second"))

    assert run.output == [0, "second"]


def test_a_winner_that_failed_raises() -> None:
    """The first to end decides, also when it ended badly."""

    @orchestration("unit::orchestration::unlucky")
    async def unlucky(ctx: OrchestrationContext) -> None:
        await ctx.select(ctx.schedule_activity("step"), ctx.schedule_timer(60))

    run = Run(unlucky)
    run.turn(failed(1, "lost"))

    assert run.failure.message == "lost"


def test_a_timeout_is_a_select_with_a_timer() -> None:
    """Whether work or timer wins, the other is given up and nothing is left open."""

    @orchestration("unit::orchestration::timeout")
    async def timeout(ctx: OrchestrationContext) -> str:
        index, _ = await ctx.select(chain(ctx, "work", 2), ctx.schedule_timer(60))
        return "done" if index == 0 else "too late"

    late, done = Run(timeout), Run(timeout)
    late.turn(completed(2))
    late.turn(fired(1))
    done.turn(completed(2))
    done.turn(completed(3))

    assert (late.output, late.open, done.output, done.open) == ("too late", [], "done", [])


def test_a_result_that_comes_after_its_timeout_disturbs_nothing() -> None:
    """Neither in the turn of the timeout nor later, and not on any replay."""

    @orchestration("unit::orchestration::late")
    async def late(ctx: OrchestrationContext) -> list[object]:
        index, _ = await ctx.select(ctx.schedule_activity("step"), ctx.schedule_timer(60))
        return [index, await ctx.schedule_activity("step")]

    run = Run(late)
    run.turn(fired(2), completed(1, "too late"))
    run.turn(completed(1, "much too late"), failed(1))
    run.turn(completed(3, "in time"))

    assert run.output == [1, "in time"]


def test_what_is_asked_for_and_given_up_in_one_turn_says_both() -> None:
    """History has it, with its number; whoever carries commands out sees that nobody waits any more."""

    @orchestration("unit::orchestration::fickle")
    async def fickle(ctx: OrchestrationContext) -> None:
        rung = ctx.schedule_timer(1)
        await ctx.schedule_activity("step")
        await ctx.select(ctx.schedule_activity("step"), ctx.schedule_timer(60), ctx.schedule_wait("go"), rung)
        await ctx.schedule_activity("step")

    run = Run(fickle)
    run.turn(fired(1))
    commands = run.turn(completed(2))

    assert [type(command).__name__ for command in commands] == [
        *("ScheduleActivity", "CreateTimer", "WaitForSignal"),
        *("CancelActivity", "CancelTimer", "CancelWait"),
        "ScheduleActivity",
    ]
    assert run.open == [6]


def test_joins_and_selects_of_coroutines_nest_at_will() -> None:
    """Races of joins of multi-step coroutines need no child orchestrations."""

    @orchestration("unit::orchestration::nested")
    async def nested(ctx: OrchestrationContext) -> list[object]:
        both = ctx.join(chain(ctx, "a", 2), chain(ctx, "b", 1))
        other = ctx.join(chain(ctx, "c", 3), ctx.select(chain(ctx, "d", 1), chain(ctx, "e", 1)))
        return list(await ctx.select(both, other))

    run = Run(nested)
    inputs = {c.seq: bytes(c.input).decode() for c in run.commands if isinstance(c, history.ScheduleActivity)}
    assert sorted(inputs.values()) == ['"a0"', '"b0"', '"c0"', '"d0"', '"e0"']
    seqs = {name: seq for seq, name in inputs.items()}
    run.turn(completed(seqs['"d0"']))
    run.turn(completed(seqs['"b0"']), completed(seqs['"a0"']))
    run.turn(completed(max(run.open)))

    assert run.output == [0, ["a", "b"]]
    assert run.open == []


def test_spawned_work_runs_beside_and_is_awaited_later() -> None:
    """A spawned coroutine makes its way while the orchestration does something else."""

    @orchestration("unit::orchestration::beside")
    async def beside(ctx: OrchestrationContext) -> list[str]:
        task = ctx.spawn(chain(ctx, "beside", 2))
        return [await chain(ctx, "main", 1), await task, await task]

    run = Run(beside)
    assert run.open == [1, 2]
    run.turn(completed(2))
    run.turn(completed(3))
    run.turn(completed(1))

    assert run.output == ["main", "beside", "beside"]


def test_work_that_nobody_awaits_keeps_nobody_waiting() -> None:
    """The orchestration ends when its code returns; what was asked for and never awaited is dropped."""

    @orchestration("unit::orchestration::hasty")
    async def hasty(ctx: OrchestrationContext) -> str:
        ctx.schedule_activity("step")
        ctx.spawn(chain(ctx, "never", 3))
        return "done"

    run = Run(hasty)

    assert run.output == "done"
    assert run.turn(completed(1)) == []


def test_an_error_in_spawned_work_is_seen_by_who_awaits_it() -> None:
    """Nobody else is disturbed, and nothing is printed when nobody looks."""

    @orchestration("unit::orchestration::guarded")
    async def guarded(ctx: OrchestrationContext) -> str:
        async def breaks() -> None:
            await ctx.schedule_activity("step")

        task, _unseen = ctx.spawn(breaks()), ctx.spawn(breaks())
        try:
            await task
        except ActivityError as error:
            return error.message
        return ""

    run = Run(guarded)
    run.turn(failed(2, "unseen"))
    run.turn(failed(1, "seen"))

    assert run.output == "seen"


def test_one_result_can_be_awaited_by_many_and_many_times() -> None:
    """A future keeps its value for whoever comes."""

    @orchestration("unit::orchestration::shared")
    async def shared(ctx: OrchestrationContext) -> list[JsonValue]:
        future = ctx.schedule_activity("step")

        async def look() -> JsonValue:
            return await future

        return [*await ctx.join(look(), look(), future, future), await future]

    run = Run(shared)
    run.turn(completed(1, "value"))

    assert run.output == 5 * ["value"]


def test_a_loser_may_clean_up() -> None:
    """A coroutine that lost gets the cancel at its await, and may go on scheduling; the winner does not wait for it."""

    @orchestration("unit::orchestration::tidy")
    async def tidy(ctx: OrchestrationContext) -> str:
        async def loser() -> None:
            try:
                await ctx.schedule_activity("step", "long")
            finally:
                await ctx.schedule_activity("step", "clean up")

        await ctx.select(loser(), ctx.schedule_timer(1))
        await ctx.schedule_timer(1)
        return "done"

    run = Run(tidy)
    run.turn(fired(1))
    assert [type(c).__name__ for c in run.turns[-1].commands] == ["CancelActivity", "CreateTimer", "ScheduleActivity"]
    run.turn(completed(run.open[-1]))
    run.turn(fired(run.open[0]))

    assert run.output == "done"


def test_select_of_nothing_is_refused() -> None:
    """It would wait for ever."""

    @orchestration("unit::orchestration::nothing")
    async def nothing(ctx: OrchestrationContext) -> None:
        await ctx.select()

    assert Run(nothing).failure.code == errors.DefinitionError.code


@pytest.mark.parametrize("how", ["lost a select", "was cancelled", "is in a join"])
def test_awaiting_what_was_given_up_fails_and_says_so(how: str) -> None:
    """Nobody asked for a cancel, so the run fails, with a sentence that says what was awaited and what to do."""

    @orchestration("unit::orchestration::nostalgic")
    async def nostalgic(ctx: OrchestrationContext) -> None:
        step = ctx.schedule_activity("step")
        if how == "was cancelled":
            step.cancel()
        else:
            await ctx.select(step, ctx.schedule_timer(60))
        await (ctx.join(step) if how == "is in a join" else step)

    run = Run(nostalgic)
    if how != "was cancelled":
        run.turn(fired(2))

    assert run.failure.code == errors.GivenUpAwaitedError.code
    assert "Ask for it anew" in run.failure.message
    assert run.failure.traceback.endswith("nostalgic")


def test_awaiting_what_was_given_up_is_a_cancel_when_one_was_asked_for() -> None:
    """The same error at the same await is then what it says."""

    @orchestration("unit::orchestration::wistful")
    async def wistful(ctx: OrchestrationContext) -> None:
        step = ctx.schedule_activity("step")
        await ctx.select(step, ctx.schedule_timer(60))
        try:
            await ctx.schedule_activity("step")
        finally:
            await step

    run = Run(wistful)
    run.turn(fired(2))
    run.turn(history.CancelRequested("not needed"))

    assert run.execution.outcome == history.CancelOrchestration("not needed")

"""Code that swallows everything, cleans up late or says what is no text: it harms nobody but itself."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from perdure import OrchestrationContext, errors, orchestration
from perdure._core import failure, history, payload
from tests.unit.core.runs import BEGIN, Run, completed, fired

CANCEL = history.CancelRequested("not needed")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the sleep that was refused is never awaited to its end
def test_a_foreign_await_in_a_loop_that_swallows_ends_the_run() -> None:
    """The first await of something foreign fails the run, whatever its code catches; nothing spins."""

    @orchestration("unit::orchestration::deaf")
    async def deaf(ctx: OrchestrationContext) -> None:
        while True:
            with contextlib.suppress(Exception):
                await asyncio.sleep(0)

    run = Run(deaf)

    assert run.failure.code == errors.ForeignAwaitError.code


def test_code_that_swallows_its_own_eviction_is_left_behind() -> None:
    """A bare `except` around a retry loop cannot keep a worker in `close`."""
    is_clinging = True

    @orchestration("unit::orchestration::clinging")
    async def clinging(ctx: OrchestrationContext) -> None:
        while is_clinging:
            with contextlib.suppress(BaseException):
                await ctx.schedule_activity("step")

    run = Run(clinging)

    run.execution.close()

    assert run.execution.is_closed
    is_clinging = False  # the collector, which closes it once more, is let through


def test_a_cancel_that_a_helper_swallows_still_reaches_its_caller() -> None:
    """A spawned helper may clean up and return; the code that waits for it is cancelled all the same."""

    @orchestration("unit::orchestration::helped")
    async def helped(ctx: OrchestrationContext) -> str:
        async def helper() -> str:
            try:
                await ctx.schedule_activity("provision")
            except errors.OrchestrationCancelled:
                await ctx.schedule_activity("clean-up")
            return "fine"

        await ctx.spawn(helper())
        await ctx.schedule_activity("provision-more")
        return "done"

    run = Run(helped)
    run.turn(CANCEL)
    run.turn(completed(2))

    asked = [command.name for command in run.commands if isinstance(command, history.ScheduleActivity)]
    assert asked == ["provision", "clean-up"]
    assert isinstance(run.execution.outcome, history.CancelOrchestration)


def test_the_cleanup_of_a_race_that_was_lost_runs_to_its_end() -> None:
    """Code that returns while a cancelled coroutine still cleans up ends when that has ended."""

    @orchestration("unit::orchestration::race")
    async def race(ctx: OrchestrationContext) -> str:
        async def slow() -> None:
            try:
                await ctx.schedule_activity("make")
            finally:
                await ctx.schedule_activity("unmake")

        await ctx.select(ctx.schedule_timer(5), slow())
        return "too slow"

    run = Run(race)
    run.turn(fired(1))
    assert run.execution.outcome is None

    run.turn(completed(3))

    assert run.output == "too slow"


def test_progress_is_counted_in_whole_numbers() -> None:
    """A share is refused where it is set, not in a history that nobody can read afterwards."""

    @orchestration("unit::orchestration::half")
    async def half(ctx: OrchestrationContext) -> None:
        ctx.set_progress(0.5, 1)  # type: ignore[arg-type]  # what the test is about

    assert Run(half).failure.code == errors.DefinitionError.code


def test_an_error_whose_text_is_no_text_can_be_kept() -> None:
    """Lone surrogates, as in file names that are not UTF-8, and an unreadable message do not stop a turn."""

    class Mute(Exception):  # noqa: N818 - the test is about its silence
        def __str__(self) -> str:
            raise RuntimeError

    kept = [failure.of(OSError("no such file: \udcff")), failure.of(Mute())]

    assert history.decode_turn(
        BEGIN,
        history.encode_turn([history.ActivityFailed(1, one) for one in kept], []),
    ).events == [history.ActivityFailed(1, one) for one in kept]
    assert "Mute" in kept[1].message


def test_the_order_of_a_set_or_a_dict_is_no_difference() -> None:
    """Two processes that hash differently write the same bytes, or a replay would differ."""
    assert payload.encode({"b": {3, 1, 2}, "a": 1}, "input") == payload.encode({"a": 1, "b": {2, 3, 1}}, "input")

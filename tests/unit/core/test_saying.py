"""What the context says and draws: readiness, status, progress, ids and chance; the same on every replay."""

from __future__ import annotations

import pytest

from perdure import JsonValue, OrchestrationContext, errors, orchestration
from perdure._core import history, limits
from tests.unit.core.runs import Run, completed

GOLDEN = [0.2631621640342323, "5c637198-e92e-5b9b-90cd-31a5a370d25e"]


@orchestration("unit::orchestration::drawing")
async def drawing(ctx: OrchestrationContext) -> list[JsonValue]:
    """Draw from two streams, before and after a step."""
    drawn: list[JsonValue] = [ctx.random("dice").random(), ctx.random("cards").random()]
    await ctx.schedule_activity("step", drawn)
    return [*drawn, ctx.random("dice").random(), ctx.random("cards").random(), ctx.random("dice").randint(1, 6)]


def test_chance_is_the_same_on_every_replay() -> None:
    """A stream goes on where it stopped; each name is a stream of its own."""
    run = Run(drawing)
    run.crash()
    run.turn(completed(1))

    again = Run(drawing)
    again.turn(completed(1))
    assert run.output == again.output
    assert isinstance(run.output, list)
    assert len(set(map(str, run.output))) == 5


def test_chance_differs_from_execution_to_execution() -> None:
    """The next execution does not draw the numbers of the last again."""
    first, second = Run(drawing), Run(drawing, number=2)
    first.turn(completed(1))
    second.turn(completed(1))

    assert first.output != second.output


def test_chance_is_the_same_in_every_release() -> None:
    """Recorded histories hold what was drawn: this line is never edited."""

    @orchestration("unit::orchestration::once")
    async def once(ctx: OrchestrationContext) -> list[JsonValue]:
        return [ctx.random("dice").random(), str(ctx.new_guid())]

    assert Run(once).output == GOLDEN


def test_readiness_is_said_with_a_sentence() -> None:
    """For those that run for ever: each word is a command, the sentence bounded."""

    @orchestration("unit::orchestration::entity")
    async def entity(ctx: OrchestrationContext) -> None:
        ctx.set_ready(False, "starting")
        ctx.set_ready(True)
        ctx.set_ready(True, "x" * 1_000)

    *said, _ = Run(entity).commands

    assert said[:2] == [history.SetReady(False, "starting"), history.SetReady(True)]
    assert isinstance(said[2], history.SetReady)
    assert len(said[2].message) == limits.PROGRESS_MESSAGE_CHARACTERS


@pytest.mark.parametrize("ready", [1, "yes", None])
def test_readiness_is_true_or_false(ready: object) -> None:
    """Anything else is refused where it is said, not in a history that nobody can read afterwards."""

    @orchestration("unit::orchestration::vague")
    async def vague(ctx: OrchestrationContext) -> None:
        ctx.set_ready(ready)  # type: ignore[arg-type]  # what the test is about

    failed = Run(vague).failure

    assert (failed.code, failed.message) == (
        errors.DefinitionError.code,
        f"set_ready({ready!r}): expected True or False.",
    )


def test_lines_are_text_whatever_was_said() -> None:
    """A number or a dict in place of a message is logged as text, and stops nothing."""

    @orchestration("unit::orchestration::careless")
    async def careless(ctx: OrchestrationContext) -> None:
        ctx.trace_info(5)  # type: ignore[arg-type]  # what the test is about
        ctx.trace_error({"a": 1})  # type: ignore[arg-type]  # what the test is about

    assert Run(careless).traces == [("info", "5"), ("error", "{'a': 1}")]


def test_a_custom_status_that_is_too_large_is_refused_where_it_is_set() -> None:
    """The limit itself passes, one byte more is an error that the code may catch."""

    @orchestration("unit::orchestration::wordy")
    async def wordy(ctx: OrchestrationContext, input: int) -> None:
        ctx.set_custom_status("x" * (input - 2))

    assert Run(wordy, limits.CUSTOM_STATUS_BYTES).output is None
    assert Run(wordy, limits.CUSTOM_STATUS_BYTES + 1).failure.code == errors.PayloadTooLargeError.code

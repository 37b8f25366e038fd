"""Whether code fits a history, as a value: the first difference, exact, and its cause, guessed."""

from __future__ import annotations

import msgspec
import pytest

from perdure import JsonValue, OrchestrationContext, errors, orchestration
from perdure._core import checking, comparison, export, history
from tests.unit.core.runs import Run
from tests.unit.core.test_comparison import SAMPLES

NAME = "test::orchestration::flow"


@orchestration(NAME)
async def flow(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Two steps, one after the other."""
    first = await ctx.schedule_activity("first", input)
    return await ctx.schedule_activity("second", first)


@orchestration(NAME)
async def edited(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """The second step is another one."""
    first = await ctx.schedule_activity("first", input)
    return await ctx.schedule_activity("other", first)


@orchestration(NAME)
async def stubborn(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Fail after the first step, whatever came of it."""
    await ctx.schedule_activity("first", input)
    raise ValueError


def exported() -> export.HistoryExport:
    """Give the history of two turns of `flow`."""
    run = Run(flow, 1)
    run.turn(history.ActivityCompleted(1, msgspec.Raw(b"2")))
    return export.HistoryExport(instance_id="a", name=NAME, version="1.0.0", execution=1, turns=run.turns)


def test_code_fits_the_history_that_it_wrote() -> None:
    """Nothing is found, and the history is not changed."""
    recorded = exported()

    assert checking.check(flow, recorded) is None
    assert recorded == exported()


def test_the_first_difference_is_told_with_its_turn() -> None:
    """What was recorded, what the code asks for now, in which turn, and what may be the cause."""
    found = checking.check(edited, exported())

    assert found is not None
    assert (found.turn, found.expected, found.actual) == (1, "activity 2 second(2)", "activity 2 other(2)")
    assert "replaced" in found.cause


def test_code_that_ends_where_it_went_on_differs() -> None:
    """An end in place of a call is told as such."""
    found = checking.check(stubborn, exported())

    assert found is not None
    assert (found.turn, found.actual[:23]) == (1, "failure with ValueError")
    assert "ends where it had gone on" in found.cause


@pytest.mark.parametrize(
    ("expected", "actual", "said"),
    [
        ("nothing more in this turn", "activity 1 a(1)", "asks for more"),
        ("activity 1 a(1)", "nothing more in this turn", "asks for less"),
        ("activity 1 a(1)", "activity 1 b(1)", "replaced"),
        ("wait 1 for signal go", "wait 1 for signal stop", "replaced"),
        ("activity 1 a(1)", "activity 2 a(1)", "another number"),
        ("timer 1", "timer 2", "another number"),
        ("activity 1 a(1)", "activity 1 a(2)", "other arguments"),
        ("timer 1", "activity 1 a(1)", "changed places"),
        ("cancelling of timer 1", "timer 1", "changed places"),
        ("completion with 1", "activity 1 a(1)", "goes on where it had ended"),
        ("activity 1 a(1)", "completion with 1", "ends where it had gone on"),
        ("completion with 1", "completion with 2", "ends differently"),
        ("completion with 1", "failure with ValueError: 1", "ends differently"),
        ("continuing as new as version 2.0.0 with 1", "continuing as new with 1", "ends differently"),
    ],
)
def test_the_cause_is_guessed_from_the_kind_of_difference(expected: str, actual: str, said: str) -> None:
    """Each kind of difference has its usual cause."""
    assert said in checking.likely_cause(expected, actual)


@pytest.mark.parametrize("command", [command for command, _ in SAMPLES], ids=lambda command: type(command).__name__)
def test_calls_are_told_from_ends_by_their_words(command: history.Command) -> None:
    """Every command with a number is seen as a call, no other: a new kind of command is not guessed about wrongly."""
    beside = checking.likely_cause(comparison.describe(command), "completion with 1")

    assert ("gone on" in beside) == hasattr(command, "seq")


def test_an_export_is_read_as_it_was_written() -> None:
    """Through its JSON, which is indented for people, to the same value."""
    data = export.encode(exported())

    assert export.decode(data) == exported()
    assert b'\n  "instance_id": "a"' in data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no exported history"),
        (b"{broken", "no exported history"),
        (b"[]", "Expected `object`"),
        (b"{}", "instance_id"),
        (export.encode(exported()).replace(b"ActivityCompleted", b"MindChanged"), "MindChanged"),
        (export.encode(exported()).replace(b'"format": 1', b'"format": 9'), "format 9"),
        (b"\xff", "no exported history"),
    ],
    ids=["empty", "broken", "list", "fields", "event", "format", "bytes"],
)
def test_what_is_no_export_is_refused_with_what_is_wrong(data: bytes, said: str) -> None:
    """A file of something else, or of a later release, says so."""
    with pytest.raises(errors.HistoryUnreadableError, match=said):
        export.decode(data)

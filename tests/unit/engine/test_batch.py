"""Which statement commits a batch: the one that does no more than its turns need."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from perdure import OrchestrationContext, orchestration
from perdure._core import history
from perdure._core.replay import Execution, Identity
from perdure._engine import batch
from perdure._engine.resident import Resident
from perdure._engine.turn import TakenTurn

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@orchestration("unit::orchestration::asking")
async def asking(ctx: OrchestrationContext, what: str) -> None:
    """Ask for one thing."""
    match what:
        case "an activity":
            await ctx.schedule_activity("step")
        case "a timer and a status":
            ctx.set_custom_status("asleep")
            await ctx.schedule_timer(1)
        case "a queue":
            await ctx.schedule_activity("step", queue="gpu")
        case "a child":
            await ctx.schedule_sub_orchestration("unit::orchestration::other", None)
        case "a signal":
            ctx.send_signal("somebody", "word", None)
            await ctx.schedule_timer(1)
        case "the next execution":
            ctx.continue_as_new("nothing more")
        case "to give up an activity":
            ctx.schedule_activity("step").cancel()
            await ctx.schedule_timer(1)
        case _:
            return


def taken(what: str, *, messages: tuple[int, ...] = (), over_tasks: tuple[int, ...] = ()) -> TakenTurn:
    """Give a first turn that asks for something, and takes in what else there is."""
    execution = Execution(asking, Identity("one", 1))
    started = history.OrchestrationStarted(
        asking.name, asking.version, msgspec.Raw(msgspec.json.encode(what)), history.PROTOCOL
    )
    resident = Resident("one", "", None, execution, turn=0, phase="Pending", created_at=AT)
    turn = TakenTurn(resident, AT, [started], list(messages), list(over_tasks))
    turn.note_turned(execution.advance(AT, [started]))
    turn.encode()
    return turn


def statement(*turns: TakenTurn) -> str:
    """Give the statement of a batch."""
    return batch.statement(turns, keep_executions=1)[0]


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("an activity", "commit_turn_without_cleanup"),
        ("a timer and a status", "commit_turn_without_cleanup"),
        ("a queue", "commit_turns_without_cleanup"),
        ("a child", "commit_turns_without_cleanup"),
        ("a signal", "commit_turns_without_cleanup"),
        ("nothing more", "commit_turn"),
        ("the next execution", "commit_turns_without_asks"),
        ("to give up an activity", "commit_turn"),
    ],
)
def test_a_turn_is_committed_by_the_shortest_statement_that_does_it(what: str, name: str) -> None:
    """A turn that is alone has one of its own, unless it asks of others; what is over takes the part for that."""
    assert statement(taken(what)) == name


def test_what_was_taken_in_is_cleared_up() -> None:
    """Messages that were taken in and activities that are over leave rows that have to go."""
    assert statement(taken("an activity", messages=(7,))) == "commit_turn"
    assert statement(taken("an activity", over_tasks=(1,))) == "commit_turn"
    assert statement(taken("a queue", messages=(7,))) == "commit_turns"


def test_what_a_lone_turn_says_stands_where_its_statement_looks_for_it() -> None:
    """What becomes of its instance, and what is over, come last, in the order of its parameters."""
    turn = taken("nothing more", messages=(7,), over_tasks=(1,))

    _, arguments = batch.statement([turn], keep_executions=1)

    assert arguments == ["one", 0, 1, AT, asking.version, AT, None, 0, turn.body, "Completed", b"null", None, [7], [1]]


def test_a_batch_takes_the_parts_that_any_of_its_turns_needs() -> None:
    """Two plain turns need none, and one that needs a part brings it for all."""
    assert statement(taken("an activity"), taken("an activity")) == "commit_turns_without_asks_cleanup"
    assert statement(taken("an activity"), taken("a signal")) == "commit_turns_without_cleanup"
    assert statement(taken("nothing more"), taken("an activity")) == "commit_turns_without_asks"
    assert statement(taken("nothing more"), taken("a queue")) == "commit_turns"

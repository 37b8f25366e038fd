"""Where an activity runs and how soon: what is recorded of it, and what is refused where it is written."""

from __future__ import annotations

import datetime
import enum
from typing import cast

import pytest

from perdure import OrchestrationContext, errors, orchestration
from perdure._core import history, limits, queues
from tests.unit.core.runs import Run


def asked(**options: object) -> history.ScheduleActivity | history.FailOrchestration:
    """Give what an orchestration asks for that schedules an activity with these options."""

    @orchestration("unit::orchestration::asking")
    async def asking(ctx: OrchestrationContext) -> None:
        await ctx.schedule_activity("unit::activity::work", **options)  # type: ignore[call-overload]  # wrong ones too

    [command] = Run(asking).turns[0].commands
    return cast("history.ScheduleActivity | history.FailOrchestration", command)


def test_queue_priority_and_heartbeat_timeout_are_recorded() -> None:
    """What was asked for is in history: the next owner, and whoever serves the queue, read it there."""
    command = asked(queue="gpu", priority=7, heartbeat_timeout=datetime.timedelta(minutes=1))

    assert isinstance(command, history.ScheduleActivity)
    assert (command.queue, command.priority, command.heartbeat_timeout) == ("gpu", 7, 60.0)


def test_without_options_nothing_more_is_written() -> None:
    """A plain activity costs history no byte more than it did before there were queues."""
    command = asked()

    body = history.encode_turn([], [cast("history.Command", command)])

    assert [word for word in (b"queue", b"priority", b"heartbeat") if word in body] == []


@pytest.mark.parametrize("queue", ["", " ", "-a", "a b", "a\0", "ä", 3, "x" * (limits.NAME_CHARACTERS + 1)])
def test_a_bad_name_of_a_queue_fails_by_name(queue: object) -> None:
    """Nobody could ever serve it; the error shows an example."""
    command = asked(queue=queue)

    assert isinstance(command, history.FailOrchestration)
    assert command.failure.code == errors.DefinitionError.code
    assert "as in `gpu`" in command.failure.message


@pytest.mark.parametrize("priority", [1.5, "high", True, limits.PRIORITY + 1, -limits.PRIORITY - 1])
def test_a_bad_priority_fails_by_its_value(priority: object) -> None:
    """A priority is a whole number within the limit."""
    command = asked(priority=priority)

    assert isinstance(command, history.FailOrchestration)
    assert f"priority is {priority!r}" in command.failure.message


class Urgency(enum.IntEnum):
    """Whole numbers by name."""

    HIGH = 10


@pytest.mark.parametrize("priority", [limits.PRIORITY, -limits.PRIORITY, Urgency.HIGH])
def test_the_highest_and_the_lowest_priority_and_a_named_one_pass(priority: int) -> None:
    """The limit itself is allowed."""
    assert queues.check_priority(priority) == priority


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "soon"])
def test_a_heartbeat_timeout_that_cannot_be_kept_is_refused(seconds: object) -> None:
    """Zero seconds between two heartbeats would end every attempt."""
    command = asked(heartbeat_timeout=seconds)

    assert isinstance(command, history.FailOrchestration)
    assert "heartbeat_timeout of unit::activity::work is" in command.failure.message

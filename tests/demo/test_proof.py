"""The proof of the demo can fail: a demo that finds everything right whatever happens would show nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from perdure._core import history
from tests.demo import proof
from tests.demo.journey.logbook import Entry, read
from tests.demo.journey.types import Arrival

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DEAD, ALIVE = 11, 12
KILL = proof.Kill(DEAD, BEGAN + timedelta(seconds=2.5))


def travelled(*processes: int) -> list[history.Turn]:
    """Make the history of a journey of one leg a second, each done by one of the processes."""
    asked = [history.ScheduleActivity(leg, "travel", msgspec.Raw(b"{}")) for leg in range(1, len(processes) + 1)]
    turns = [history.Turn(BEGAN, [], [asked[0]])]
    for leg, process in enumerate(processes, start=1):
        result = Arrival(number=leg, place="", process=process).model_dump_json().encode()
        arrived = history.ActivityCompleted(leg, msgspec.Raw(result))
        turns.append(history.Turn(BEGAN + timedelta(seconds=leg), [arrived], [*asked[leg : leg + 1]]))
    return turns


def logged(*legs: int) -> list[Entry]:
    """Make a logbook of legs that were each left and arrived at."""
    return [Entry(leg, what, DEAD) for leg in legs for what in ("left", "arrived")]


def test_a_journey_that_another_process_goes_on_with_is_right() -> None:
    """Two legs by the one, two by the other, each recorded once: nothing to complain of."""
    turns = travelled(DEAD, DEAD, ALIVE, ALIVE)

    done = proof.legs_done_by(KILL.at, turns)

    assert done == {1, 2}
    assert proof.not_recorded_once(turns, 4) == []
    assert proof.repeated([Entry(3, "left", DEAD), *logged(1, 2, 3, 4)], done=done) == []
    assert proof.not_taken_over(turns, KILL, legs=4) == []


def test_a_finished_leg_that_is_travelled_again_is_found() -> None:
    """The logbook shows the repetition, whatever history says."""
    found = proof.repeated(logged(1, 2, 2, 3), done={1, 2})

    assert len(found) == 1
    assert found[0].startswith("leg 2 ")


def test_a_result_that_is_missing_or_there_twice_is_found() -> None:
    """History must have exactly one result for each leg."""
    turns = travelled(DEAD, DEAD, ALIVE)

    doubled: Sequence[history.Turn] = [*turns, turns[-1]]

    assert len(proof.not_recorded_once(turns, 4)) == 1
    assert len(proof.not_recorded_once(doubled, 3)) == 1


def test_a_kill_that_hit_nothing_is_found() -> None:
    """A kill before the first or after the last leg proves nothing, nor does one that the dead outlive."""
    assert proof.not_taken_over(travelled(DEAD, DEAD), KILL, legs=2)
    assert proof.not_taken_over(travelled(DEAD, DEAD, DEAD), KILL, legs=3)


def test_a_password_is_found_in_each_of_its_forms() -> None:
    """As text, in base64 as a Secret holds it, and in the hexadecimal digits of a bytes column."""
    for form in ("hunter2", "aHVudGVyMg==", b"hunter2".hex(), b"aHVudGVyMg==".hex()):
        assert proof.leaks({"orders": "hunter2"}, {"history": f"...{form}..."})
    assert proof.leaks({"orders": "hunter2"}, {"history": "hunter"}) == []


def test_the_logbook_is_read_as_it_is_written() -> None:
    """One line an entry, in the order of writing."""
    assert read("leg 1 left 11\nleg 1 arrived 11\n") == [Entry(1, "left", 11), Entry(1, "arrived", 11)]

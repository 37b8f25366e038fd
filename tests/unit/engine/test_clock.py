"""The database's clock as a worker sees it: never ahead of it, and not set back by an answer that took its time."""

from __future__ import annotations

import datetime

from perdure._engine.clock import Clock, Epochs

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


class Watch:
    """A monotonic clock that somebody turns; it began at some other hour."""

    def __init__(self) -> None:
        """Stand at an hour that has nothing to do with the time of day."""
        self.seconds = 7_200.0

    def __call__(self) -> float:
        """Give its hour."""
        return self.seconds


def after(seconds: float) -> datetime.datetime:
    """Give so long after noon."""
    return NOON + datetime.timedelta(seconds=seconds)


def test_an_answer_is_late_by_its_way_and_never_early() -> None:
    """What the database said three seconds ago is taken as if it were said now; a quicker look puts it right."""
    watch = Watch()
    clock = Clock(watch)

    watch.seconds += 3
    clock.sync(NOON, took=3)
    late = clock.now()
    watch.seconds += 1
    clock.sync(after(4), took=0)

    assert late == NOON
    assert clock.now() == after(4)


def test_a_slow_answer_sets_no_clock_back() -> None:
    """A heartbeat whose answer took three seconds says nothing about the database's clock that is not known better."""
    watch = Watch()
    clock = Clock(watch)
    clock.sync(NOON, took=0)

    watch.seconds += 3
    clock.sync(NOON, took=3)

    assert clock.now() == after(3)


def test_a_moment_stands_as_long_as_the_monotonic_clock_and_no_longer() -> None:
    """What falls into one tick of the event loop has one time; the next tick, or a better look, has another."""
    watch = Watch()
    clock = Clock(watch)
    clock.sync(NOON, took=1)

    first, same = clock.now(), clock.now()
    watch.seconds += 0.001
    later = clock.now()
    clock.sync(after(2), took=0)

    assert first is same
    assert later == after(0.001)
    assert clock.now() == after(2)


def test_a_clock_that_was_set_back_is_followed() -> None:
    """After a failover to a server whose clock is a minute behind, that one's time is the time."""
    watch = Watch()
    clock = Clock(watch)
    clock.sync(NOON, took=0)

    watch.seconds += 3
    clock.sync(after(-57), took=0.1)

    assert clock.now() == after(-57)


def test_epochs_rise_whatever_the_clock_does() -> None:
    """Of two attempts of a worker the later one has the higher number, also when its clock stands or goes back."""
    watch = Watch()
    clock = Clock(watch)
    clock.sync(NOON, took=0)
    epochs = Epochs(clock)

    standing = [epochs.next() for _ in range(3)]
    clock.sync(after(-60), took=0)
    set_back = epochs.next()
    watch.seconds += 3_600
    later = epochs.next()

    assert [*standing, set_back] == [NOON.timestamp() * 1_000_000 + number for number in range(4)]
    assert later == after(3_540).timestamp() * 1_000_000


def test_who_takes_over_is_above_all_that_came_before() -> None:
    """A worker whose clock is late counts from the moment at which the database gave it the job."""
    clock = Clock(Watch())
    clock.sync(NOON, took=0)
    epochs = Epochs(clock)

    epochs.note(after(2))

    assert epochs.next() > after(2).timestamp() * 1_000_000

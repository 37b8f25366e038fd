"""When statuses are looked at: phases at once, the rest now and then, never twice at the same time."""

from __future__ import annotations

import itertools
from uuid import UUID

from perdure._kube.schedule import AGAIN_SECONDS, SELDOM_SECONDS, SOON_SECONDS, Schedule

A, B, C = (UUID(int=number) for number in range(1, 4))


def test_a_mark_is_due_after_a_moment_and_taken_once() -> None:
    """What follows within the moment is shown together."""
    schedule = Schedule()
    schedule.mark(A, 0.0)
    schedule.mark(A, SOON_SECONDS / 2)

    early = schedule.take(SOON_SECONDS / 2, at_most=10)
    due = schedule.take(SOON_SECONDS, at_most=10)
    later = schedule.take(10.0, at_most=10)

    assert (early, due, later) == ([], [A], [])


def test_a_resource_is_looked_at_now_and_then() -> None:
    """A second mark waits until the least time between two looks is over."""
    schedule = Schedule()
    schedule.mark(A, 0.0)
    schedule.take(1.0, at_most=10)
    schedule.done(A)

    schedule.mark(A, 1.2)

    assert schedule.next_at() == 1.0 + AGAIN_SECONDS


def looks(schedule: Schedule, *, every: float, until: float) -> list[float]:
    """Mark a resource again and again, look whenever it is due, and give when that was."""
    found: list[float] = []
    steps = int(until / every)
    for number in range(steps):
        schedule.mark(A, number * every)
        due = schedule.next_at()
        if due is not None and due < (number + 1) * every:
            schedule.take(due, at_most=1)
            schedule.done(A)
            found.append(due)
    return found


def test_a_resource_that_never_rests_is_looked_at_ever_more_seldom() -> None:
    """An activity that is tried again every second costs a few writes at first, and then four a minute."""
    found = looks(Schedule(), every=1.0, until=600.0)

    apart = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert len([at for at in found if at < 30]) <= 7
    assert all(seconds >= SELDOM_SECONDS for seconds in apart[10:])
    assert len(found) <= 600 / SELDOM_SECONDS + 7


def test_a_resource_that_has_rested_begins_anew() -> None:
    """After a while in peace a change is shown as soon as the first one was."""
    schedule = Schedule()
    looks(schedule, every=1.0, until=120.0)
    schedule.take(140.0, at_most=1)
    schedule.done(A)

    schedule.mark(A, 200.0)

    assert schedule.next_at() == 200.0 + SOON_SECONDS


def test_an_urgent_mark_does_not_wait() -> None:
    """A changed phase is shown although the resource was shown a moment ago."""
    schedule = Schedule()
    schedule.mark(A, 0.0)
    schedule.take(1.0, at_most=10)
    schedule.done(A)
    schedule.mark(A, 1.2)

    schedule.mark(A, 1.3, is_urgent=True)

    assert schedule.next_at() == 1.3 + SOON_SECONDS


def test_a_resource_is_never_taken_twice_at_once() -> None:
    """What is marked while its status is being written is due again when the write has ended."""
    schedule = Schedule()
    schedule.mark(A, 0.0)
    schedule.take(1.0, at_most=10)
    schedule.mark(A, 1.0, is_urgent=True)

    during = schedule.take(5.0, at_most=10), schedule.next_at()
    schedule.done(A)
    after = schedule.take(5.0, at_most=10)

    assert during == ([], None)
    assert after == [A]


def test_the_longest_due_comes_first() -> None:
    """No resource starves behind busier ones."""
    schedule = Schedule()
    for number, uid in enumerate((C, A, B)):
        schedule.mark(uid, float(number))

    assert schedule.take(10.0, at_most=2) == [C, A]
    assert schedule.take(10.0, at_most=2) == [B]


def test_a_delay_is_kept_unless_somebody_is_in_a_hurry() -> None:
    """A fresh run is given its time; an urgent mark takes it away."""
    schedule = Schedule()
    schedule.mark(A, 0.0, delay_seconds=1.0)
    patient = schedule.next_at()

    schedule.mark(A, 0.2, is_urgent=True)

    assert (patient, schedule.next_at()) == (1.0, 0.2 + SOON_SECONDS)


def test_nothing_stays_busy_when_all_looks_have_ended() -> None:
    """After the loop broke, everything may be taken again."""
    schedule = Schedule()
    schedule.mark(A, 0.0)
    schedule.take(1.0, at_most=10)
    schedule.mark(A, 1.0)

    schedule.all_done()

    assert schedule.take(10.0, at_most=10) == [A]


def test_an_urgent_mark_goes_before_everything_overdue() -> None:
    """A phase is shown at once, however many others wait, also of one that waits among them."""
    schedule = Schedule()
    others = [UUID(int=number) for number in range(100, 200)]
    for uid in others:
        schedule.mark(uid, 0.0)
    schedule.mark(A, 9.0, is_urgent=True)
    schedule.mark(others[50], 9.0, is_urgent=True)

    assert set(schedule.take(10.0, at_most=2)) == {A, others[50]}
    assert schedule.take(10.0, at_most=1) == [others[0]]
    assert len(schedule) == 98


def test_hurry_starves_nobody() -> None:
    """Of many urgent ones, every fourth place is another's that is due, also when places are given one by one."""
    schedule = Schedule()
    schedule.mark(A, 0.0)
    schedule.mark(B, 0.0)
    for number in range(100, 200):
        schedule.mark(UUID(int=number), 0.0, is_urgent=True)

    taken = [uid for _ in range(8) for uid in schedule.take(10.0, at_most=1)]

    assert [place for place, uid in enumerate(taken) if uid in {A, B}] == [3, 7]

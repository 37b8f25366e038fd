"""The token bucket, on a clock that the test turns by hand: who waits how long."""

from __future__ import annotations

import asyncio

import pytest

from perdure._kube import budget


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_a_burst_is_free_and_the_rest_comes_at_the_rate() -> None:
    """After a quiet time a burst goes at once; whoever comes next waits in line, first come first served."""
    bucket = budget.TokenBucket(10, 3, clock=Clock())

    assert [round(bucket.reserve(), 3) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]


def test_time_fills_the_bucket_up_to_the_burst() -> None:
    """A long silence is worth one burst, not more."""
    clock = Clock()
    bucket = budget.TokenBucket(10, 2, clock=clock)
    for _ in range(4):
        bucket.reserve()

    clock.now += 3600

    assert [round(bucket.reserve(), 3) for _ in range(3)] == [0, 0, 0.1]


def test_a_pause_is_kept_by_everybody() -> None:
    """When the server asks to be left alone, all wait so long, and then come one by one."""
    clock = Clock()
    bucket = budget.TokenBucket(10, 5, clock=clock)

    bucket.pause(4)

    assert [round(bucket.reserve(), 3) for _ in range(2)] == [4.1, 4.2]
    clock.now += 10
    assert bucket.reserve() == 0


def test_what_is_there_is_taken_and_given_back() -> None:
    """Only whole tokens that have come; what was not needed is there for the next, up to a burst; a pause holds."""
    clock = Clock()
    bucket = budget.TokenBucket(10, 4, clock=clock)

    taken = bucket.take_now(3), bucket.take_now(3), bucket.take_now(3)
    short_of_one = bucket.next_in()
    clock.now += 0.1
    bucket.give_back(1)
    after = bucket.next_in(), bucket.take_now(9)
    bucket.give_back(100)
    full = bucket.take_now(9)
    bucket.give_back(4)
    bucket.pause(2)

    assert (taken, round(short_of_one, 3)) == ((3, 1, 0), 0.1)
    assert (after, full) == ((0, 2), 4)
    assert (round(bucket.next_in(), 3), bucket.take_now(1)) == (2.1, 0)


async def test_a_token_at_hand_is_taken_without_waiting() -> None:
    """Within the burst nobody waits."""
    bucket = budget.TokenBucket(0.001, 1, clock=Clock())

    await bucket.take()

    assert bucket.reserve() > 900


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_gives_nothing_is_refused(rate: float, burst: int) -> None:
    """A rate or burst of nothing is a mistake of whoever configured it, said at once."""
    with pytest.raises(ValueError, match=f"rate is {rate} and burst is {burst}"):
        budget.TokenBucket(rate, burst)


async def test_who_waits_behind_reserves_nothing() -> None:
    """However many wait so, what comes is there for those who take it."""
    clock = Clock()
    bucket = budget.TokenBucket(10, 1, clock=clock)
    assert bucket.take_now(1) == 1
    waiting = [asyncio.create_task(bucket.take_behind()) for _ in range(100)]
    await asyncio.sleep(0)

    clock.now += 0.1

    assert bucket.take_now(1) == 1
    for task in waiting:
        task.cancel()
    assert {task.done() for task in waiting} == {False}

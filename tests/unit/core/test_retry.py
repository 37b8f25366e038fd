"""Retry policies: the arithmetic of delays, and what is refused as a policy."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Exponential, Fixed, Linear, RetryPolicy, errors
from perdure._core import retry
from perdure._core.retry import Backoff


def delays(backoff: Backoff, count: int = 6) -> list[float]:
    """Give the first delays of a policy, without jitter."""
    recorded = RetryPolicy(100, backoff=backoff, jitter=0).recorded()
    return [retry.delay_seconds(recorded, failures) for failures in range(1, count + 1)]


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        (Fixed(3), [3, 3, 3, 3, 3, 3]),
        (Fixed(0), [0, 0, 0, 0, 0, 0]),
        (Linear(2, max=7), [2, 4, 6, 7, 7, 7]),
        (Exponential(1, multiplier=3, max=50), [1, 3, 9, 27, 50, 50]),
        (Exponential(datetime.timedelta(minutes=1), max=datetime.timedelta(hours=1)), [60, 120, 240, 480, 960, 1920]),
    ],
    ids=str,
)
def test_delays_follow_their_formula_up_to_their_maximum(backoff: Backoff, expected: list[float]) -> None:
    """Fixed: always the same. Linear: base x k. Exponential: base x multiplier^(k-1). All capped."""
    assert delays(backoff) == expected


@given(
    backoff=st.one_of(
        st.builds(Fixed, st.floats(0, 1e9)),
        st.builds(Linear, st.floats(0, 1e9), max=st.floats(0, 1e9)),
        st.builds(Exponential, st.floats(0, 1e9), multiplier=st.floats(1, 1e300), max=st.floats(0, 1e9)),
    ),
    failures=st.integers(1, 10**12),
    jitter=st.floats(0, 1),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_no_delay_overflows_or_leaves_its_bounds(backoff: Backoff, failures: int, jitter: float, draw: float) -> None:
    """However many failures, a delay is a number from 0 to its maximum; jitter only shortens, by its share at most."""
    recorded = RetryPolicy(5, backoff=backoff, jitter=jitter).recorded()

    whole = retry.delay_seconds(recorded, failures)
    shortened = retry.delay_seconds(recorded, failures, draw=draw)

    assert math.isfinite(whole)
    assert 0 <= shortened <= whole <= retry.MAX_DELAY_SECONDS
    assert shortened >= whole * (1 - jitter) * (1 - 1e-9)


@given(st.integers(1, 200), st.integers(1, 200))
def test_delays_never_shrink(first: int, second: int) -> None:
    """A later failure waits at least as long."""
    recorded = RetryPolicy(5, backoff=Exponential(0.1, multiplier=1.5, max=300), jitter=0).recorded()

    low, high = sorted((first, second))

    assert retry.delay_seconds(recorded, low) <= retry.delay_seconds(recorded, high)


@pytest.mark.parametrize("attempts", [0, -1, 1.5, True, "3"])
def test_a_policy_needs_at_least_one_attempt(attempts: int) -> None:
    """No attempt at all is no policy; the error says what was found."""
    with pytest.raises(errors.DefinitionError, match="max_attempts"):
        RetryPolicy(attempts)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RetryPolicy(2, jitter=1.5),
        lambda: RetryPolicy(2, jitter=-0.1),
        lambda: RetryPolicy(2, timeout=-1),
        lambda: RetryPolicy(2, timeout=math.nan),
        lambda: RetryPolicy(2, backoff=Fixed(math.inf)),
        lambda: RetryPolicy(2, backoff=Linear(-1)),
        lambda: RetryPolicy(2, backoff=Exponential(1, multiplier=0.5)),
        lambda: RetryPolicy(2, backoff=Exponential(1, multiplier=math.inf)),
        lambda: RetryPolicy(2, timeout=True),
        lambda: RetryPolicy(2, jitter=cast("float", "0.5")),
        lambda: RetryPolicy(2, jitter=cast("float", None)),
        lambda: RetryPolicy(2, backoff=Exponential(1, multiplier=cast("float", "2"))),
        lambda: RetryPolicy(2, backoff=cast("Backoff", 5)),
        lambda: RetryPolicy(2, backoff=cast("Backoff", None)),
    ],
)
def test_what_cannot_mean_anything_is_refused_where_it_is_written(wrong: Callable[[], RetryPolicy]) -> None:
    """Negative, infinite and absurd numbers are errors of the definition, not surprises at three in the morning."""
    with pytest.raises(errors.DefinitionError):
        wrong()


def test_durations_are_seconds_or_timedeltas() -> None:
    """Both mean the same in history."""
    minute = datetime.timedelta(minutes=1)

    assert RetryPolicy(2, backoff=Fixed(60), timeout=60).recorded() == RetryPolicy(2, Fixed(minute), minute).recorded()

"""Counting how values are spread."""

from __future__ import annotations

from perdure._engine.measures import Histogram


def test_a_value_counts_in_the_first_bound_that_holds_it() -> None:
    """What is equal to a bound belongs to it; what is above all of them is counted too, and below zero is zero."""
    histogram = Histogram([1, 2, 5])

    for value in (-3.0, 0.5, 1.0, 1.5, 5.0, 5.1):
        histogram.observe(value)

    assert histogram.counts == [3, 1, 1, 1]
    assert histogram.total == 0.5 + 1.0 + 1.5 + 5.0 + 5.1

"""What a worker counts: plain numbers that its loops raise, and that whoever wants to know reads at any moment.

It knows arithmetic alone: no metric, no label, no format (`_kube.metrics` has those). A count lives as long as its
worker, through all of its lives. Names of orchestrations are those of the worker's registry, so there are few of them.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Literal

__all__ = ["Histogram", "Measures"]

_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_TURNS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Histogram:
    """How often values fell up to each of `bounds`; the last count is of those above all of them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin empty. `bounds` rise; each counts what is equal to it."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one below zero (two clocks) counts as zero."""
        if value < 0:
            value = 0.0
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value


def _latency() -> Histogram:
    return Histogram(_LATENCY_SECONDS)


@dataclasses.dataclass(slots=True)
class Measures:
    """The counts of a worker. Durations are seconds.

    `started` is by orchestration, `ended` by orchestration and phase. `start_latency` is from the making of an instance
    to its first turn, `attempt_latency` from the asking for an activity to its first attempt, `commit_duration` from
    the sending of a batch of turns to the answer, with what waits for a database that is away; `commit_tries` are the
    statements sent, whatever came of them.
    """

    started: Counter[str] = dataclasses.field(default_factory=Counter)
    ended: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    attempts: Counter[Literal["completed", "failed"]] = dataclasses.field(default_factory=Counter)
    start_latency: Histogram = dataclasses.field(default_factory=_latency)
    attempt_latency: Histogram = dataclasses.field(default_factory=_latency)
    commit_duration: Histogram = dataclasses.field(default_factory=_latency)
    commit_turns: Histogram = dataclasses.field(default_factory=lambda: Histogram(_TURNS))
    commit_tries: int = 0
    reaped_instances: int = 0

"""How much of itself a shared machine gives: a neighbour on the same cores takes a third, for moments or minutes.

A fixed piece of work on every core tells, by how much longer it takes than at its best. The best is kept in the user's
cache, for each Python: so a run that is disturbed from beginning to end knows it. It is waited for calm moments, and
not for ever. Nothing here knows what is measured, or how it comes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["CALM", "Calm", "work"]

CALM = 1.15
"""A machine that is slower than at its best by more than this is disturbed."""
_LOOK_SECONDS = 0.5
_ROUNDS = 50
_FILE = f"bench-best-{sys.version_info.major}.{sys.version_info.minor}"


def work() -> float:
    """Do the piece of work, a little on each core in turn; give the seconds that it took."""
    cores = os.sched_getaffinity(0)
    took = 0.0
    try:
        for _ in range(_ROUNDS):
            for core in sorted(cores):
                os.sched_setaffinity(0, {core})
                took += _a_little()
    finally:
        os.sched_setaffinity(0, cores)
    return took / len(cores)


class Calm:
    """Knows how the machine is at its best, and waits for it."""

    def __init__(self, cache: Path, *, patience_seconds: float, work: Callable[[], float] = work) -> None:
        """Keep the best in a folder; wait for a calm moment `patience_seconds` at most."""
        self._file = cache / _FILE
        self._patience = patience_seconds
        self._work = work
        self._best = math.inf
        with contextlib.suppress(FileNotFoundError, ValueError):  # nothing is known yet, or a full disk has cut it off
            self._best = float(self._file.read_text())

    def slowness(self) -> float:
        """Give how many times as long as at its best the machine takes now; 1 when it never was better."""
        took = self._work()
        if took < self._best:
            self._best = took
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(f"{took!r}\n")
        return took / self._best

    async def wait(self) -> float:
        """Wait for a calm moment, or until patience ends; give how slow the machine is then."""
        began = time.monotonic()
        while (slowness := self.slowness()) > CALM and time.monotonic() - began < self._patience:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_LOOK_SECONDS)
        return slowness


def _a_little() -> float:
    began, total = time.perf_counter(), 0
    for number in range(20_000):
        total += number * number % 7
    return time.perf_counter() - began

"""How much of itself a shared machine gives, and measuring while it gives all.

A neighbour on the same cores takes a good part of them, for moments or minutes. A fixed piece of work tells, by how
much longer it takes than at its best. The best is kept in the user's cache, for each machine and Python: so a run that
is disturbed from beginning to end knows it. What is measured waits for a calm moment, not for ever. Nothing here knows
what is measured, or how it comes out: which try counts is decided by the machine alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import platform
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["CALM", "Calm", "work"]

T = TypeVar("T")
CALM = 1.3
"""A machine that is slower than at its best by more than this is disturbed: by a neighbour, not by its own warmth."""
_LOOK_SECONDS = 0.5
_LOOKS_AFTER = 3
"""What was measured leaves the disk and the server something to do: the best of so many looks is the machine's."""
_PIECES = 100


def work() -> float:
    """Do the piece of work, a little on each core in turn; give the seconds that it took."""
    if sys.platform != "linux":
        return sum(_a_little() for _ in range(_PIECES))
    cores = os.sched_getaffinity(0)
    took = 0.0
    try:
        for core in itertools.islice(itertools.cycle(sorted(cores)), _PIECES):
            os.sched_setaffinity(0, {core})
            took += _a_little()
    finally:
        os.sched_setaffinity(0, cores)
    return took


class Calm:
    """Knows how the machine is at its best, and measures when it is."""

    def __init__(
        self,
        cache: Path,
        *,
        looks: int,
        work: Callable[[], float] = work,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Keep the best in a folder, if one can; for a calm moment look so often, half a second apart."""
        self._file = cache / f"bench-best-{_this_machine()}"
        self._looks = looks
        self._work = work
        self._pause = pause
        self._best = math.inf
        with contextlib.suppress(OSError, ValueError):  # nothing is known yet, or nothing that can be read
            kept = float(self._file.read_text())
            self._best = kept if kept > 0 else math.inf  # and not nan
        self._is_known = math.isfinite(self._best)

    def slowness(self) -> float:
        """Give how many times as long as at its best the machine takes now; 1 when it never was better."""
        took = self._work()
        if took < self._best:
            self._best = took
            with contextlib.suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                beside = self._file.with_suffix(".new")
                beside.write_text(f"{took!r}\n")
                beside.replace(self._file)
        return took / self._best

    async def wait(self) -> float:
        """Wait for a calm moment, but not for ever; give how slow the machine is then.

        A machine that nobody knows is looked at as often before: of one look nobody can say how good it was.
        """
        if not self._is_known:
            for _ in range(self._looks):
                self.slowness()
                await self._pause(_LOOK_SECONDS)
            self._is_known = True
        for _ in range(self._looks):
            if (slowness := self.slowness()) <= CALM:
                return slowness
            await self._pause(_LOOK_SECONDS)
        return self.slowness()

    async def measure(self, play: Callable[[], Awaitable[T]], *, tries: int) -> tuple[T, float, int]:
        """Play in a calm moment, up to `tries` times until the machine was calm before and after.

        Give what came out of the try with the calmest machine, how slow that was, and how many tries there were. What
        happened in the middle is not seen.
        """
        made: list[tuple[float, T]] = []
        while not made or (made[-1][0] > CALM and len(made) < tries):
            before = await self.wait()
            result = await play()
            after = min(self.slowness() for _ in range(_LOOKS_AFTER))
            made.append((max(before, after), result))
        slowness, result = min(made, key=lambda one: one[0])
        return result, slowness, len(made)


def _this_machine() -> str:
    words = f"{platform.node()} {platform.release()} {os.cpu_count()} {sys.version}"
    return f"{zlib.crc32(words.encode()):08x}"


def _a_little() -> float:
    began, total = time.perf_counter(), 0
    for number in range(20_000):
        total += number * number % 7
    return time.perf_counter() - began

"""Slots: so many attempts at once, and who waits for one is let in by priority.

A slot is a number, not a thing: whoever was granted one gives one back. Of those that wait the highest priority goes
first, of equals the one that came first. Slots know nothing of what is done in them.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

__all__ = ["Slots"]


class Slots:
    """A bounded number of slots; while somebody waits none is free."""

    __slots__ = ("_order", "_waiting", "free")

    def __init__(self, count: int) -> None:
        """Begin with `count` free ones."""
        self.free = count
        self._waiting: list[tuple[int, int, Callable[[], bool]]] = []
        self._order = itertools.count()

    def ask(self, priority: int, granted: Callable[[], bool]) -> None:
        """Call `granted` with a slot, at once or when it is its turn; it says False when it has no use for it now."""
        if self.free == 0:
            heapq.heappush(self._waiting, (-priority, next(self._order), granted))
            return
        self.free -= 1
        if not granted():
            self.free += 1

    def take(self, most: int) -> int:
        """Take what is free, without waiting; give how many that were, `most` at most."""
        taken = min(self.free, most)
        self.free -= taken
        return taken

    def give(self, count: int = 1) -> None:
        """Give slots back; those who wait get them."""
        self.free += count
        while self.free and self._waiting:
            self.free -= 1
            if not heapq.heappop(self._waiting)[2]():
                self.free += 1

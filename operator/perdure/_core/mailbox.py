"""Signals of one execution: those that came in, and the waits that stand in line for them.

First in, first out for each name; names are independent. Signals are kept, and handed over one at a time, the oldest
first, when asked (`match`). So a wait that is given up in the same breath takes none with it, and a signal that was
here before its wait is no different from one that comes after. It knows neither where signals come from nor what a wait
resolves to.
"""

from __future__ import annotations

import collections
import itertools
from typing import Generic, TypeVar

from perdure._core import history

__all__ = ["Mailbox"]

W = TypeVar("W")


class Mailbox(Generic[W]):
    """Pairs signals with waits of type `W`."""

    __slots__ = ("_order", "_signals", "_unpaired", "_waits")

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._order = itertools.count()
        self._signals: dict[str, collections.deque[tuple[int, history.SignalReceived]]] = {}
        self._waits: dict[str, dict[int, W]] = {}
        self._unpaired: set[str] = set()  # the names that may have both

    def __len__(self) -> int:
        """How many signals nobody has waited for."""
        return sum(map(len, self._signals.values()))

    def put(self, signal: history.SignalReceived) -> None:
        """Keep a signal that came in."""
        self._signals.setdefault(signal.name, collections.deque()).append((next(self._order), signal))
        if self._waits.get(signal.name):
            self._unpaired.add(signal.name)

    def wait(self, wait: W, *, name: str, seq: int) -> None:
        """Let a wait stand in line for a name."""
        self._waits.setdefault(name, {})[seq] = wait
        if self._signals.get(name):
            self._unpaired.add(name)

    def give_up(self, name: str, seq: int) -> None:
        """Take a wait out of its line."""
        self._waits.get(name, {}).pop(seq, None)

    def match(self) -> tuple[W, history.SignalReceived] | None:
        """Hand over the oldest signal that somebody waits for, to the first in its line; None when there is none."""
        if not self._unpaired:
            return None
        self._unpaired = {name for name in self._unpaired if self._signals.get(name) and self._waits.get(name)}
        if not self._unpaired:
            return None
        name = min(self._unpaired, key=lambda name: self._signals[name][0][0])
        waits = self._waits[name]
        return waits.pop(next(iter(waits))), self._signals[name].popleft()[1]

    def leftover(self) -> list[history.SignalReceived]:
        """Give the kept signals of all names in the order in which they came."""
        kept = sorted((item for signals in self._signals.values() for item in signals), key=lambda item: item[0])
        return [signal for _, signal in kept]

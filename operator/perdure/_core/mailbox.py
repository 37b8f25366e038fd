"""Signals of one execution: those that came in and nobody waited for, and the waits that none came in for.

First in, first out for each name; names are independent. A signal before its wait is kept, a wait that is given up
takes none with it. It knows neither where signals come from nor what a wait resolves to.
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

    __slots__ = ("_order", "_signals", "_waits")

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._order = itertools.count()
        self._signals: dict[str, collections.deque[tuple[int, history.SignalReceived]]] = {}
        self._waits: dict[str, dict[int, W]] = {}

    def __len__(self) -> int:
        """How many signals nobody has waited for."""
        return sum(map(len, self._signals.values()))

    def put(self, signal: history.SignalReceived) -> W | None:
        """Take a signal in; give the wait that it ends, or None when it is kept."""
        waits = self._waits.get(signal.name)
        if waits:
            return waits.pop(next(iter(waits)))
        self._signals.setdefault(signal.name, collections.deque()).append((next(self._order), signal))
        return None

    def take(self, name: str) -> history.SignalReceived | None:
        """Give the oldest kept signal of a name, or None."""
        kept = self._signals.get(name)
        return kept.popleft()[1] if kept else None

    def wait(self, wait: W, *, name: str, seq: int) -> None:
        """Let a wait stand in line for a name; only when `take` gave none."""
        self._waits.setdefault(name, {})[seq] = wait

    def give_up(self, name: str, seq: int) -> None:
        """Take a wait out of its line."""
        self._waits.get(name, {}).pop(seq, None)

    def close(self) -> None:
        """Let no wait take a signal any more: the code has ended."""
        self._waits.clear()

    def leftover(self) -> list[history.SignalReceived]:
        """Give the kept signals of all names in the order in which they came."""
        kept = sorted((item for signals in self._signals.values() for item in signals), key=lambda item: item[0])
        return [signal for _, signal in kept]

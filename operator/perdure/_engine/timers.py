"""Timers of the residents: one heap, one alarm of the event loop.

Timers need no table: they are in history, and an ownerless instance carries its earliest in `wake_at`. This keeps the
due ones of owned instances in order. An entry whose resident is gone or whose timer was given up is dropped when it
comes to the top, or when more than half of the heap is of that kind.
"""

from __future__ import annotations

import asyncio
import datetime
import heapq
import itertools
from collections.abc import Callable
from typing import NamedTuple

from perdure._core import history, replay
from perdure._core.operation import Operation
from perdure._engine.attempts import out_of_time
from perdure._engine.clock import Clock
from perdure._engine.resident import Resident, due_or_none

__all__ = ["Timers"]

_SWEEP_ABOVE = 1_000


class _Entry(NamedTuple):
    """What is to be delivered, and to which execution: the next one has timers of the same numbers."""

    fire_at: datetime.datetime
    order: int
    resident: Resident
    execution: replay.Execution
    event: history.Event

    @property
    def is_wanted(self) -> bool:
        if self.resident.is_gone or self.resident.execution is not self.execution:
            return False
        seq = getattr(self.event, "seq", None)
        # What a turn has given up that is not committed yet may be waited for again, when it has to be taken anew.
        return seq is None or seq in self.execution.pending or self.resident.is_in_flight


class Timers:
    """Delivers events to residents at moments of the database's clock, never early."""

    def __init__(self, clock: Clock, deliver: Callable[[Resident, history.Event], None]) -> None:
        """Call `deliver` for each event that comes due."""
        self._clock = clock
        self._deliver = deliver
        self._heap: list[_Entry] = []
        self._order = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None
        self._sweep_above = _SWEEP_ABOVE

    def __len__(self) -> int:
        """How many are kept, those among them that nobody wants any more."""
        return len(self._heap)

    def add(self, fire_at: datetime.datetime, resident: Resident, *, event: history.Event) -> None:
        """Deliver `event` to `resident` at `fire_at`."""
        if len(self._heap) >= self._sweep_above:
            self._sweep()
        heapq.heappush(self._heap, _Entry(fire_at, next(self._order), resident, resident.execution, event))
        if self._heap[0].resident is resident:
            self._set_alarm()

    def expect(self, resident: Resident, operation: Operation) -> None:
        """Let time end what it can end: a timer, or a queued activity that nobody brings to its end."""
        due, command = due_or_none(operation), operation.command
        if due is None:
            return
        if isinstance(command, history.ScheduleActivity):
            self.add(due, resident, event=history.ActivityFailed(command.seq, out_of_time(command)))
        else:
            self.add(due, resident, event=history.TimerFired(command.seq))

    def close(self) -> None:
        """Fire no more."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._heap.clear()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._heap:
            delay = max(0.0, self._clock.seconds_until(self._heap[0][0]))
            self._alarm = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if entry.is_wanted:
                self._deliver(entry.resident, entry.event)
        self._set_alarm()

    def _sweep(self) -> None:
        """Drop what was given up: timeouts of an hour that are not needed after a second must not pile up."""
        self._heap = [entry for entry in self._heap if entry.is_wanted]
        heapq.heapify(self._heap)
        self._sweep_above = max(_SWEEP_ABOVE, 2 * len(self._heap))

"""When which resource's status is to be looked at: the projector's calendar, in memory, pure.

It knows uids and moments; it must not know statuses, Postgres or the API server. Time is an argument. What a person
waits for (a phase) is due at once and taken before all else that is due; all else at most once in a while per resource,
and with a share that no hurry takes from it; a resource whose write is under way is not due before that ended.

A resource that changes all the time (an activity that is tried again every second) is looked at ever more seldom, since
each write wakes whoever watches: Argo CD, Flux, a dashboard. One that was left in peace for a while begins anew.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple
from uuid import UUID

__all__ = ["AGAIN_SECONDS", "SELDOM_SECONDS", "SOON_SECONDS", "Schedule"]

SOON_SECONDS = 0.1
"""A changed phase is shown within this, and what follows in the same moment with it."""

AGAIN_SECONDS = 1.5
"""The least time between two looks at one resource whose phase stays; half as long again after each."""

SELDOM_SECONDS = 15.0
"""The longest that this time becomes: how old the step of a busy run may be in its status."""

_GROWTH = 1.5
_CALM = 2.0
"""After so many of its times without a look a resource counts as calm."""

_URGENT_IN_A_ROW = 3
"""After so many urgent ones one of the others is taken, if one is due."""

_URGENT, _OTHER = 0, 1
"""The lanes."""


class _Pace(NamedTuple):
    """When a resource was looked at last, and how long it is left alone from then on."""

    looked_at: float
    seconds: float

    @property
    def calm_at(self) -> float:
        return self.looked_at + _CALM * self.seconds


class Schedule:
    """The marks of resources, in a lane for the urgent and one for the others, the earliest first in each.

    Of two marks of one resource the earlier moment and the urgent lane stand.
    """

    def __init__(self) -> None:
        self._due: dict[UUID, tuple[float, int]] = {}
        self._lanes: tuple[list[tuple[float, int, UUID]], ...] = ([], [])
        self._in_a_row = 0
        self._number = 0
        self._paces: dict[UUID, _Pace] = {}
        self._busy: set[UUID] = set()

    def __len__(self) -> int:
        return len(self._due)

    def mark(self, uid: UUID, now: float, *, is_urgent: bool = False, delay_seconds: float = SOON_SECONDS) -> None:
        """Have this resource looked at: urgent after a moment, else when its turn comes, but not before the delay."""
        due = now + (min(delay_seconds, SOON_SECONDS) if is_urgent else delay_seconds)
        if not is_urgent:
            pace = self._paces.get(uid)
            due = due if pace is None or pace.calm_at <= now else max(due, pace.looked_at + pace.seconds)
        before, lane = self._due.get(uid, (float("inf"), _OTHER))
        marked = min(due, before), _URGENT if is_urgent else lane
        if marked != (before, lane):
            self._due[uid] = marked
            if uid not in self._busy:
                self._push(uid)

    def take(self, now: float, *, at_most: int) -> list[UUID]:
        """Give what is due, the urgent and the longest due first, and count it as busy until `done`."""
        taken: list[UUID] = []
        while len(taken) < at_most and (uid := self._pop(now)) is not None:
            del self._due[uid]
            self._busy.add(uid)
            self._paces[uid] = self._next_pace(uid, now)
            taken.append(uid)
        return taken

    def _next_pace(self, uid: UUID, now: float) -> _Pace:
        before = self._paces.get(uid)
        if before is None or before.calm_at <= now:
            return _Pace(now, AGAIN_SECONDS)
        return _Pace(now, min(before.seconds * _GROWTH, SELDOM_SECONDS))

    def _pop(self, now: float) -> UUID | None:
        """Take the next one off its lane, if one is due."""
        order = (_OTHER, _URGENT) if self._in_a_row >= _URGENT_IN_A_ROW else (_URGENT, _OTHER)
        for lane in order:
            first_at = self._first_at(lane)
            if first_at is not None and first_at <= now:
                self._in_a_row = self._in_a_row + 1 if lane == _URGENT else 0
                return heapq.heappop(self._lanes[lane])[2]
        return None

    def done(self, uid: UUID) -> None:
        """The look at this resource has ended, well or not; marks that came meanwhile count again."""
        self._busy.discard(uid)
        if uid in self._due:
            self._push(uid)

    def all_done(self) -> None:
        """No look is under way any more."""
        for uid in list(self._busy):
            self.done(uid)

    def next_at(self) -> float | None:
        """Give the moment at which something is due, or None."""
        return min((at for lane in (_URGENT, _OTHER) if (at := self._first_at(lane)) is not None), default=None)

    def tidy(self, now: float) -> None:
        """Forget when resources were looked at that may be looked at again anyway."""
        self._paces = {uid: pace for uid, pace in self._paces.items() if pace.calm_at > now}

    def _first_at(self, lane: int) -> float | None:
        """Give the first moment of a lane; what was marked otherwise since, or taken, is thrown away before."""
        heap = self._lanes[lane]
        while heap and self._due.get(heap[0][2]) != (heap[0][0], lane):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def _push(self, uid: UUID) -> None:
        due, lane = self._due[uid]
        self._number += 1  # keeps uids out of the comparison, and equal moments in order
        heapq.heappush(self._lanes[lane], (due, self._number, uid))

"""When which resource's status is to be looked at: the projector's calendar, in memory, pure.

It knows uids and moments; it must not know statuses, Postgres or the API server. Time is an argument. What a person
waits for (a phase) is due at once, all else at most once in a while per resource; a resource whose write is under way
is not due before that ended.
"""

from __future__ import annotations

import heapq
from uuid import UUID

__all__ = ["AGAIN_SECONDS", "SOON_SECONDS", "Schedule"]

SOON_SECONDS = 0.1
"""A changed phase is shown within this, and what follows in the same moment with it."""

AGAIN_SECONDS = 1.5
"""The least time between two looks at one resource whose phase stays."""


class Schedule:
    """The marks of resources, the earliest first; of two marks of one resource the earlier stands."""

    def __init__(self) -> None:
        self._due: dict[UUID, float] = {}
        self._heap: list[tuple[float, int, UUID]] = []
        self._number = 0
        self._looked_at: dict[UUID, float] = {}
        self._busy: set[UUID] = set()

    def __len__(self) -> int:
        return len(self._due)

    def mark(self, uid: UUID, now: float, *, is_urgent: bool = False, delay_seconds: float = SOON_SECONDS) -> None:
        """Have this resource looked at: urgent after a moment, else when its turn comes, but not before the delay."""
        due = now + (min(delay_seconds, SOON_SECONDS) if is_urgent else delay_seconds)
        if not is_urgent:
            due = max(due, self._looked_at.get(uid, now - AGAIN_SECONDS) + AGAIN_SECONDS)
        if due < self._due.get(uid, float("inf")):
            self._due[uid] = due
            if uid not in self._busy:
                self._push(uid, due)

    def take(self, now: float, *, at_most: int) -> list[UUID]:
        """Give what is due, the longest due first, and count it as busy until `done`."""
        taken: list[UUID] = []
        while self._heap and self._heap[0][0] <= now and len(taken) < at_most:
            due, _, uid = heapq.heappop(self._heap)
            if self._due.get(uid) != due:
                continue  # marked for an earlier moment since, and taken then
            del self._due[uid]
            self._busy.add(uid)
            self._looked_at[uid] = now
            taken.append(uid)
        return taken

    def done(self, uid: UUID) -> None:
        """The look at this resource has ended, well or not; marks that came meanwhile count again."""
        self._busy.discard(uid)
        if uid in self._due:
            self._push(uid, self._due[uid])

    def all_done(self) -> None:
        """No look is under way any more."""
        for uid in list(self._busy):
            self.done(uid)

    def next_at(self) -> float | None:
        """Give the moment at which something is due, or None."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def tidy(self, now: float) -> None:
        """Forget when resources were looked at that may be looked at again anyway."""
        self._looked_at = {uid: at for uid, at in self._looked_at.items() if at > now - AGAIN_SECONDS}

    def _push(self, uid: UUID, due: float) -> None:
        self._number += 1  # keeps uids out of the comparison, and equal moments in order
        heapq.heappush(self._heap, (due, self._number, uid))

"""The database's clock, as this process sees it.

Only the database's clock decides leases, visibility and due times (I7). Between two looks at it the time that has gone
by is measured with the event loop's monotonic clock; the worker's own wall clock is never read, it may be hours wrong.
"""

from __future__ import annotations

import collections
import datetime
import math
from collections.abc import Callable

__all__ = ["Clock", "Epochs"]


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_LOOKS = 8
_STEP_BACK_SECONDS = 0.5


class Clock:
    """Database time = an offset + monotonic time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Use `monotonic` (seconds) between looks; `sync` must come before the first `now`."""
        self._monotonic = monotonic
        self._looks: collections.deque[float] = collections.deque(maxlen=_LOOKS)
        self._offset = 0.0
        self._seconds = math.nan
        self._now = _EPOCH

    def sync(self, database_now: datetime.datetime, *, took: float = 0.0) -> None:
        """Take a look: the database has just said `database_now`, in answer to a question `took` seconds ago.

        The answer is as old as its way back took. It is taken as if it were said now, so each look is late by at most
        `took` and never early: no timer fires before its time. Of the last looks the least late one is kept; one that
        is later than its way can explain means that the clock itself went back.
        """
        look = (database_now - _EPOCH).total_seconds() - self._monotonic()
        if look + took < self._offset - _STEP_BACK_SECONDS:
            self._looks.clear()  # the database's clock was set back, or is another one after a failover
        self._looks.append(look)
        self._offset = max(self._looks)
        self._seconds = math.nan

    def now(self) -> datetime.datetime:
        """Give the database's time (aware, UTC); the same object as before while the monotonic clock stands."""
        seconds = self._monotonic()
        if seconds != self._seconds:  # uvloop counts in milliseconds, and many turns fall into one
            self._seconds, self._now = seconds, _EPOCH + datetime.timedelta(seconds=self._offset + seconds)
        return self._now

    def seconds_until(self, moment: datetime.datetime) -> float:
        """Give how far away a moment of database time is; negative when it has passed."""
        return (moment - self.now()).total_seconds()


class Epochs:
    """Numbers that rise with every attempt: the database's time in microseconds, as far as this worker knows it.

    Within a worker they rise by construction. Over workers they do because a clock is never early, and because whoever
    takes a job over has asked the database for it: that answer's time, later than all that an earlier owner could have
    had, is the least that is given from then on.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin with what `clock` says."""
        self._clock = clock
        self._last = 0

    def note(self, database_now: datetime.datetime) -> None:
        """Give nothing below this moment any more: what is attempted now was taken over then."""
        self._last = max(self._last, _microseconds(database_now))

    def next(self) -> int:
        """Give a number above all others."""
        self._last = max(self._last + 1, _microseconds(self._clock.now()))
        return self._last


def _microseconds(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND

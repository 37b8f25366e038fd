"""Ends instances whose time is over: the database says when the next deadline is, and which have passed.

A deadline is a column of its instance. The heartbeat of each worker tells when the next one comes, if that is before
the next heartbeat: so deadlines cost nothing while there are none, and are kept whoever dies, at most one beat late.
All workers may act at the same moment; the statement tells nobody twice. What the end of its time means to an instance
is decided by its code, as in a cancel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure import errors
from perdure._core import failure, lifecycle
from perdure._engine.resident import Committed
from perdure._store.store import Store

__all__ = ["Deadlines"]

_PORTION = 500
_MARGIN_SECONDS = 0.02
"""The database's time is known to a few milliseconds: whoever looks too early finds nothing, and looks a beat later."""
_UNBEGUN = lifecycle.encode_failure(
    failure.of(errors.RunTimedOutError("No worker had taken it up before its time was over."))
)


class Deadlines:
    """The alarm for the next deadline, and what it sets off. `on_ended` hears of runs of resources that end here."""

    def __init__(
        self, store: Store, *, on_passed: Callable[[], None], on_ended: Callable[[list[Committed]], None] | None
    ) -> None:
        """`on_passed` is told that instances have messages, or have ended."""
        self._store = store
        self._on_passed = on_passed
        self._on_ended = on_ended
        self._passed = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None

    def expect(self, seconds: float) -> None:
        """Look in so many seconds; the newest word counts."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(max(0.0, seconds) + _MARGIN_SECONDS, self._passed.set)

    async def run(self) -> None:
        """End what is over, for ever."""
        try:
            while True:
                await self._passed.wait()
                self._passed.clear()
                await self._pass()
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    async def _pass(self) -> None:
        rows, tries = await self._store.fetch_in_tries("deadlines_pass", _UNBEGUN, _PORTION)
        if len(rows) == _PORTION:
            self._passed.set()
        ended = [
            Committed(row["instance_id"], row["resource_uid"], "Failed", phase_changed=True)
            for row in rows
            if row["is_fresh"] and row["resource_uid"] is not None
        ]
        if ended and self._on_ended is not None:
            self._on_ended(ended)
        if rows or tries > 1:  # nobody is told twice: an earlier try may have told all whom there were
            self._on_passed()

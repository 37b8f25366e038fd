"""Telling others: clients that wait, workers that may have got something to do, whoever shows resources.

What is told was committed before. Nothing here carries what has happened, only that something has: whoever hears of it
looks into the database, and whoever does not hear of it looks there by itself a little later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure._core import limits
from perdure._engine.lease import WAKE_CHANNEL
from perdure._engine.resident import Committed, Resident
from perdure._store.store import Store

__all__ = ["Announcer"]

FINISHED_CHANNEL = "perdure_finished"


class Announcer:
    """Tells the rest of the world, many things at once."""

    def __init__(
        self, store: Store, *, nudge: Callable[[], None], on_commit: Callable[[list[Committed]], None] | None
    ) -> None:
        """`nudge` lets this worker look for work, `on_commit` is told which resources may show something else."""
        self._store = store
        self._nudge = nudge
        self._on_commit = on_commit
        self._has_finished = asyncio.Event()
        self._has_sent = asyncio.Event()
        self._shown: list[Committed] = []

    def finished(self) -> None:
        """An instance has ended."""
        self._has_finished.set()

    def sent(self) -> None:
        """Somebody may have got an instance, a message or an activity."""
        self._has_sent.set()

    def show(self, resident: Resident, *, phase_changed: bool) -> None:
        """What a resource shows has changed; it is told once for all that happens in this round of the loop."""
        if resident.resource_uid is None or self._on_commit is None:
            return
        if not self._shown:
            asyncio.get_running_loop().call_soon(self._tell_shown)
        self._shown.append(Committed(resident.instance_id, resident.resource_uid, resident.phase, phase_changed))

    async def run(self) -> None:
        """Announce for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce_finished())
            group.create_task(self._announce_sent())

    def _tell_shown(self) -> None:
        shown, self._shown = self._shown, []
        if self._on_commit is not None:
            self._on_commit(shown)

    async def _announce_finished(self) -> None:
        """Tell clients in other processes that something has ended; at most so many times a second."""
        while True:
            await self._has_finished.wait()
            self._has_finished.clear()
            await self._store.fetch_patiently("notify", FINISHED_CHANNEL)
            await asyncio.sleep(limits.FINISHED_NOTIFY_SECONDS)

    async def _announce_sent(self) -> None:
        """Wake whoever may have got something; at most once a batch of commits."""
        while True:
            await self._has_sent.wait()
            self._has_sent.clear()
            self._nudge()
            await self._store.fetch_patiently("notify", WAKE_CHANNEL)

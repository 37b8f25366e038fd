"""Hears that runs have begun or ended in other processes: what the leader does then need not wait for its clock.

It knows one NOTIFY, which workers send after an end and ingest after a batch that began or changed a run; whoever is
told looks into the database. It must not know what for: `heard` are the ears, called in the event loop, often for
nothing. While it is deaf their clocks go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from perdure._engine.announcing import FINISHED_CHANNEL
from perdure._store.store import Control, Store, is_transient

__all__ = ["Hearing"]

_PROBE_SECONDS = 30.0
_RECONNECT_SECONDS = 2.0


class Hearing:
    """A connection that listens, for as long as somebody runs it."""

    def __init__(self, store: Store, *, heard: Sequence[Callable[[], None]]) -> None:
        self._store = store
        self._heard = heard

    async def run(self) -> None:
        """Listen for ever; the way out is to cancel the task."""
        while True:
            try:
                async with self._store.control("perdure-controller") as control:
                    await self._listen(control)
            except Exception as error:
                if not is_transient(error):
                    raise
                self._store.availability.lost(error, "listen for ends")
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self, control: Control) -> None:
        await control.listen(FINISHED_CHANNEL, self._tell)
        self._tell()  # whatever was notified while nobody listened
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            async with asyncio.timeout(_PROBE_SECONDS):  # a half-open link says nothing for ever
                await control.fetchrow("now")

    def _tell(self) -> None:
        for tell in self._heard:
            tell()

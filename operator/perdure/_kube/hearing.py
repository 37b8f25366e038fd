"""Hears that runs have begun or ended in other processes: what the leader does then need not wait for its clock.

It knows one NOTIFY, which workers send after an end and ingest after a batch that began or changed a run; whoever is
told looks into the database. It must not know what for: `heard` are the ears, called in the event loop, often for
nothing. While it is deaf their clocks go on. It asks nothing while it listens: the link is kept alive below SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from perdure._engine.announcing import FINISHED_CHANNEL
from perdure._store.store import Store, is_transient

__all__ = ["Hearing"]

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
                    await control.listen(FINISHED_CHANNEL, self._tell)
                    self._tell()  # whatever was notified while nobody listened
                    await control.wait_ended()
            except Exception as error:
                if not is_transient(error):
                    raise
                self._store.availability.lost(error, "listen for ends")
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _tell(self) -> None:
        for tell in self._heard:
            tell()

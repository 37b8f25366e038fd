"""The controller role: every kind of resources followed, and the look behind the projector. Any number may run.

It knows which loops the role has; the work is done in `following`, `ingest` and `projector`. It must not know workers
or the engine, nor what a kind is for: one that is not served keeps its own loops waiting and no others.

Theory of operation. Every few seconds one cheap query finds runs whose status was not written: by a worker that died
between its commit and its write, or because nobody owns them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from perdure._kube.following import Following
from perdure._kube.kinds import Loop
from perdure._kube.observer import Configure
from perdure._kube.projector import Projector
from perdure._store.store import Availability, retrying

__all__ = ["STALE_SECONDS", "Controller"]

STALE_SECONDS = 20.0
"""How long a status may lag behind its run after the worst crash."""


class Controller:
    """The loops of the role, run side by side by whoever supervises them."""

    def __init__(self, followed: Sequence[Following], *, projector: Projector, availability: Availability) -> None:
        self._followed = followed
        self._projector = projector
        self._availability = availability

    def loops(self, configure: Configure, namespaces: Sequence[str], *, sweep_seconds: float) -> Iterator[Loop]:
        """Give the loops of the role."""
        for one in self._followed:
            yield from one.loops(configure, namespaces, sweep_seconds=sweep_seconds)
        yield "look behind", lambda: self._look_behind(namespaces)

    async def _look_behind(self, namespaces: Sequence[str]) -> None:
        """Find what is not shown, now and every few seconds, for ever."""
        while True:
            await retrying(
                lambda: self._projector.sweep(namespaces),
                doing="looking for statuses that lag",
                availability=self._availability,
            )
            await asyncio.sleep(STALE_SECONDS)

    @property
    def restarts(self) -> int:
        """How often a watch was begun again."""
        return sum(one.restarts for one in self._followed)

    @property
    def sweeps(self) -> int:
        """How many comparisons of a kind there were."""
        return sum(one.sweeps for one in self._followed)

    @property
    def why_not_ready(self) -> str:
        """Why resources may go unseen at present, kind by kind; empty while none does."""
        return " ".join(f"{one.kind.name}: {one.why_not_ready}" for one in self._followed if one.why_not_ready)

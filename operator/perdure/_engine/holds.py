"""Has held instances tried again where other code may be at hand than that which they were held by.

It knows when workers come and go; it must not know why an instance is held, nor what a worker makes of it. Which holds
are worth another try is said by `hold_retry.sql`; those that have a time of their own are tried by the clock besides.

Theory of operation. Code changes with workers. One that comes may have the right code; one that goes may have been the
last of the wrong one, and has perhaps held something since the right one came (a rolling update has both for a while).
It says so itself when it leaves, and whoever reaps it when it could not, of what the two have in common. Between two
such moments the code is the same, and nothing is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure._core.definition import OrchestrationRegistry
from perdure._engine.claimer import offered
from perdure._store.store import Store

__all__ = ["Holds"]


class Holds:
    """The held instances that a worker can run; `nudge` is called when they are due."""

    def __init__(self, store: Store, registry: OrchestrationRegistry, *, nudge: Callable[[], None]) -> None:
        self._store = store
        self._offered = offered(registry)
        self._nudge = nudge
        self._has_died = asyncio.Event()

    def other_died(self) -> None:
        """A worker is no more, and has not said so itself."""
        self._has_died.set()

    async def run(self) -> None:
        """Have them tried now, and whenever another worker has died; the way out is to cancel the task."""
        while True:
            self._has_died.clear()
            await self.try_again()
            self._nudge()
            await self._has_died.wait()

    async def try_again(self) -> None:
        """Have them tried at once, by whoever takes them."""
        await self._store.fetch_patiently("hold_retry", *self._offered)

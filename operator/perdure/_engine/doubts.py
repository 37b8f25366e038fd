"""What may be ours and not here: looked for after a claim, or a release, whose outcome nobody knows (I8).

A claim whose answer was lost leaves instances that belong to this worker and are not in its memory. About once a second
for as long as that statement may still land, and once more after that, what is ours is read back, and what is not here
is given up. It knows neither why somebody doubts nor what else was missed: that is read from the rows that it gives.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Final

from perdure._core import limits
from perdure._store.store import Record, Store

__all__ = ["LOOK_SECONDS", "Doubts"]

LOOK_SECONDS: Final = 1.0
"""How often it is looked for what may be ours and not here, while that may be."""


class Doubts:
    """Belongs to one life of a worker."""

    def __init__(self, store: Store, owner_id: uuid.UUID, *, is_here: Callable[[str], bool]) -> None:
        """Doubt nothing yet; `is_here` says of an instance whether it is in memory and stays there."""
        self._store = store
        self._owner_id = owner_id
        self._is_here = is_here
        self._time = asyncio.get_running_loop().time
        self._next_look = math.inf
        self._until = 0.0

    def note(self) -> None:
        """There may be what is ours and not here, or news that nobody has read: it is to be looked for.

        At once, and then now and then for as long as a statement may still land.
        """
        self._next_look = self._time()
        self._until = self._next_look + limits.LATE_LANDING_SECONDS

    @property
    def are_due(self) -> bool:
        """Whether it is time to look."""
        return self._time() >= self._next_look

    @property
    def seconds_until_look(self) -> float:
        """How long one may wait before the next look; infinite when nothing is in doubt."""
        return max(0.0, self._next_look - self._time())

    async def look(self, leaving: Collection[str]) -> Sequence[Record]:
        """Give back what is ours, not here and not among those `leaving` either; give all that was found to be ours.

        The last look begins when nothing can land any more.
        """
        began = self._time()
        rows = await self._store.fetch_patiently("owned", self._owner_id)
        ids = [row["instance_id"] for row in rows if row["instance_id"] not in leaving]
        strays = [instance_id for instance_id in ids if not self._is_here(instance_id)]
        if strays:
            now = (await self._store.fetch_patiently("now"))[0]["now"]
            await self._store.fetch_patiently(
                "release", self._owner_id, strays, [now] * len(strays), [None] * len(strays)
            )
        if began >= self._next_look:  # else there is a new doubt
            self._next_look = began + LOOK_SECONDS if began < self._until else math.inf
        return rows

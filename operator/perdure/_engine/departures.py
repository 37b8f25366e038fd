"""Giving instances back: at a stop, when room is needed, when they are paused or another worker has to go on with them.

Who is given back leaves with the moment when its next owner has something to do. What is in memory only, results of
activities that ran while it was paused, is written down before. What was claimed and is no resident yet goes too.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence

from perdure._core import history
from perdure._engine.clock import Clock
from perdure._engine.resident import Resident
from perdure._store.store import Store

__all__ = ["Departures"]


class Departures:
    """The way out of a worker for its residents."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        owner_id: uuid.UUID,
        *,
        residents: dict[str, Resident],
        evict: Callable[[Resident], None],
        on_left: Callable[[], None],
    ) -> None:
        """Release what `owner_id` owns; `evict` forgets a resident, `on_left` tells that others may have work.

        What may still be ours although it was given back is told to `doubt`, which is set by the worker.
        """
        self._store = store
        self._clock = clock
        self._owner_id = owner_id
        self._residents = residents
        self._evict = evict
        self._on_left = on_left
        self.doubt: Callable[[], None]
        self.under_way: set[str] = set()
        self._leaving: dict[str, Resident] = {}
        self._has_leaving = asyncio.Event()

    def leave(self, resident: Resident) -> None:
        """Let it go soon."""
        self._leaving[resident.instance_id] = resident
        self._has_leaving.set()

    def leave_if_suspended(self, resident: Resident) -> None:
        """Let a suspended instance go once nothing of it runs here; what its activities brought is kept."""
        if resident.is_suspended and resident.may_leave:
            self.leave(resident)

    async def run(self) -> None:
        """Let go, for ever, who is to leave."""
        while True:
            await self._has_leaving.wait()
            self._has_leaving.clear()
            residents, self._leaving = list(self._leaving.values()), {}
            results = {resident.instance_id: resident.unwritten for resident in residents}
            await self._keep([resident for resident in residents if resident.may_leave])
            # Meanwhile one may have been resumed, or have got another result: that one stays, or comes here once more.
            await self.release([r for r in residents if r.may_leave and r.unwritten == results[r.instance_id]])
            self._on_left()

    @contextlib.contextmanager
    def going(self, instance_ids: Collection[str]) -> Iterator[None]:
        """Keep these in `under_way` for the block that gives them away."""
        self.under_way.update(instance_ids)
        try:
            yield
        finally:
            self.under_way.difference_update(instance_ids)

    async def release(self, residents: Sequence[Resident]) -> None:
        """Give instances back to whoever comes next.

        They stay in `under_way` until the answer is there: who was claimed anew before would be given back once more by
        the next try, while it runs.
        """
        if not residents:
            return
        now = self._clock.now()
        wake = [resident.wake_at_or_none(now) for resident in residents]
        for resident in residents:
            resident.is_gone = True
        ids = [resident.instance_id for resident in residents]
        turns = [resident.turn for resident in residents]
        with self.going(ids):
            released = await self._store.fetch_patiently("release", self._owner_id, ids, wake, turns)
        for resident in residents:
            self._evict(resident)
        if len(released) < len(residents):
            self.doubt()

    async def release_owned(self, *, but: Sequence[Resident]) -> None:
        """Release all that is ours but these, also what was claimed and is no resident yet."""
        kept = {resident.instance_id for resident in but}
        await self.release([item for item in self._residents.values() if item.instance_id not in kept])
        rows = await self._store.fetch_patiently("owned", self._owner_id)
        strays = [row["instance_id"] for row in rows if row["instance_id"] not in kept]
        if strays:
            wake = len(strays) * [self._clock.now()]
            await self._store.fetch_patiently("release", self._owner_id, strays, wake, len(strays) * [None])

    async def _keep(self, residents: Sequence[Resident]) -> None:
        """Write down the results that are in memory only, for whoever comes next."""
        rows = [
            (
                resident.instance_id,
                resident.execution.identity.execution,
                resident.created_at,
                history.encode_event(result),
            )
            for resident in residents
            for result in resident.unwritten
        ]
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            await self._store.fetch_patiently("inbox_keep", self._owner_id, *columns)

"""The way out of a worker: giving instances back, and putting those on hold that nobody's code can go on with.

They are given back at a stop, when room is needed, when they are paused or another worker has to go on with them. Who
is given back leaves with the moment when its next owner has something to do. What is in memory only, results of
activities that ran while it was paused, is written down before. What was claimed and is no resident yet goes too.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence

import structlog

from perdure import errors
from perdure._core import failure, history, lifecycle, limits
from perdure._engine.clock import Clock
from perdure._engine.resident import Resident
from perdure._store.store import Store

__all__ = ["Departures"]

_log = structlog.get_logger(__name__)
_POISON = "Poison"


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

        What stands below is set by the life: `doubt` hears that something given back may still be ours, `on_held` of an
        instance put on hold, `on_lost` of one that could not be.
        """
        self._store = store
        self._clock = clock
        self._owner_id = owner_id
        self._residents = residents
        self._evict = evict
        self._on_left = on_left
        self.doubt: Callable[[], None]
        self.on_held: Callable[[Resident], None]
        self.on_lost: Callable[[Resident], None]
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

    async def hold(
        self, resident: Resident, error: Exception, *, reason: str = "", is_tried_again: bool = True
    ) -> None:
        """Put an instance on hold with what was expected and what was found; a deploy of right code resumes it.

        It is looked at again now and then, unless that would only run its activities in vain. From now on no turn of it
        is taken here; one that is on its way still stands when it comes before the hold.
        """
        resident.is_gone = True
        failed = failure.of(error)
        reason = reason or _reason_of(error)
        _log.error("instance put on hold", instance=resident.instance_id, reason=reason, error=failed.message)
        with self.going([resident.instance_id]):
            held = await self._store.fetch_patiently(
                "hold",
                self._owner_id,
                resident.instance_id,
                reason,
                lifecycle.encode_failure(failed),
                limits.HOLD_RETRY_SECONDS if is_tried_again and reason != _POISON else None,
                not isinstance(error, errors.PayloadSealedError),
                resident.turn,
            )
            if not held:  # a turn of it was on its way and has landed: whoever takes it up next meets the same
                now = self._clock.now()
                await self._store.fetch_patiently("release", self._owner_id, [resident.instance_id], [now], [None])
        if not held:
            self.on_lost(resident)
            return
        self.on_held(resident)

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


def _reason_of(error: Exception) -> str:
    match error:
        case errors.NondeterminismError():
            return "Nondeterministic"
        case errors.InstancePoisonError():
            return _POISON
        case errors.TurnTooLongError():
            return "Stuck"
        case errors.PayloadSealedError():
            return lifecycle.PAYLOAD_SEALED
        case errors.MessageUnreadableError():
            return "MessageUnreadable"
        case errors.HistoryMissingError():
            return "HistoryMissing"
        case _:
            return "ReplayFailed"

"""A worker's right to own instances: one heartbeat a worker, on a connection of its own.

The same connection listens for wake-ups, so each heartbeat also proves that the listening works. A worker whose
heartbeat finds no row has been taken for dead: it raises `LeaseLost`, evicts everything and starts anew under a new id.

Whoever has a lease reaps those who have none, but only after a whole lease of heartbeats without a gap: when the
database was away, everybody's lease has ended, and the first one back must not take the others for dead.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import uuid
from collections.abc import Callable
from typing import cast

import structlog

from perdure._engine.clock import Clock
from perdure._engine.measures import Measures
from perdure._store.store import Control, Record, Store, is_transient

__all__ = ["Lease", "LeaseLost"]

_log = structlog.get_logger(__name__)
WAKE_CHANNEL = "perdure_wake"
_HEARTBEATS_PER_LEASE = 3
_RECONNECT_SECONDS = 1.0


class LeaseLost(Exception):  # noqa: N818 - a fact about the worker, handled in one place
    """This worker was taken for dead; others own its instances now."""


class Lease:
    """Registers, renews, listens, reaps."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        worker_id: uuid.UUID,
        *,
        seconds: float,
        offers: tuple[list[str], list[str], bool],
        wake: Callable[[], None],
    ) -> None:
        """Hold a lease of `seconds` for `worker_id`, which `offers` (orchestrations, queues, a cluster); `wake` it.

        `on_deadline`, which the life sets, is told in how many seconds the next deadline of an instance comes, and
        `on_reaped` that others were dead.
        """
        self._store = store
        self._clock = clock
        self._worker_id = worker_id
        self._seconds = seconds
        self._offers = offers
        self._wake = wake
        self._is_registered = False
        self._renewed_at: float | None = None
        self._asked_at: float | None = None
        self._unbroken_since = 0.0
        self.registered = asyncio.Event()
        self.on_deadline: Callable[[float], None]
        self.on_reaped: Callable[[], None]
        self.measures = Measures()

    @property
    def is_fresh(self) -> bool:
        """Whether the last heartbeat is younger than the lease."""
        now = asyncio.get_running_loop().time()
        return self._renewed_at is not None and now - self._renewed_at < self._seconds

    @property
    def is_certain(self) -> bool:
        """Whether nobody can have taken this worker for dead: its last heartbeat was sent less than a lease ago."""
        now = asyncio.get_running_loop().time()
        return self._asked_at is not None and now - self._asked_at < self._seconds

    async def run(self) -> None:
        """Keep the lease for ever; raises `LeaseLost`."""
        while True:
            try:
                async with self._store.control("perdure-lease") as control:
                    await self._keep(control)
            except Exception as error:
                if not is_transient(error):
                    raise
                self._store.availability.lost(error, "keep the lease")
                await asyncio.sleep(min(_RECONNECT_SECONDS, self._seconds / _HEARTBEATS_PER_LEASE))

    async def _keep(self, control: Control) -> None:
        await control.listen(WAKE_CHANNEL, self._wake)
        beat = self._seconds / _HEARTBEATS_PER_LEASE
        if not self._is_registered:
            asked_at = asyncio.get_running_loop().time()
            async with asyncio.timeout(beat):
                row = await control.fetchrow(
                    "worker_register", self._worker_id, self._seconds, _description(), *self._offers
                )
            self._note(cast("Record", row)["now"], asked_at)
            self._is_registered = True
            self.registered.set()
        self._wake()  # whatever was notified while nobody listened
        while True:
            asked_at = asyncio.get_running_loop().time()
            async with asyncio.timeout(beat):  # a half-open link must not cost the lease
                row = await control.fetchrow("worker_heartbeat", self._worker_id, self._seconds)
            if row is None or not row["is_alive"]:
                raise LeaseLost
            self._note(row["now"], asked_at)
            if row["has_tasks"]:
                self._wake()
            self._note_deadline(row["next_deadline"], beat)
            if row["has_dead"] and self._may_reap():
                await self._reap(control)
            await asyncio.sleep(beat)

    def _note_deadline(self, next_deadline: datetime.datetime | None, beat: float) -> None:
        """Tell of a deadline that comes before the next heartbeat would."""
        if next_deadline is not None and (seconds := self._clock.seconds_until(next_deadline)) <= beat:
            self.on_deadline(seconds)

    async def _reap(self, control: Control) -> None:
        try:
            async with asyncio.timeout(self._seconds * (1 - 1 / _HEARTBEATS_PER_LEASE)):
                freed = await control.reap()
        finally:
            self.on_reaped()
        if freed:
            self.measures.reaped_instances += len(freed)
            _log.warning("took over from dead workers", instances=len(freed))
            self._wake()

    def _may_reap(self) -> bool:
        """Say whether the others have had as long as this worker to renew their leases."""
        return self._renewed_at is not None and self._renewed_at - self._unbroken_since >= self._seconds

    def _note(self, now: datetime.datetime, asked_at: float) -> None:
        moment = asyncio.get_running_loop().time()
        self._clock.sync(now, took=moment - asked_at)
        if self._renewed_at is None or moment - self._renewed_at >= self._seconds:
            self._unbroken_since = moment
        self._renewed_at, self._asked_at = moment, asked_at
        self._store.availability.regained()


def _description() -> str:
    """Name this process for people who look at the table of workers."""
    return f"{socket.gethostname()}:{os.getpid()}"

"""Trials: who is it that workers die of? Few are under suspicion at a time, so that a death tells something.

Theory of operation. When a worker dies, whatever ran on it may be the reason. Those are suspects: activities with
losses, instances with recoveries. A suspect is tried before it runs like everybody else. While it is on trial the
database says so, and the reaper blames a death on those that were on trial and on nobody beside them (`reap_*.sql`).

Activities: of those that are equally suspect a share of one in sixteen is on trial at once, so each death that one of
them causes leaves a sixteenth of the suspects, until one stands alone and is convicted. The least suspect come first:
they are likely innocent and have work to do. The convicted come before all, each alone: it is quickly known whether
they do it again. Who survives its probation is acquitted and runs on; its next trial lasts twice as long, which finds
out in the end who kills slowly. What was merely found beside a death waits until no trial is going on here: if it is
a killer that nobody has noticed yet, it must not be taken for its neighbour.

Instances: their code is stepped in moments, so it is tried in portions, for the length of the stepping.

Nothing here knows what an attempt or a turn is, or how the database is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from typing import TypeVar

import structlog

from perdure._core import limits
from perdure._engine.attempt import Job

__all__ = ["ActivityTrials", "TurnTrials", "portions"]

_log = structlog.get_logger(__name__)
T = TypeVar("T")
_SHARE = 16
"""So many trials at most for those that are equally suspect; each death leaves one part in so many of them."""

_DOUBLINGS_AT_MOST = 30
"""By then the longest trial is reached; powers of two that no float can hold are not needed."""

_INSTANCES_AT_ONCE = {0: 50, 1: 50, 2: 7}
"""How many instances are tried together, by their recoveries; those with more are tried alone."""


class ActivityTrials:
    """Begins activities that have their slot: at once, or, if workers may have died of them, when it is their turn."""

    def __init__(
        self, mark: Callable[[list[Job]], Awaitable[Collection[Job]]], quiet: Callable[[], Awaitable[object]]
    ) -> None:
        """`mark` puts these on trial and acquits all others; it gives those that are still this worker's.

        `quiet` waits until no instance is about to be tried: a death then tells more.
        """
        self._mark = mark
        self._quiet = quiet
        self._waiting: dict[Job, Callable[[Job], None]] = {}
        self._sizes: dict[int, int] = {}
        self._not_begun: set[Job] = set()
        self._not_over: set[Job] = set()
        self._has_waiting = asyncio.Event()
        self._has_moved = asyncio.Event()
        self._is_going_on = False

    def begin(self, job: Job, begin: Callable[[Job], None]) -> None:
        """Call `begin` with a job that has its slot, as soon as nothing speaks against it or it has been cancelled."""
        if not (job.losses or (job.is_found and (self._waiting or self._is_going_on))):
            begin(job)
            return
        job.on_moved = self._moved
        self._waiting[job] = begin
        self._has_waiting.set()

    async def run(self) -> None:
        """Try whoever comes, for ever."""
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            self._is_going_on = True
            await asyncio.sleep(0)  # let everybody who was found with it come in
            await self._quiet()
            while group := self._next_group():
                await self._try(group)
                await self._quiet()
            await self.acquit()
            self._begin([job for job in self._waiting if not job.losses])

    async def acquit(self) -> None:
        """Let nobody be on trial any more."""
        if self._is_going_on:
            await self._mark([])
            self._is_going_on = False

    def _next_group(self) -> list[Job]:
        """Give who is tried next; nobody when no suspect is left."""
        if convicted := [job for job in self._waiting if job.convictions]:
            return [max(convicted, key=lambda job: job.convictions)]
        levels = {job.losses for job in self._waiting if job.losses}
        self._sizes = {losses: size for losses, size in self._sizes.items() if losses in levels}
        if not levels:
            return []
        peers = [job for job in self._waiting if job.losses == min(levels)]
        size = max(self._sizes.get(min(levels), 1), -(-len(peers) // _SHARE))
        self._sizes[min(levels)] = size
        return peers[:size]

    async def _try(self, group: list[Job]) -> None:
        """Put them on trial, begin, and watch them until their probation or all their attempts are over."""
        ours = set(await self._mark(group))
        for job in group:
            job.is_cancelled = job.is_cancelled or job not in ours
            job.trials += 1
        self._not_begun = {job for job in group if not job.is_cancelled}
        self._not_over = set(self._not_begun)
        self._begin(group)
        doublings = min(max(job.trials for job in group) - 1, _DOUBLINGS_AT_MOST)
        seconds = min(limits.PROBATION_SECONDS * 2**doublings, limits.PROBATION_SECONDS_AT_MOST)
        names = sorted({job.command.name for job in group})
        _log.info("activities on trial, workers may have died of them", count=len(group), names=names, seconds=seconds)
        await self._until(lambda: not self._not_begun)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._until(lambda: not self._not_over)
        for job in group:
            job.convictions = 0

    def _begin(self, jobs: list[Job]) -> None:
        for job in jobs:
            if begin := self._waiting.pop(job, None):
                begin(job)

    def _moved(self, job: Job) -> None:
        """Notice that an attempt has begun or is over, or that nobody wants it any more."""
        self._not_begun.discard(job)
        if job.attempt is None:
            self._not_over.discard(job)
        if job.is_cancelled:
            self._begin([job])  # it has a slot to give back
        self._has_moved.set()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._has_moved.clear()
            await self._has_moved.wait()


class TurnTrials:
    """Says whose code is stepped while it is, for those that owners may have died of. One trial at a time."""

    def __init__(self, say: Callable[[list[str]], Awaitable[object]]) -> None:
        """`say` tells the database whose code is stepped now, and nobody else's is."""
        self._say = say
        self._lock = asyncio.Lock()
        self._expected: set[str] = set()
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    def expect(self, instance_ids: Sequence[str]) -> None:
        """Note that these are about to be tried."""
        self._expected.update(instance_ids)
        if self._expected:
            self._is_quiet.clear()

    def expect_no_longer(self, instance_ids: Sequence[str]) -> None:
        """Note that these have been, or need not be."""
        self._expected.difference_update(instance_ids)
        if not self._expected:
            self._is_quiet.set()

    async def quiet(self) -> None:
        """Wait until nobody is about to be tried."""
        await self._is_quiet.wait()

    @contextlib.asynccontextmanager
    async def of(self, instance_ids: list[str]) -> AsyncIterator[None]:
        """Step the code of these in the block, and nothing else that may kill."""
        async with self._lock:
            try:
                await self._say(instance_ids)
                yield
            finally:
                await self._say([])


def portions(items: Sequence[T], recoveries: Callable[[T], int]) -> Iterator[list[T]]:
    """Put instances together that may be tried together, the least suspect first."""
    for count, equals in itertools.groupby(sorted(items, key=recoveries), recoveries):
        peers, size = list(equals), _INSTANCES_AT_ONCE.get(count, 1)
        yield from (peers[start : start + size] for start in range(0, len(peers), size))

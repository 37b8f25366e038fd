"""Shows in the status of signal resources what became of them, and deletes those that asked for it.

It knows the facts of the store, `signal_status.build` and who writes; it must not know how a signal is delivered.

Theory of operation. The store knows which statuses are behind: one query finds them, after news, and the clock of
whoever delivers tells of those that were left behind, so nothing is lost with this process. What was written is
remembered with the revision that it shows. A signal that waits is shown after a second, so that most are written once.
They are written behind the statuses of runs, a few at a time: a thousand signals do not keep runs from being shown.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import structlog

from perdure import errors
from perdure._core.activity import Preconditions
from perdure._kube import signal_status
from perdure._kube.api import base
from perdure._kube.api.orchestration_signal import KIND
from perdure._kube.client import Api
from perdure._kube.status_writer import REFUSED_SECONDS, Away, Gone, OnWritten, Refused, StatusWriter, Taken
from perdure._store.signal_resources import Shown, SignalFact, SignalResources
from perdure._store.store import Availability, retrying

__all__ = ["Showing"]

_log = structlog.get_logger(__name__)

_PAGE = 200
_WRITES_AT_ONCE = 4
_SETTLED_SECONDS = 1.1
"""After news there is another look: what still waits then is shown."""


class Showing:
    """The loop that writes statuses. `on_missing(uid, namespace, name)` is told when there is no such resource.

    `on_written` is told which status stood there before and which does now.
    """

    def __init__(
        self,
        table: SignalResources,
        api: Api,
        *,
        writer: StatusWriter,
        availability: Availability,
        on_missing: Callable[[UUID, str, str], None],
        on_written: OnWritten,
    ) -> None:
        self._table = table
        self._api = api
        self._writer = writer
        self._availability = availability
        self._on_missing = on_missing
        self._on_written = on_written
        self._wake = asyncio.Event()
        self._not_before: dict[UUID, float] = {}
        self.writes = 0

    def news(self) -> None:
        """Have a look soon."""
        self._wake.set()

    async def run(self, namespaces: Sequence[str]) -> None:
        """Show for ever; the way out is to cancel the task."""
        has_news = True
        while True:
            await self._show(namespaces)
            await self._remove_expired(namespaces)
            has_news = await self._wait(_SETTLED_SECONDS if has_news else None)

    async def _wait(self, seconds: float | None) -> bool:
        """Wait for news, at most for so long, or for the API server to be left alone; tell whether there were news."""
        away = self._writer.away_seconds
        if away > 0:
            await asyncio.sleep(away)
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _show(self, namespaces: Sequence[str]) -> None:
        """Write the statuses that are behind, page by page."""
        after = UUID(int=0)
        self._not_before = {uid: moment for uid, moment in self._not_before.items() if moment > _now()}
        while not self._writer.away_seconds:
            page = await retrying(
                functools.partial(self._table.unshown, namespaces, after=after, at_most=_PAGE),
                doing="reading what became of signals",
                availability=self._availability,
            )
            free = asyncio.Semaphore(_WRITES_AT_ONCE)
            due = [fact for fact in page if fact.uid not in self._not_before]
            shown = await asyncio.gather(*(self._show_one(fact, free) for fact in due))
            await self._remember([one for one in shown if one is not None])
            if len(page) < _PAGE:
                return
            after = page[-1].uid

    async def _remember(self, shown: Sequence[Shown]) -> None:
        if shown:
            await retrying(
                lambda: self._table.shown(shown), doing="remembering statuses", availability=self._availability
            )

    async def _show_one(self, fact: SignalFact, free: asyncio.Semaphore) -> Shown | None:
        """Build one status and write it if it says something new; None when it could not be written."""
        previous = None if fact.status is None else msgspec.json.decode(fact.status)
        built = signal_status.build(fact, previous, now=datetime.now(UTC))
        shown = Shown(fact.uid, fact.revision, msgspec.json.encode(built))
        if built == previous:
            return shown
        about = base.Reference(KIND, fact.namespace, fact.name, fact.uid)
        async with free:
            outcome = await self._writer.write_behind(about, built)
        match outcome:
            case Taken():
                self.writes += 1
                self._on_written(about, previous, built)
                return shown
            case Gone():
                self._on_missing(fact.uid, fact.namespace, fact.name)
            case Refused():
                self._not_before[fact.uid] = _now() + REFUSED_SECONDS
            case Away():
                pass  # the loop waits for as long as nothing is written
        return None

    async def _remove_expired(self, namespaces: Sequence[str]) -> None:
        """Delete what asked for it; the end of each comes back as any other's."""
        expired = await retrying(
            lambda: self._table.expired(namespaces), doing="looking for old signals", availability=self._availability
        )
        for uid, namespace, name in expired:
            if uid in self._not_before:
                continue
            try:
                only = Preconditions(str(uid))
                if not await self._api.delete(base.API_VERSION, KIND, name, namespace=namespace, preconditions=only):
                    self._on_missing(uid, namespace, name)
            except errors.KubernetesUnavailableError as error:
                self._writer.lost(error, "deleting a signal")
                return
            except errors.KubernetesApiError as error:
                _log.error("signal cannot be deleted", resource=f"{namespace}/{name}", error=str(error))
            self._not_before[uid] = _now() + REFUSED_SECONDS


def _now() -> float:
    return asyncio.get_running_loop().time()

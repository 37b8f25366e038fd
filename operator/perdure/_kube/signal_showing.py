"""Shows in the status of signal resources what became of them, and deletes those that asked for it.

It knows the facts of the store, `signal_status.build` and two API calls; it must not know how a signal is delivered.

Theory of operation. The store knows which statuses are behind: one query finds them, after news, and the clock of
whoever delivers tells of those that were left behind, so nothing is lost with this process. A write is a JSON patch
that tests the uid; what was written is remembered with the revision that it shows. A signal that waits is shown after a
second, so that most are written once. The writes share the bucket of the projector, a few at a time, so that a thousand
signals do not keep the runs from being shown.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import structlog
from pydantic import JsonValue

from perdure import errors
from perdure._core.activity import Preconditions
from perdure._kube import budget, signal_status
from perdure._kube.api import base
from perdure._kube.api.orchestration_signal import KIND
from perdure._kube.client import Api
from perdure._kube.reach import Reach
from perdure._store.signal_resources import Shown, SignalFact, SignalResources
from perdure._store.store import Availability, retrying

__all__ = ["Showing"]

_log = structlog.get_logger(__name__)

_PAGE = 200
_WRITES_AT_ONCE = 4
_SETTLED_SECONDS = 1.1
"""After news there is another look: what still waits then is shown."""
_REFUSED_SECONDS = 30.0
"""After an answer that only somebody else can change (no right, a CRD of another release)."""
_FIRST_PAUSE_SECONDS = 1.0


class Showing:
    """The loop that writes statuses. `on_missing(uid, namespace, name)` is told when there is no such resource."""

    def __init__(
        self,
        table: SignalResources,
        api: Api,
        *,
        bucket: budget.TokenBucket,
        reach: Reach,
        availability: Availability,
        on_missing: Callable[[UUID, str, str], None],
    ) -> None:
        self._table = table
        self._api = api
        self._bucket = bucket
        self._reach = reach
        self._availability = availability
        self._on_missing = on_missing
        self._wake = asyncio.Event()
        self._not_before: dict[UUID, float] = {}
        self._away_until = 0.0
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
        away = self._away_until - _now()
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
        while self._away_until <= _now():
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
        async with free:
            if self._away_until > _now():
                return None
            await self._bucket.take_behind()
            return shown if await self._write(fact, built) else None

    async def _write(self, fact: SignalFact, built: dict[str, JsonValue]) -> bool:
        """Write one status; tell whether it is done with."""
        patch: list[JsonValue] = [
            {"op": "test", "path": "/metadata/uid", "value": str(fact.uid)},
            {"op": "add", "path": "/status", "value": built},
        ]
        try:
            written = await self._api.json_patch(
                base.API_VERSION, KIND, name=fact.name, namespace=fact.namespace, patch=patch, subresource="status"
            )
        except errors.KubernetesPatchTestError:
            written = None  # another resource of that name: ours is gone
        except errors.KubernetesApiError as error:
            self._failed(fact, error)
            return False
        self._reach.regained()
        if written is None:
            self._on_missing(fact.uid, fact.namespace, fact.name)
            return False
        self.writes += 1
        return True

    def _failed(self, fact: SignalFact, error: errors.KubernetesApiError) -> None:
        """Try again later: all of them when the server is away, else this one."""
        if isinstance(error, errors.KubernetesUnavailableError):
            self._reach.lost(error, "writing the status of a signal")
            self._away_until = _now() + max(error.retry_after_seconds, _FIRST_PAUSE_SECONDS)
            return
        _log.error("status of a signal refused", resource=f"{fact.namespace}/{fact.name}", error=str(error))
        self._not_before[fact.uid] = _now() + _REFUSED_SECONDS

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
                self._reach.lost(error, "deleting a signal")
                return
            except errors.KubernetesApiError as error:
                _log.error("signal cannot be deleted", resource=f"{namespace}/{name}", error=str(error))
            self._not_before[uid] = _now() + _REFUSED_SECONDS


def _now() -> float:
    return asyncio.get_running_loop().time()

"""The controller role: watch, ingest, sweep, and the look behind the projector. Any number may run without harm.

It knows the order in which these begin and what to do when the API server is away; the work is done in `observer`,
`ingest`, `sweep` and `projector`. It must not know workers or the engine.

Theory of operation. The watch begins when the resource is served (kopf would wait for ever for one that is not). Each
begin of a watch asks for a sweep, since what happened before is told by nobody; so does the clock. A sweep that fails
is repeated with pauses. Every few seconds one cheap query finds runs whose status was not written: by a worker that
died between its commit and its write, or because nobody owns them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from perdure import errors
from perdure._core.activity import Manifest
from perdure._kube import ingest
from perdure._kube.observer import Configure, Observer
from perdure._kube.preparation import Preparation
from perdure._kube.projector import Projector
from perdure._kube.reach import Reach
from perdure._kube.sweep import Sweep
from perdure._store.store import Availability, is_transient, retrying

__all__ = ["STALE_SECONDS", "Controller"]

_log = structlog.get_logger(__name__)

STALE_SECONDS = 20.0
"""How long a status may lag behind its run after the worst crash."""

_SETTLE_SECONDS = 1.0
_QUIET_SECONDS = 0.1
"""A new watch tells first what it has listed: the sweep lets it, until it is quiet for a moment, and finds the rest."""
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 5.0
_AFTER_OUTAGE_SECONDS = 30.0
"""By then kopf has found the API server again too; what was deleted in between is found by a second sweep."""
_DEAF_SWEEPS = 2
"""A watch that lets so many sweeps by the clock in a row find news is deaf, whatever it says of itself."""

T = TypeVar("T")


class Controller:
    """The loops of the role: `watch`, `sweep` and `look_behind`, run side by side by whoever supervises them."""

    def __init__(
        self, queue: Preparation, sweep: Sweep, *, projector: Projector, reach: Reach, availability: Availability
    ) -> None:
        self._queue = queue
        self._sweep = sweep
        self._projector = projector
        self._reach = reach
        self._availability = availability
        self._sweep_wanted = asyncio.Event()
        self._told = 0
        self._complaint = ""
        self.observer: Observer | None = None
        self.has_swept = False
        reach.on_regained.append(self._api_server_is_back)

    async def watch(self, configure: Configure, namespaces: list[str]) -> None:
        """Watch for ever."""
        self.observer = Observer(
            configure,
            namespaces=namespaces,
            before_start=self._wait_served,
            on_event=self.saw,
            on_started=self._sweep_wanted.set,
        )
        await self.observer.run()

    async def sweep(self, every_seconds: float) -> None:
        """Sweep when the watch began, and by the clock, for ever."""
        await self._sweep_wanted.wait()
        deaf = 0
        by_clock = False
        while True:
            self._sweep_wanted.clear()
            await self._settle()
            await self._queue.wait_idle()
            found = await self._patiently(self._sweep.run_once, doing="sweep")
            self.has_swept = True
            deaf = deaf + 1 if by_clock and found else 0
            if deaf >= _DEAF_SWEEPS and self.observer is not None:
                _log.warning("the watch tells nothing, beginning another", sweeps=deaf)
                self.observer.restart()
            by_clock = not await self._wait_wanted(every_seconds)

    async def _settle(self) -> None:
        """Return when the watch tells nothing new for a moment; a busy one is not waited for longer than a second."""
        now = asyncio.get_running_loop().time
        end, told = now() + _SETTLE_SECONDS, -1
        while told != self._told and now() < end:
            told = self._told
            await asyncio.sleep(_QUIET_SECONDS)

    async def _wait_wanted(self, seconds: float) -> bool:
        """Wait until a sweep is asked for, or for so long; tell whether it was asked for."""
        try:
            async with asyncio.timeout(seconds):
                return await self._sweep_wanted.wait()
        except TimeoutError:
            return False

    def _api_server_is_back(self) -> None:
        """What changed while the API server was away, and until the watch is there again, was told to nobody."""
        self._sweep_wanted.set()
        asyncio.get_running_loop().call_later(_AFTER_OUTAGE_SECONDS, self._sweep_wanted.set)

    async def look_behind(self, namespaces: list[str]) -> None:
        """Find what is not shown, now and every few seconds, for ever."""
        while True:
            await retrying(
                lambda: self._projector.sweep(namespaces),
                doing="looking for statuses that lag",
                availability=self._availability,
            )
            await asyncio.sleep(STALE_SECONDS)

    def saw(self, kind: str | None, manifest: Manifest) -> None:
        """Take in what the watch tells."""
        self._told += 1
        sight = ingest.seen(manifest)
        if kind == "DELETED":
            sight = ingest.gone(sight.uid, namespace=sight.namespace, name=sight.name)
        self._queue.add(sight)

    async def _wait_served(self) -> None:
        """Wait until the API server answers and serves our resource."""
        await self._patiently(self._sweep.probe, doing="look for the resource Orchestration")

    async def _patiently(self, operation: Callable[[], Awaitable[T]], *, doing: str) -> T:
        """Repeat until it succeeds; say once what is wrong."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                result = await operation()
            except errors.KubernetesUnavailableError as error:
                self._reach.lost(error, doing)
            except errors.KubernetesApiError as error:
                self._reach.regained()
                self._complain(doing, error)
            except Exception as error:  # is_transient names them; everything else passes through
                if not is_transient(error):
                    raise
                self._availability.lost(error, doing)
            else:
                self._reach.regained()
                self._complaint = ""
                return result
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _complain(self, doing: str, error: errors.KubernetesApiError) -> None:
        if self._complaint != str(error):
            self._complaint = str(error)
            _log.error("the API server refuses, trying again", doing=doing, error=self._complaint)

    @property
    def why_not_ready(self) -> str:
        """Why resources may go unseen at present; empty while none does."""
        if self._complaint:
            return self._complaint
        if self.observer is None or not self.observer.is_running:
            return "the watch has not begun" if self.observer is None else self.observer.last_error
        return "" if self.has_swept else "the first comparison with the cluster is under way"

"""One kind of resources, followed for as long as the controller lives: a watch, and sweeps that find what it missed.

It knows the order in which these begin, and what to do when the API server is away or does not have the kind; the work
is done in `observer` and `sweep`. It must not know what a resource means.

Theory of operation. The watch begins when the kind is served (kopf would never look for it again). Each begin of a
watch asks for a sweep, since what happened before is told by nobody; so does the clock. A sweep that fails is repeated
with pauses. A CRD that is taken away ends the watch of its kind; resources that nobody saw go with it are taken for
deleted when the kind is there again and the API server says so, not before. A watch from before a restored backup asks
for what comes after a version that is still to come, and would hear nothing until then: it is begun again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID

import structlog

from perdure import errors
from perdure._core.activity import Manifest
from perdure._kube.kinds import Kind, Loop
from perdure._kube.observer import Configure, Observer
from perdure._kube.reach import Reach
from perdure._kube.sweep import Sweep
from perdure._store.store import Availability, is_transient

__all__ = ["Following"]

_log = structlog.get_logger(__name__)

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


class Following:
    """The loops of one kind, run side by side by whoever supervises them."""

    def __init__(self, kind: Kind, sweep: Sweep, *, reach: Reach, availability: Availability) -> None:
        self.kind = kind
        self._sweep = sweep
        self._reach = reach
        self._availability = availability
        self._sweep_wanted = asyncio.Event()
        self._told = 0
        self._complaint = ""
        self._observer: Observer | None = None
        self._has_swept = False
        reach.on_regained.append(self._api_server_is_back)

    def loops(self, configure: Configure, namespaces: Sequence[str], *, sweep_seconds: float) -> Iterator[Loop]:
        """Give the loops by name: those that the kind brings, then those that feed them."""
        yield from self.kind.loops
        yield f"watch {self.kind.plural}", lambda: self._watch(configure, namespaces)
        yield f"sweep {self.kind.plural}", lambda: self._sweep_for_ever(sweep_seconds)

    async def _watch(self, configure: Configure, namespaces: Sequence[str]) -> None:
        """Watch for ever."""
        self._observer = Observer(
            self.kind.plural,
            configure,
            namespaces=namespaces,
            before_start=self._wait_served,
            on_event=self._saw,
            on_started=self._sweep_wanted.set,
        )
        await self._observer.run()

    async def _sweep_for_ever(self, every_seconds: float) -> None:
        """Sweep when the watch began, and by the clock, for ever."""
        self._has_swept = False
        await self._sweep_wanted.wait()
        deaf = 0
        by_clock = False
        while True:
            self._sweep_wanted.clear()
            await self._settle()
            await self.kind.intake.wait_idle()
            found = await self._patiently(self._sweep.run_once, doing="sweep")
            self._has_swept = True
            if self._sweep.has_gone_back and self._observer is not None:
                _log.warning("the API server was restored from a backup, beginning another watch", kind=self.kind.name)
                self._observer.restart()
            deaf = deaf + 1 if by_clock and found else 0
            if deaf >= _DEAF_SWEEPS and self._observer is not None:
                _log.warning("the watch tells nothing, beginning another", kind=self.kind.name, sweeps=deaf)
                self._observer.restart()
            by_clock = not await self._wait_wanted(every_seconds)

    @property
    def restarts(self) -> int:
        """How often the watch was begun again."""
        return 0 if self._observer is None else self._observer.restarts

    @property
    def sweeps(self) -> int:
        """How many comparisons there were."""
        return self._sweep.runs

    @property
    def why_not_ready(self) -> str:
        """Why resources of this kind may go unseen at present; empty while none does."""
        if self._complaint:
            return self._complaint
        if self._observer is None or not self._observer.is_running:
            return "the watch has not begun" if self._observer is None else self._observer.last_error
        return "" if self._has_swept else "the first comparison with the cluster is under way"

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

    def _saw(self, type: str | None, manifest: Manifest) -> None:
        """Take in what the watch tells."""
        self._told += 1
        metadata = manifest["metadata"]
        if type == "DELETED" and isinstance(metadata, dict):
            uid, namespace, name = (str(metadata[field]) for field in ("uid", "namespace", "name"))
            self.kind.intake.gone(UUID(uid), namespace=namespace, name=name)
        else:
            self.kind.intake.seen(manifest)

    async def _wait_served(self) -> None:
        """Wait until the API server answers and serves our kind."""
        await self._patiently(self._sweep.probe, doing="look for the kind")

    async def _patiently(self, operation: Callable[[], Awaitable[T]], *, doing: str) -> T:
        """Repeat until it succeeds; say once what is wrong, and once that it is over."""
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
                self._content()
                return result
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _complain(self, doing: str, error: errors.KubernetesApiError) -> None:
        if self._complaint != str(error):
            self._complaint = str(error)
            _log.error("the API server refuses, trying again", kind=self.kind.name, doing=doing, error=self._complaint)

    def _content(self) -> None:
        if self._complaint:
            self._complaint = ""
            _log.info("the API server no longer refuses", kind=self.kind.name)

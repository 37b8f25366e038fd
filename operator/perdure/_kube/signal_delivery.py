"""Delivers signals that were asked for by a resource, as soon as there is a run to take them.

It knows which signals wait and how to read a payload as the run that it is for; the exactly-once is the store's. It
must not know how a signal came to be known, nor how a status looks.

Theory of operation. A signal is tried when it is first seen, when a run of its Orchestration begins, and by a slow
clock, which asks in one query whether any may get further now: nothing is polled a resource. The same query wakes
whoever shows statuses, so that idle signals cost one statement a half minute; while there is none that waits or will
expire, one in five minutes: what comes is told. Signals go in batches, one transaction each, the older before the
younger also across batches. One whose payload stands in a ConfigMap comes back from its transaction with the run that
it is for; the ConfigMap is read as that run's ServiceAccount (I13), beside the loop, and the signal is tried again with
what was read, which is good for that run alone.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
import operator
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from uuid import UUID

import structlog

from perdure import errors
from perdure._core import limits
from perdure._core.activity import Manifest
from perdure._kube import signal_sights
from perdure._kube.identity import Identities
from perdure._store.signal_resources import Body, SignalResources, Unread, Waiting
from perdure._store.store import Availability, is_transient, retrying

__all__ = ["Delivery"]

_log = structlog.get_logger(__name__)

_BATCH = 200
_PAGE = 1_000
_LOOK_SECONDS = 30.0
_IDLE_LOOK_SECONDS = 300.0
"""The same while no signal waits or will expire: then only another controller could have left one undone."""
_BRISK_LOOK_SECONDS = 2.5
_BRISK_SECONDS = 30.0
"""So long after something was tried in vain looks come more often: it may be a matter of moments. The pauses between
two tries of one signal are the store's, and grow."""
_HEARD_LOOK_SECONDS = 1.0
"""So long there is between two looks at least, however often runs begin and end."""
_READS_AT_ONCE = 8


class Delivery:
    """The signals to be tried, and the loop that tries them; `on_decided` is called when a status has news."""

    def __init__(
        self,
        table: SignalResources,
        identities: Identities,
        *,
        availability: Availability,
        on_decided: Callable[[], None],
    ) -> None:
        self._table = table
        self._identities = identities
        self._availability = availability
        self._on_decided = on_decided
        self._queue: dict[UUID, Waiting] = {}
        self._is_in_order = True
        self._begun: set[str] = set()
        self._bodies: dict[UUID, Body] = {}
        self._reading: dict[UUID, asyncio.Task[None]] = {}
        self._may_read = asyncio.Semaphore(_READS_AT_ONCE)
        self._wake = asyncio.Event()
        self._look_at = 0.0
        self._looked_at = 0.0
        self._brisk_until = 0.0
        self._is_idle = False
        self._has_arrived = False
        self.delivered = 0

    @property
    def backlog(self) -> int:
        """How many signals are about to be tried."""
        return len(self._queue)

    def arrived(self, signals: Sequence[Waiting]) -> None:
        """Try these soon. None at all: nobody knows which, so look."""
        self._line_up(signal for signal in signals if signal.waits)
        self._has_arrived = True
        if self._is_idle or not signals:
            self._look_at = 0.0  # from now on the clock may have something to do
        self._wake.set()
        self._on_decided()

    def begun(self, instance_ids: Iterable[str]) -> None:
        """Try soon what waits for these runs."""
        self._begun.update(instance_ids)
        self._wake.set()

    def heard(self) -> None:
        """Some run may have begun, in whichever process: look soon, if any signal waits."""
        if not self._is_idle:
            self._look_at = min(self._look_at, max(_now(), self._looked_at + _HEARD_LOOK_SECONDS))
            self._wake.set()

    async def run(self, namespaces: Sequence[str]) -> None:
        """Deliver for ever; the way out is to cancel the task, which leaves what waits to the next look."""
        self._look_at = _now()
        try:
            while True:
                if _now() >= self._look_at:
                    self._has_arrived, self._looked_at, self._look_at = False, _now(), math.inf
                    await self._look(namespaces)
                    self._is_idle = self._is_idle and not self._has_arrived  # what came meanwhile, it has not seen
                    self._look_at = min(self._look_at, _now() + self._pause())
                await self._find_begun()
                while self._queue:
                    await self._deliver(self._next_batch())
                await self._wait(self._look_at - _now())
        finally:
            for task in self._reading.values():
                task.cancel()

    def _pause(self) -> float:
        if _now() < self._brisk_until:
            return _BRISK_LOOK_SECONDS
        return _IDLE_LOOK_SECONDS if self._is_idle else _LOOK_SECONDS

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _look(self, namespaces: Sequence[str]) -> None:
        """Find what may get further now, and have shown what is not."""
        due = await retrying(
            lambda: self._table.due(namespaces), doing="looking at signals", availability=self._availability
        )
        self._is_idle = not (due.may_go or due.is_behind or due.has_more)
        if due.is_behind:
            self._on_decided()
        after = UUID(int=0)
        while due.may_go:
            page = await self._patiently(functools.partial(self._table.waiting, namespaces, after=after, at_most=_PAGE))
            self._line_up(page)
            if len(page) < _PAGE:
                return
            after = page[-1].uid

    async def _find_begun(self) -> None:
        """Find what waits for the runs that have begun."""
        while self._begun:
            begun, self._begun = self._begun, set()
            found = await self._patiently(functools.partial(self._table.for_runs, sorted(begun)))
            self._line_up(found)

    async def _patiently(self, look: Callable[[], Awaitable[list[Waiting]]]) -> list[Waiting]:
        return await retrying(look, doing="looking for signals that wait", availability=self._availability)

    def _line_up(self, signals: Iterable[Waiting]) -> None:
        """Have these tried, each in its place."""
        self._queue.update({signal.uid: signal for signal in signals})
        self._is_in_order = False

    def _next_batch(self) -> list[Waiting]:
        """Take off the queue what goes into one transaction, the older first: always one, whatever it weighs."""
        if not self._is_in_order:
            self._queue = {one.uid: one for one in sorted(self._queue.values(), key=operator.attrgetter("place"))}
            self._is_in_order = True
        batch: list[Waiting] = []
        weight = 0
        for signal in itertools.islice(self._queue.values(), _BATCH):
            body = self._bodies.get(signal.uid)
            weight += signal.size_bytes + len((body and body.message) or b"")
            if batch and weight > limits.TURN_BYTES:
                break
            batch.append(signal)
        for signal in batch:
            del self._queue[signal.uid]
        return batch

    async def _deliver(self, batch: list[Waiting]) -> None:
        """Try these; what the database refuses is found by halving, and its neighbours are delivered."""
        tried = {signal.uid: signal for signal in batch}
        bodies = {uid: self._bodies.pop(uid) for uid in tried if uid in self._bodies}
        try:
            came_to = await retrying(
                lambda: self._table.deliver(list(tried), bodies),
                doing="delivering signals",
                availability=self._availability,
            )
        except Exception as error:  # whatever the database refuses; what is transient was waited out
            if is_transient(error):
                raise
            self._bodies |= bodies
            await self._divide(batch, error)
            return
        self._line_up(tried[uid] for uid in came_to.again)
        self._read([one for one in came_to.unread if one.uid not in self._reading], tried)
        if any(fate.phase == "Pending" and fate.reason != "RunMissing" for fate in came_to.fates):
            self._brisk_until = _now() + _BRISK_SECONDS
            self._look_at = min(self._look_at, _now() + self._pause())
        self.delivered += sum(fate.phase == "Delivered" for fate in came_to.fates)
        if len(came_to.unread) + len(came_to.again) < len(tried):
            self._on_decided()  # of what nothing is said was decided before, perhaps by a try whose answer was lost

    async def _divide(self, batch: list[Waiting], error: Exception) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._deliver(batch[:middle])
            await self._deliver(batch[middle:])
            return
        self._bodies.pop(batch[0].uid, None)
        _log.error(
            "signal cannot be delivered, trying again", uid=str(batch[0].uid), error=f"{type(error).__name__}: {error}"
        )

    def _read(self, unread: Sequence[Unread], tried: Mapping[UUID, Waiting]) -> None:
        """Begin to read payloads: those of one ConfigMap and one identity at once."""
        for _, group in itertools.groupby(sorted(unread, key=_source), key=_source):
            together = list(group)
            task = asyncio.create_task(self._read_one(together, tried))
            self._reading.update({one.uid: task for one in together})

    async def _read_one(self, together: Sequence[Unread], tried: Mapping[UUID, Waiting]) -> None:
        """Read one ConfigMap, and have the signals tried again with what it says."""
        first = together[0]
        found: Manifest | errors.PerdureError | None
        try:
            async with self._may_read:
                kubernetes = self._identities.for_run(first.run_as)
                found = await kubernetes.get("v1", "ConfigMap", first.config_map, namespace=first.namespace)
        except errors.KubernetesUnavailableError:
            return  # the clock tries again
        except errors.PerdureError as error:
            found = error
        finally:
            for one in together:
                self._reading.pop(one.uid, None)
        for one in together:
            self._bodies[one.uid] = _body(one, found)
        self._line_up(tried[one.uid] for one in together)
        self._wake.set()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _source(unread: Unread) -> tuple[str, str, str]:
    return unread.run_as, unread.namespace, unread.config_map


def _body(unread: Unread, found: Manifest | errors.PerdureError | None) -> Body:
    """Make the message of what was found in place of the ConfigMap."""
    if isinstance(found, errors.PerdureError):
        return Body(unread.instance_id, None, "PayloadUnreadable", f"{found.code}: {found.message}")
    if found is None:
        return Body(unread.instance_id, None, "PayloadMissing", f"ConfigMap {unread.config_map} does not exist.")
    data = found.get("data")
    value = data.get(unread.config_key) if isinstance(data, dict) else None
    if value is None:
        detail = f"ConfigMap {unread.config_map} has no key {unread.config_key} in its data."
        return Body(unread.instance_id, None, "PayloadMissing", detail)
    try:
        return Body(unread.instance_id, signal_sights.message(unread.signal, value))
    except errors.PerdureError as error:
        return Body(unread.instance_id, None, "PayloadInvalid", f"{error.code}: {error.message}")

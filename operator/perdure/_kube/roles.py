"""The roles of a process, wired to one store and one API server, begun in order, supervised, and ended in order.

It knows which loop needs which; the work is theirs. It must not know how a process begins (settings, signals, HTTP).

Theory of operation. Ingest begins first, then the worker, then, once the worker is known to the database, the
projector (else it would call runs unrunnable that this very process can run), then the controller. A loop that ends by
an error is logged and begun again. At the end the controller stops first, so that nothing new comes in; the worker
gives its runs back; the projector shows what it still can for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from uuid import UUID

import structlog
from kubernetes.aio import client as kube

from perdure import errors
from perdure._core.definition import ActivityRegistry, OrchestrationRegistry
from perdure._engine.worker import Worker, WorkerSettings
from perdure._kube import access, budget, identity, ingest, metrics
from perdure._kube.client import Api
from perdure._kube.controller import Controller
from perdure._kube.health import Health, Need
from perdure._kube.projector import Projector
from perdure._kube.reach import Reach
from perdure._kube.sweep import Sweep
from perdure._store.resources import Resources
from perdure._store.store import Store
from perdure.settings import Settings

__all__ = ["Offered", "Roles"]

_log = structlog.get_logger(__name__)

Offered = tuple[OrchestrationRegistry, ActivityRegistry]

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_PROBE_SECONDS = 15.0
_LAST_WRITES_SECONDS = 2.0
_LOOK_SECONDS = 0.05


class Roles:
    """The loops of this process. `offered` is what its worker runs; None without the role."""

    def __init__(self, settings: Settings, store: Store, *, api: Api, reach: Reach, offered: Offered | None) -> None:
        self._settings = settings
        self._store = store
        self._reach = reach
        self._namespaces = list(settings.namespaces)
        resources = Resources(store.pool, store.sealing)
        availability = store.availability
        rate = settings.status_writes_per_second
        self._projector = Projector(
            resources,
            api,
            availability=availability,
            reach=reach,
            bucket=budget.TokenBucket(rate, max(1, int(2 * rate))),
            on_missing=self._missing,
        )
        self._queue = ingest.Ingest(resources, availability=availability, on_news=self._projector.ingested)
        self._sweep = Sweep(api, resources, queue=self._queue, namespaces=settings.namespaces)
        self._controller: Controller | None = None
        if "controller" in settings.roles:
            self._controller = Controller(
                self._queue, self._sweep, projector=self._projector, reach=reach, availability=availability
            )
        self._worker = None if offered is None else self._make_worker(offered, identity.Identities(api))
        self._confirming: set[asyncio.Task[None]] = set()
        self._crashes = 0

    def _make_worker(self, offered: Offered, identities: identity.Identities) -> Worker:
        chosen = WorkerSettings(
            lease_seconds=self._settings.lease_seconds,
            poll_seconds=self._settings.poll_seconds,
            max_instances=self._settings.max_instances,
            max_activities=self._settings.max_activities,
            cancel_grace_seconds=self._settings.cancel_grace_seconds,
            keep_executions=self._settings.keep_executions,
            retention_seconds=self._settings.retention_seconds,
            queues=self._settings.queues,
        )
        return Worker(
            self._store,
            *offered,
            settings=chosen,
            kubernetes=identities.for_run,
            on_commit=self._projector.committed,
        )

    def report(self, health: Health, registry: metrics.Registry) -> None:
        """Say what readiness and metrics are made of."""
        registry.add(self._readings)
        worker, controller, projector = self._worker, self._controller, self._projector
        health.add("status writes", lambda: Need(not projector.why_not_writing, projector.why_not_writing))
        if worker is not None:
            health.add(
                "worker", lambda: Need(worker.is_ready, "" if worker.is_ready else "the worker has no lease yet")
            )
            health.add_vital("worker", lambda: Need(self._is_worker_alive(), "the database answers, the lease is lost"))
        if controller is not None:
            health.add("resources", lambda: Need(not controller.why_not_ready, controller.why_not_ready))

    async def run(self, stop: asyncio.Event) -> None:
        """Run all loops until `stop`, then end them in order."""
        showing = [asyncio.create_task(self._supervised("ingest", self._queue.run))]
        working: list[asyncio.Task[None]] = []
        controlling: list[asyncio.Task[None]] = []
        try:
            if self._worker is not None:
                working.append(asyncio.create_task(self._work(self._worker, stop)))
                await _until(lambda: self._worker is None or self._worker.is_ready or stop.is_set())
            showing.append(asyncio.create_task(self._supervised("projector", self._projector.run)))
            showing.append(asyncio.create_task(self._supervised("probe", self._probe)))
            controlling += [asyncio.create_task(loop) for loop in self._control()]
            await stop.wait()
        finally:
            await _end(controlling)
            await asyncio.gather(*working)
            await self._show_the_last()
            await _end([*showing, *self._confirming])

    def _control(self) -> Iterator[Coroutine[None, None, None]]:
        controller = self._controller
        if controller is None:
            return
        yield self._supervised("watch", lambda: controller.watch(_configure, self._namespaces))
        yield self._supervised("sweep", lambda: controller.sweep(self._settings.sweep_seconds))
        yield self._supervised("look behind", lambda: controller.look_behind(self._namespaces))

    async def _work(self, worker: Worker, stop: asyncio.Event) -> None:
        """Run the worker to its own end."""
        pause = _FIRST_PAUSE_SECONDS
        while not stop.is_set():
            try:
                await worker.run(stop)
            except Exception:  # noqa: BLE001 - a border: whatever ended the worker, its lease ends too, and another life begins
                self._crashes += 1
                _log.exception("loop ended, beginning again", loop="worker", pause_seconds=pause)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stop.wait()
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _supervised(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a loop that never ends by itself, again and again."""
        now = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE_SECONDS
        while True:
            began = now()
            try:
                await loop()
            except Exception:  # noqa: BLE001 - a border: one loop's fault must not end the others
                self._crashes += 1
                _log.exception("loop ended, beginning again", loop=name, pause_seconds=pause)
            if now() - began > _STEADY_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _probe(self) -> None:
        """Ask the API server now and then, for ever: an idle process would not notice that it is away."""
        while True:
            try:
                await self._sweep.probe()
            except errors.KubernetesUnavailableError as error:
                self._reach.lost(error, "asking whether it is there")
            except errors.KubernetesApiError:
                self._reach.regained()  # it answers; who needs the answer complains
            else:
                self._reach.regained()
            await asyncio.sleep(_PROBE_SECONDS)

    def _missing(self, uid: UUID, namespace: str, name: str) -> None:
        """The projector found no resource of that uid: have somebody look."""
        task = asyncio.create_task(self._confirm(uid, namespace, name=name))
        self._confirming.add(task)
        task.add_done_callback(self._confirming.discard)

    async def _confirm(self, uid: UUID, namespace: str, *, name: str) -> None:
        try:
            await self._sweep.confirm_gone(uid, namespace=namespace, name=name)
        except errors.KubernetesApiError as error:
            _log.info(
                "cannot look for a missing resource, the sweep will", resource=f"{namespace}/{name}", error=str(error)
            )

    async def _show_the_last(self) -> None:
        """Give the projector a moment for what the worker committed last; the rest is found after the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WRITES_SECONDS):
                await _until(
                    lambda: (
                        not self._projector.backlog
                        or not self._reach.is_up
                        or not self._store.availability.is_available
                    )
                )

    def _is_worker_alive(self) -> bool:
        return self._worker is None or self._worker.is_ready or not self._store.availability.is_available

    def _readings(self) -> Iterator[metrics.Reading]:
        projector, queue, store = self._projector, self._queue, self._store
        yield "database_up", "Whether the last call reached the database.", store.availability.is_available
        yield "database_outages_total", "How often the database went away.", store.availability.outages
        yield "kubernetes_up", "Whether the last call reached the API server.", self._reach.is_up
        yield "kubernetes_outages_total", "How often the API server went away.", self._reach.outages
        yield "loop_crashes_total", "Loops that ended by an error and were begun again.", self._crashes
        yield "status_writes_total", "Statuses written to the API server.", projector.writes
        yield "status_unchanged_total", "Statuses that were looked at and needed no write.", projector.unchanged
        yield "status_failures_total", "Statuses that could not be built or written.", projector.failures
        yield "status_backlog", "Resources that wait for a look at their status.", projector.backlog
        yield "ingest_resources_total", "Sights of resources taken in.", queue.taken_in
        yield "ingest_dropped_total", "Sights of resources that the database refused.", queue.dropped
        yield "ingest_backlog", "Sights of resources that wait for the database.", queue.backlog
        yield "ingest_last_timestamp_seconds", "When a resource was taken in last.", queue.last_at or 0
        if self._worker is not None:
            yield "worker_ready", "Whether the worker holds its lease.", self._worker.is_ready
            yield "worker_lives_total", "Times the worker began under a new id.", self._worker.lives
            yield "commits_total", "Commit statements of this worker.", self._worker.commits
            yield "turns_total", "Turns committed by this worker.", self._worker.turns_committed
            yield "instances_resident", "Instances in memory.", self._worker.resident_count
            yield "activities_running", "Activities under way here.", self._worker.running_activities
        if self._controller is not None:
            observer = self._controller.observer
            yield "ingest_restarts_total", "Times the watch was begun again.", observer.restarts if observer else 0
            yield "sweeps_total", "Full comparisons of cluster and database.", self._sweep.runs


async def _until(is_met: Callable[[], bool]) -> None:
    """Wait for what has no event of its own, at the begin and the end of a process."""
    while not is_met():  # noqa: ASYNC110 - see above
        await asyncio.sleep(_LOOK_SECONDS)


async def _configure() -> kube.Configuration:
    return (await access.find(None)).configuration


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

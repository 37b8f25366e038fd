"""The roles of a process: its worker, and its side that faces the cluster, begun in order, supervised, ended in order.

It knows which loop needs which; the work is theirs. It must not know how a process begins (settings, signals, HTTP).
Either may be missing: a controller has no worker, a worker without Kubernetes has no cluster.

Theory of operation. Ingest begins first, then the worker, then, once the worker is known to the database, the
projector (else it would call runs unrunnable that this very process can run), then the controller. A loop that ends by
an error is logged and begun again. Where controllers elect a leader, the loops of the controller run while this one
leads; all else runs on a standby too. At the end the controller stops first, so that nothing new comes in, and another
may lead; the worker gives its runs back; the projector shows what it still can for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import structlog

from perdure._core.definition import ActivityRegistry, OrchestrationRegistry
from perdure._core.secret import Secrets
from perdure._engine.worker import Worker, WorkerSettings
from perdure._kube import gauges, metrics, readings
from perdure._kube.cluster import Cluster, Loop
from perdure._kube.health import STUCK_SECONDS, Health, Need, Pulse
from perdure._store.lending import LentDatabase
from perdure._store.store import Store
from perdure.secrets import EnvironmentSecrets, FileSecrets
from perdure.settings import Settings, masked

__all__ = ["Offered", "Roles"]

_log = structlog.get_logger(__name__)

Offered = tuple[OrchestrationRegistry, ActivityRegistry]

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_LAST_WRITES_SECONDS = 2.0
_LOOK_SECONDS = 0.05


class Roles:
    """The loops of this process. `offered` is what its worker runs, None without the role."""

    def __init__(self, settings: Settings, store: Store, *, cluster: Cluster | None, offered: Offered | None) -> None:
        self._settings = settings
        self._store = store
        self._cluster = cluster
        self._lent = _lent_database(settings, store)
        self._worker = None if offered is None else self._make_worker(offered)
        self._crashes = 0

    def _make_worker(self, offered: Offered) -> Worker:
        cluster = self._cluster
        chosen = WorkerSettings(
            lease_seconds=self._settings.lease_seconds,
            poll_seconds=self._settings.poll_seconds,
            max_instances=self._settings.max_instances,
            max_activities=self._settings.max_activities,
            cancel_grace_seconds=self._settings.cancel_grace_seconds,
            keep_executions=self._settings.keep_executions,
            retention_seconds=self._settings.retention_seconds,
            queues=self._settings.queues,
            secrets=_secrets_without_cluster(self._settings) if cluster is None else None,
            has_cluster=cluster is not None,
            database=self._lent,
        )
        return Worker(
            self._store,
            *offered,
            settings=chosen,
            kubernetes=None if cluster is None else cluster.identities.for_run,
            on_commit=None if cluster is None else cluster.projector.committed,
        )

    def report(self, health: Health, registry: metrics.Registry) -> None:
        """Say what readiness and metrics are made of."""
        registry.add(self._readings)
        if self._cluster is None or "controller" in self._settings.roles:
            # Every process could tell what the database holds; with a cluster only those that may lead do.
            found = gauges.DatabaseGauges(self._store)
            registry.add_refresher(found.refresh)
            registry.add(found.readings)
        worker = self._worker
        if self._cluster is not None:
            registry.add(self._cluster.readings)
            self._cluster.report(health)
        if worker is not None:
            health.add(
                "worker", lambda: Need(worker.is_ready, "" if worker.is_ready else "the worker has no lease yet")
            )
            health.add_vital("worker", lambda: Need(self._is_worker_alive(), "the database answers, the lease is lost"))
            available = self._store.availability
            committing = Pulse(
                "the loop that commits turns",
                has_work=lambda: available.is_available and worker.has_turns_to_commit,
                done=lambda: worker.measures.commit_tries,
            )
            health.add_vital("commits", committing, seconds=STUCK_SECONDS)

    async def run(self, stop: asyncio.Event) -> None:
        """Run all loops until `stop`, then end them in order."""
        cluster = self._cluster
        showing = [] if cluster is None else self._begun(cluster.taking_in())
        working: list[asyncio.Task[None]] = []
        controlling: list[asyncio.Task[None]] = []
        try:
            if self._worker is not None:
                working.append(asyncio.create_task(self._work(self._worker, stop)))
                await _until(lambda: self._worker is None or self._worker.is_ready or stop.is_set())
            if cluster is not None:
                showing += self._begun(cluster.showing())
                controlling.append(asyncio.create_task(self._control(cluster)))
            await stop.wait()
        finally:
            await _end(controlling)
            await asyncio.gather(*working)
            await self._lent.close()
            if cluster is not None:
                await _show_the_last(cluster)
                await _end([*showing, *cluster.confirming])

    async def _control(self, cluster: Cluster) -> None:
        """Run what controls, for ever: at once, or whenever this process is elected."""
        await cluster.may_control.wait()
        leader = cluster.leader
        if leader is None:
            await self._lead(cluster)
        else:
            await self._supervised("leader election", lambda: leader.run(lambda: self._lead(cluster)))

    async def _lead(self, cluster: Cluster) -> None:
        loops = self._begun(cluster.controlling())
        try:
            await asyncio.gather(*loops)
        finally:
            await _end(loops)

    def _begun(self, loops: Iterable[Loop]) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._supervised(*loop)) for loop in loops]

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

    def _is_worker_alive(self) -> bool:
        return self._worker is None or self._worker.is_ready or not self._store.availability.is_available

    def _readings(self) -> Iterator[metrics.Reading]:
        store = self._store
        yield "database_up", "Whether the last call reached the database.", store.availability.is_available
        yield "database_outages_total", "How often the database went away.", store.availability.outages
        yield "loop_crashes_total", "Loops that ended by an error and were begun again.", self._crashes
        if self._worker is not None:
            yield from readings.of_worker(self._worker)


def _lent_database(settings: Settings, store: Store) -> LentDatabase:
    """Give what activities keep their own things in: the database that is named for it, else that of the store."""
    if settings.inventory_url is None:
        address = masked(store.dsn)
        return LentDatabase(store.dsn, address=address, variable="PERDURE_DATABASE_URL", password=settings.password())
    dsn = settings.inventory_url.get_secret_value()
    return LentDatabase(dsn, address=masked(dsn), variable="PERDURE_INVENTORY_URL")


def _secrets_without_cluster(settings: Settings) -> Secrets:
    """Read references as the process: there is no ServiceAccount to read them as."""
    return EnvironmentSecrets() if settings.secrets_folder is None else FileSecrets(settings.secrets_folder)


async def _show_the_last(cluster: Cluster) -> None:
    """Give the projector a moment for what the worker committed last; the rest is found after the next start."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WRITES_SECONDS):
            await _until(lambda: cluster.has_shown_all)


async def _until(is_met: Callable[[], bool]) -> None:
    """Wait for what has no event of its own, at the begin and the end of a process."""
    while not is_met():  # noqa: ASYNC110 - see above
        await asyncio.sleep(_LOOK_SECONDS)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

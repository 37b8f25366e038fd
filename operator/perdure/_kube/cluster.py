"""The side of a process that faces the cluster: what comes in from resources, and what is shown in them.

It knows the loops of this room and what each of them needs; it must not know the worker, nor how loops are supervised:
`roles.py` begins and ends them. A worker without Kubernetes is a process without this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from uuid import UUID

import structlog
from kubernetes.aio import client as kube

from perdure import errors
from perdure._kube import access, budget, chores, election, identity, ingest, leader, metrics
from perdure._kube.client import Api
from perdure._kube.controller import Controller
from perdure._kube.health import Health, Need
from perdure._kube.policy import Policy
from perdure._kube.preflight import Preflight
from perdure._kube.preparation import Preparation
from perdure._kube.projector import Projector
from perdure._kube.reach import Reach
from perdure._kube.sweep import Sweep
from perdure._store.resources import News, Resources
from perdure._store.starts import Starts
from perdure._store.store import Store
from perdure.settings import Settings

__all__ = ["Cluster", "Loop"]

_log = structlog.get_logger(__name__)

Loop = tuple[str, Callable[[], Awaitable[None]]]
"""The name of a loop that never ends by itself, and how it is begun."""

_PROBE_SECONDS = 15.0


class Cluster:
    """Ingest, projector and probe of this process, and its controller when it has that role.

    The controller waits for `may_control`: the database belongs to this cluster.
    """

    def __init__(self, settings: Settings, store: Store, *, api: Api, reach: Reach, may_control: asyncio.Event) -> None:
        self.may_control = may_control
        self._settings = settings
        self._store = store
        self._reach = reach
        self._namespaces = list(settings.namespaces)
        resources = Resources(store.pool, store.sealing)
        availability = store.availability
        rate = settings.status_writes_per_second
        self.projector = Projector(
            resources,
            api,
            availability=availability,
            reach=reach,
            bucket=budget.TokenBucket(rate, max(1, int(2 * rate))),
            on_missing=self._missing,
        )
        self.projector.cancel_grace_seconds = settings.cancel_grace_seconds
        self.identities = identity.Identities(api)
        self._queue = ingest.Ingest(resources, availability=availability, on_news=self._ingested)
        self._preparation = Preparation(
            self._queue,
            Starts(store.pool),
            preflight=Preflight(self.identities),
            policy=Policy(settings.allowed_orchestrations, settings.default_service_account == "deny"),
            availability=availability,
        )
        self._chores = chores.Chores(
            store, resources, api=api, queue=self._preparation, reach=reach, namespaces=settings.namespaces
        )
        self.projector.on_turn_of_change = self._chores.nudge
        self._sweep = Sweep(api, resources, queue=self._preparation, namespaces=settings.namespaces)
        self._controller: Controller | None = None
        if "controller" in settings.roles:
            self._controller = Controller(
                self._preparation, self._sweep, projector=self.projector, reach=reach, availability=availability
            )
        self.leader = _leader_or_none(settings, api, reach=reach)
        self.confirming: set[asyncio.Task[None]] = set()

    def report(self, health: Health) -> None:
        """Say what readiness is made of here."""
        projector, controller = self.projector, self._controller
        health.add("status writes", lambda: Need(not projector.why_not_writing, projector.why_not_writing))
        if controller is not None:
            health.add("resources", lambda: self._resources_need(controller))
        if self.leader is not None:
            health.add("leader", self.leader.need)

    def _resources_need(self, controller: Controller) -> Need:
        if self.leader is not None and not self.leader.is_leading:
            return Need(ok=True, why="standby: another controller watches them")
        return Need(not controller.why_not_ready, controller.why_not_ready)

    def taking_in(self) -> Iterator[Loop]:
        """Give what begins before the worker."""
        yield "ingest", self._queue.run
        yield "preparation", self._preparation.run

    def showing(self) -> Iterator[Loop]:
        """Give what begins once the worker is known to the database."""
        yield "projector", self.projector.run
        yield "probe", self._probe

    def controlling(self) -> Iterator[Loop]:
        """Give what begins last and ends first; where controllers elect a leader, again whenever this one is."""
        controller = self._controller
        if controller is None:
            return
        controller.has_swept = False
        yield "watch", lambda: controller.watch(_configure, self._namespaces)
        yield "sweep", lambda: controller.sweep(self._settings.sweep_seconds)
        yield "look behind", lambda: controller.look_behind(self._namespaces)
        yield "chores", lambda: self._chores.run(self._settings.cancel_grace_seconds)

    @property
    def has_shown_all(self) -> bool:
        """Whether the projector has nothing left that it could still write."""
        return not self.projector.backlog or not self._reach.is_up or not self._store.availability.is_available

    def readings(self) -> Iterator[metrics.Reading]:
        """Give what is counted here."""
        projector, queue = self.projector, self._queue
        yield "kubernetes_up", "Whether the last call reached the API server.", self._reach.is_up
        yield "kubernetes_outages_total", "How often the API server went away.", self._reach.outages
        yield "status_writes_total", "Statuses written to the API server.", projector.writes
        yield "status_unchanged_total", "Statuses that were looked at and needed no write.", projector.unchanged
        yield "status_failures_total", "Statuses that could not be built or written.", projector.failures
        yield "status_backlog", "Resources that wait for a look at their status.", projector.backlog
        yield "ingest_resources_total", "Sights of resources taken in.", queue.taken_in
        yield "ingest_dropped_total", "Sights of resources that the database refused.", queue.dropped
        yield "ingest_backlog", "Sights of resources that wait for the database.", queue.backlog
        yield "ingest_last_timestamp_seconds", "When a resource was taken in last.", queue.last_at or 0
        yield "preparation_backlog", "Resources whose run cannot start yet.", self._preparation.backlog
        if self._controller is not None:
            elected = self.leader
            yield "leader", "Whether this process watches the resources.", elected is None or elected.is_leading
            yield "leader_losses_total", "Times it lost the lead.", 0 if elected is None else elected.losses
            observer = self._controller.observer
            yield "ingest_restarts_total", "Times the watch was begun again.", observer.restarts if observer else 0
            yield "sweeps_total", "Full comparisons of cluster and database.", self._sweep.runs

    def _ingested(self, news: Sequence[News]) -> None:
        """Show what ingest has changed, and do at once what it asks for."""
        self.projector.ingested(news)
        if any(one.has_chores for one in news):
            self._chores.nudge()

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
        self.confirming.add(task)
        task.add_done_callback(self.confirming.discard)

    async def _confirm(self, uid: UUID, namespace: str, *, name: str) -> None:
        try:
            await self._sweep.confirm_gone(uid, namespace=namespace, name=name)
        except errors.KubernetesApiError as error:
            _log.info(
                "cannot look for a missing resource, the sweep will", resource=f"{namespace}/{name}", error=str(error)
            )


def _leader_or_none(settings: Settings, api: Api, *, reach: Reach) -> leader.Leader | None:
    """Give the candidate of this process, if it is a controller among others."""
    namespace = settings.lease_namespace
    is_wanted = election.is_wanted(
        settings.leader_election, is_in_pod=access.is_in_pod(), is_named=namespace is not None
    )
    if "controller" not in settings.roles or not is_wanted:
        return None
    me = leader.identity()
    return leader.Leader(api, reach, name=settings.lease_name, namespace=namespace or api.namespace, me=me)


async def _configure() -> kube.Configuration:
    return (await access.find(None)).configuration

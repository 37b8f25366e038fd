"""The side of a process that faces the cluster: what comes in from resources, and what is shown in them.

It knows the loops of this room and what each of them needs; it must not know the worker, nor how loops are supervised:
`roles.py` begins and ends them. A worker without Kubernetes is a process without this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import structlog
from kubernetes.aio import client as kube

from perdure import errors
from perdure._kube import (
    access,
    budget,
    chores,
    election,
    events,
    identity,
    ingest,
    kinds,
    leader,
    metrics,
    pacing,
    readings,
)
from perdure._kube.api import base
from perdure._kube.client import Api
from perdure._kube.controller import Controller
from perdure._kube.following import Following
from perdure._kube.health import STUCK_SECONDS, Health, Need, Pulse
from perdure._kube.hearing import Hearing
from perdure._kube.kinds import Kind, Loop
from perdure._kube.policy import Policy
from perdure._kube.preflight import Preflight
from perdure._kube.preparation import Preparation
from perdure._kube.projector import Projector
from perdure._kube.reach import Reach
from perdure._kube.recorder import Recorder
from perdure._kube.schedules.keeper import Keeper
from perdure._kube.signals import Signals
from perdure._kube.status import Status
from perdure._kube.status_writer import StatusWriter
from perdure._kube.sweep import Sweep
from perdure._store.api_budget import ApiBudget
from perdure._store.resources import News, Resources
from perdure._store.starts import Starts
from perdure._store.store import Store
from perdure.settings import Settings

__all__ = ["Cluster", "Loop"]

_log = structlog.get_logger(__name__)

_PROBE_SECONDS = 15.0


class Cluster:
    """Ingest, projector and probe of this process, and its controller when it has that role.

    The controller waits for `may_control`: the database belongs to this cluster.
    """

    def __init__(self, settings: Settings, store: Store, *, api: Api, reach: Reach, may_control: asyncio.Event) -> None:
        self.may_control = may_control
        self._settings = settings
        self._store = store
        self._api = api
        self._reach = reach
        self._namespaces = list(settings.namespaces)
        resources = Resources(store.pool, store.sealing)
        availability = store.availability
        rate = settings.status_writes_per_second
        bucket = budget.TokenBucket(rate, max(1, int(2 * rate)))
        self._writer = StatusWriter(api, bucket=bucket, reach=reach)
        self.projector = Projector(resources, self._writer, availability=availability, on_missing=self._missing)
        self.projector.cancel_grace_seconds = settings.cancel_grace_seconds
        self.recorder = Recorder(api, bucket=bucket, level=settings.events)
        self.projector.on_written = self._tell
        self._pace = _pace_or_none(settings, store)
        if self._pace is not None:
            api.pace_runs(self._pace)
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
        orchestrations = kinds.orchestrations(self._preparation, resources, on_restored=self.projector.mark)
        self._sweep = Sweep(api, orchestrations, namespaces=settings.namespaces)
        self._controller: Controller | None = None
        self._keeper: Keeper | None = None
        self._signals: Signals | None = None
        if "controller" in settings.roles:
            self._signals = Signals(
                store,
                api,
                identities=self.identities,
                writer=self._writer,
                namespaces=self._namespaces,
                on_written=self._tell_of_signal,
            )
            self._keeper = Keeper(store, api, reach=reach, writer=self._writer, namespaces=self._namespaces)
            others: list[Kind] = [self._signals.kind(), self._keeper.kind()]
            sweeps = [(orchestrations, self._sweep)]
            sweeps += [(kind, Sweep(api, kind, namespaces=settings.namespaces)) for kind in others]
            self._controller = Controller(
                [Following(*one, reach=reach, availability=availability) for one in sweeps],
                projector=self.projector,
                availability=availability,
            )
        self.leader = _leader_or_none(settings, api, reach=reach)
        self.confirming: set[asyncio.Task[None]] = set()

    def report(self, health: Health) -> None:
        """Say what readiness is made of here."""
        projector, controller = self.projector, self._controller
        pulses = (
            ("statuses", projector.is_due, lambda: projector.writes + projector.unchanged + projector.failures),
            ("ingest", lambda: self._queue.backlog > 0, lambda: self._queue.taken_in + self._queue.dropped),
        )
        for name, has_work, done in pulses:
            health.add_vital(name, self._pulse(name, has_work=has_work, done=done), seconds=STUCK_SECONDS)
        health.add("status writes", lambda: Need(not self._writer.why_not, self._writer.why_not))
        if controller is not None:
            health.add("resources", lambda: self._resources_need(controller))
        if self.leader is not None:
            health.add("leader", self.leader.need)

    def _resources_need(self, controller: Controller) -> Need:
        if self.leader is not None and not self.leader.is_leading:
            return Need(ok=True, why="standby: another controller watches them")
        return Need(not controller.why_not_ready, controller.why_not_ready)

    def _pulse(self, name: str, *, has_work: Callable[[], bool], done: Callable[[], int]) -> Pulse:
        """Give the sign of life of a loop that needs the database and the API server."""
        available, reach = self._store.availability, self._reach
        return Pulse(
            f"the loop of {name}",
            has_work=lambda: available.is_available and reach.is_up and has_work(),
            done=done,
        )

    def taking_in(self) -> Iterator[Loop]:
        """Give what begins before the worker."""
        yield "ingest", self._queue.run
        yield "preparation", self._preparation.run

    def showing(self) -> Iterator[Loop]:
        """Give what begins once the worker is known to the database."""
        yield "projector", self.projector.run
        yield "events", self.recorder.run
        yield "probe", self._probe

    def controlling(self) -> Iterator[Loop]:
        """Give what begins last and ends first; where controllers elect a leader, again whenever this one is."""
        if self._controller is not None:
            yield from self._controller.loops(_configure, self._namespaces, sweep_seconds=self._settings.sweep_seconds)
            yield "chores", lambda: self._chores.run(self._settings.cancel_grace_seconds)
            ears = [self._chores.heard, *([] if self._signals is None else [self._signals.heard])]
            yield "hearing", Hearing(self._store, heard=ears).run

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
        short = "Times statuses were due and the budget (PERDURE_STATUS_WRITES_PER_SECOND) was spent."
        yield "status_budget_spent_total", short, projector.budget_spent
        yield "status_backlog", "Resources that wait for a look at their status.", projector.backlog
        yield "events_written_total", "Kubernetes Events written.", self.recorder.written
        yield "events_dropped_total", "Kubernetes Events that were not written.", self.recorder.dropped
        throttled, asked = self._api.throttled, self._api.throttled_seconds
        yield "kubernetes_throttled_total", "Answers of the API server that asked to come back later.", throttled
        yield "kubernetes_throttled_seconds_total", "Seconds that such answers asked for.", asked
        if self._pace is not None:
            yield from readings.of_pace(self._pace)
        yield "ingest_resources_total", "Sights of resources taken in.", queue.taken_in
        yield "ingest_dropped_total", "Sights of resources that the database refused.", queue.dropped
        yield "ingest_backlog", "Sights of resources that wait for the database.", queue.backlog
        yield "ingest_last_timestamp_seconds", "When a resource was taken in last.", queue.last_at or 0
        yield "preparation_backlog", "Resources whose run cannot start yet.", self._preparation.backlog
        if self._keeper is not None:
            yield from self._keeper.readings()
        if self._controller is not None:
            elected = self.leader
            yield "leader", "Whether this process watches the resources.", elected is None or elected.is_leading
            yield "leader_losses_total", "Times it lost the lead.", 0 if elected is None else elected.losses
            yield "ingest_restarts_total", "Times a watch was begun again.", self._controller.restarts
            yield "sweeps_total", "Full comparisons of a kind with the database.", self._controller.sweeps
        if self._signals is not None:
            yield from self._signals.readings()

    def _ingested(self, news: Sequence[News]) -> None:
        """Show what ingest has changed, and do at once what it asks for."""
        self.projector.ingested(news)
        if earlier := [one.instance_id for one in news if one.is_of_earlier_life]:
            _log.warning(
                "statuses name runs that the database does not know: it was lost or is older; they are not run again",
                runs=len(earlier),
                first=earlier[0],
            )
        if any(one.has_chores for one in news):
            self._chores.nudge()
        if self._signals is not None:
            self._signals.runs_changed(news)

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

    def _tell(self, about: base.Reference, before: Status | None, shown: Status) -> None:
        """A status was written: tell what is news in it."""
        for news in events.news(before, shown):
            self.recorder.tell(about, news)

    def _tell_of_signal(self, about: base.Reference, before: Status | None, shown: Status) -> None:
        """The same for a signal."""
        for news in events.signal_news(before, shown):
            self.recorder.tell(about, news)

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


def _pace_or_none(settings: Settings, store: Store) -> pacing.Pace | None:
    """Give the budget that the activities of all processes share, if there is one."""
    if settings.kubernetes_requests_per_second == 0:
        return None
    shared = ApiBudget(store.pool, per_second=settings.kubernetes_requests_per_second)
    return pacing.Pace(shared, availability=store.availability)


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

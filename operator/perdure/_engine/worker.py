"""A worker: what the rest of the house holds in its hand.

A worker lives one or more lives (`life.py`), each under a new id. When it finds that it was taken for dead, everything
it had in memory is dropped and a new life begins. A graceful stop gives every instance back at once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Callable

import structlog

from perdure._core import limits
from perdure._core.activity import Database, KubernetesOf
from perdure._core.definition import ActivityRegistry, OrchestrationRegistry
from perdure._core.secret import Secrets
from perdure._engine.lease import LeaseLost
from perdure._engine.life import Life
from perdure._engine.measures import Measures
from perdure._engine.resident import Committed
from perdure._store.store import Store

__all__ = ["Committed", "Worker", "WorkerSettings"]

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What may be tuned. Durations are seconds.

    `retention_seconds` is how long a finished instance stays, None for ever. `secrets` is where a worker outside of
    Kubernetes has them from (`perdure.secrets`); without it they are read through the API server, as the ServiceAccount
    of the run. Without a cluster (`has_cluster`) no runs of resources are taken, which could not act as anybody.
    `database` is what activities are lent (`ctx.database`).
    """

    lease_seconds: float = 10.0
    poll_seconds: float = 3.0
    max_instances: int = 5_000
    max_activities: int = 200
    activity_threads: int = 8
    shutdown_grace_seconds: float = 2.0
    cancel_grace_seconds: float = limits.CANCEL_GRACE_SECONDS
    keep_executions: int = limits.KEPT_EXECUTIONS
    retention_seconds: float | None = None
    queues: tuple[str, ...] = ()
    secrets: Secrets | None = None
    database: Database | None = None
    has_cluster: bool = True


class Worker:
    """Runs the orchestrations and activities of two registries against a store, life after life."""

    def __init__(
        self,
        store: Store,
        orchestrations: OrchestrationRegistry,
        activities: ActivityRegistry,
        *,
        settings: WorkerSettings | None = None,
        kubernetes: KubernetesOf | None = None,
        on_commit: Callable[[list[Committed]], None] | None = None,
    ) -> None:
        """`kubernetes` gives the API client of a run's identity; `on_commit` is told what resources may show."""
        self.store = store
        self.orchestrations = orchestrations
        self.activities = activities
        self.settings = settings or WorkerSettings()
        self.kubernetes = kubernetes
        self.on_commit = on_commit
        self._life: Life | None = None
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self.turns_committed = 0
        self.commits = 0
        self.lives = 0
        self.measures = Measures()

    @property
    def worker_id(self) -> uuid.UUID | None:
        """The id of the present life."""
        return self._life.worker_id if self._life else None

    @property
    def is_ready(self) -> bool:
        """Whether the lease is held."""
        return self._life is not None and self._life.lease.is_fresh

    @property
    def resident_count(self) -> int:
        """How many instances are in memory."""
        return len(self._life.residents) if self._life else 0

    @property
    def running_activities(self) -> int:
        """How many activities are on their way here."""
        return self._life.running_activities if self._life else 0

    @property
    def has_turns_to_commit(self) -> bool:
        """Whether turns are to be taken, or on their way."""
        return self._life is not None and self._life.committer.has_turns

    def nudge(self) -> None:
        """There may be work: look at once."""
        if self._life is not None:
            self._life.nudge()

    def finished(self, instance_id: str) -> asyncio.Future[None]:
        """Give a future that is done when an instance has ended here; ends elsewhere do not show in it."""
        future = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(instance_id, [])
        waiters.append(future)
        future.add_done_callback(lambda _: self._forget(instance_id, future))
        return future

    def tell_finished(self, instance_id: str) -> None:
        """Let those go who wait for this instance."""
        for future in self._waiters.pop(instance_id, ()):
            if not future.done():
                future.set_result(None)

    def _forget(self, instance_id: str, future: asyncio.Future[None]) -> None:
        """Keep no waiter whose instance ended elsewhere or who has gone away."""
        waiters = self._waiters.get(instance_id, [])
        if future in waiters:
            waiters.remove(future)
        if not waiters:
            self._waiters.pop(instance_id, None)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then give everything back."""
        while not stop.is_set():
            self._life = Life(self)
            self.lives += 1
            try:
                await self._life.run(stop)
            except LeaseLost:
                _log.warning("lease lost: taken for dead, starting anew", worker=str(self._life.worker_id))
        self._life = None

"""Where Orchestrations are measured: a local control plane, a database, and real processes of `perdure run`.

What the API server was asked is counted there, by its own metrics; what the operator holds in memory and uses of the
processor is read from the kernel. Everything listens on loopback. Nothing here measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from perdure._core.activity import Manifest
from perdure._kube.api.base import GROUP
from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._kube.client import Api
from perdure._store.embedded import EmbeddedPostgres
from tests.bench.stage import empty_database
from tests.cluster import choice
from tests.cluster.finding import Finder
from tests.cluster.handle import Cluster, Request
from tests.cluster.local import LocalControlPlane
from tests.cluster.progress import Progress
from tests.cluster.toolchain import CONTROL_PLANE
from tests.e2e.operator_process import Operator

__all__ = ["LOOK_SECONDS", "NAMESPACE", "PATIENCE_SECONDS", "Place", "cpu_seconds", "load", "open_place"]

NAMESPACE = "default"
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 1_200.0
_EVENTS = "events.k8s.io"
_POSTS_AT_ONCE = 32
_MB = 1e6
_SHOWN = "select count(*) from resources where settled and gone_at is null and status_phase in ('Completed', 'Failed')"


@dataclass
class Place:
    """A cluster and a database, and the most memory that was seen of each operator."""

    cluster: Cluster
    api: Api
    dsn: str
    database: asyncpg.Connection[asyncpg.Record]
    peaks: dict[int, int] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def operator(self, kubeconfig: Path | None = None, **settings: str) -> AsyncIterator[Operator]:
        """Run an operator that is ready, as the administrator unless told otherwise; it is stopped at the end."""
        defaults = {
            "HTTP_PORT": "0",
            "DATABASE_URL": self.dsn,
            "LOG_FORMAT": "json",
            "MODULES": "tests.bench",
            "ROLES": "controller,worker",
        }
        operator = await Operator.started(kubeconfig or self.cluster.kubeconfig, {**defaults, **settings})
        watching = asyncio.create_task(self._watch_memory(operator.process.pid))
        try:
            await operator.said("operator_ready")
            yield operator
        finally:
            watching.cancel()
            await operator.stop()

    async def create(self, count: int, spec: Callable[[int], Manifest]) -> None:
        """Create so many Orchestrations, some at a time; `spec` gives what the n-th one asks for."""
        slots = asyncio.Semaphore(_POSTS_AT_ONCE)

        async def one(number: int) -> None:
            async with slots:
                await self.api.create(
                    {
                        "apiVersion": API_VERSION,
                        "kind": KIND,
                        "metadata": {"name": f"run-{number:06}", "namespace": NAMESPACE},
                        "spec": spec(number),
                    },
                    field_manager="bench",
                )

        await asyncio.gather(*(one(number) for number in range(count)))

    async def all_shown(self, count: int) -> None:
        """Return when the database knows of so many that their end is shown; a look costs it next to nothing."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.database.fetchval(_SHOWN) < count:  # noqa: ASYNC110 - another process: no event
                await asyncio.sleep(LOOK_SECONDS)

    async def check_shown(self, count: int) -> None:
        """Raise unless the API server shows so many completed runs."""
        listed = await self.api.list(API_VERSION, KIND, namespace=NAMESPACE)
        phases = Counter(status.get("phase") for one in listed if isinstance(status := one.get("status"), dict))
        if phases != {"Completed": count}:
            message = f"{count} runs should be shown as Completed, and the API server shows {dict(phases)}"
            raise RuntimeError(message)

    async def requests(self) -> Counter[Request]:
        """Count what the API server was asked about our kinds and Events so far."""
        counts = await asyncio.to_thread(self.cluster.api_request_counts)
        return Counter({request: count for request, count in counts.items() if request.group in {GROUP, _EVENTS}})

    async def transactions(self) -> int:
        """Count the transactions of the database so far."""
        return int(
            await self.database.fetchval(
                "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
            )
        )

    def peak_mb(self, operator: Operator) -> float:
        """Give the most memory that was seen of this operator."""
        return round(self.peaks[operator.process.pid] / _MB, 1)

    async def _watch_memory(self, pid: int) -> None:
        process = psutil.Process(pid)
        while True:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.peaks[pid] = max(self.peaks.get(pid, 0), process.memory_info().rss)
            await asyncio.sleep(LOOK_SECONDS)


@contextlib.asynccontextmanager
async def open_place(server: EmbeddedPostgres) -> AsyncIterator[Place]:
    """Start a control plane, make an empty database; take both down at the end."""
    finder = Finder(choice.look_around(), Progress(sys.stderr))
    programs = await asyncio.to_thread(finder.toolchain.ensure, CONTROL_PLANE, finder.progress)
    async with contextlib.AsyncExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="perdure-bench-cluster-")))
        control_plane = await asyncio.to_thread(LocalControlPlane, folder / "local", programs)
        open_.push_async_callback(asyncio.to_thread, control_plane.close)
        cluster = finder.local(control_plane)
        await asyncio.to_thread(cluster.install_crds)
        api = await Api.connect(str(cluster.kubeconfig))
        open_.push_async_callback(api.close)
        dsn = server.dsn_of(await open_.enter_async_context(empty_database(server)))
        database = await asyncpg.connect(dsn)
        open_.push_async_callback(database.close)
        yield Place(cluster, api, dsn, database)


def cpu_seconds(operator: Operator) -> float:
    """Give the time of the processor that this operator has had."""
    times = psutil.Process(operator.process.pid).cpu_times()
    return float(times.user + times.system)


def load() -> float:
    """Give how busy the machine was in the last minute."""
    return round(os.getloadavg()[0], 1)

"""Orchestrations by the API server: a local control plane, a database, and real processes of `perdure run`.

What the API server was asked is counted there, by its own metrics; what the operator holds in memory and uses of the
processor is read from the kernel. Everything listens on loopback. It gives plain numbers; goals are for `workloads`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg
import psutil

from perdure._core.activity import Manifest
from perdure._kube.api.base import GROUP
from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._kube.client import Api
from perdure._kube.sweep import compare
from perdure._store import connect
from perdure._store.embedded import EmbeddedPostgres
from perdure._store.resources import Resources
from tests.bench import code
from tests.bench.stage import empty_database
from tests.cluster import choice
from tests.cluster.finding import Finder
from tests.cluster.handle import Cluster, Request
from tests.cluster.local import LocalControlPlane
from tests.cluster.progress import Progress
from tests.cluster.toolchain import CONTROL_PLANE
from tests.e2e.operator_process import Operator

_EVENTS = "events.k8s.io"
_NAMESPACE = "default"
_POSTS_AT_ONCE = 32
_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 1_200.0
_MB = 1e6
_ROUNDS = 3
_SWEEP_SECONDS = 5
_SHOWN = "select count(*) from resources where settled and status_phase = 'Completed' and gone_at is null"


@dataclass
class _Place:
    """A cluster and a database, and the most memory that was seen of each operator."""

    cluster: Cluster
    api: Api
    dsn: str
    database: asyncpg.Connection[asyncpg.Record]
    peaks: dict[int, int] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def operator(self, **settings: str) -> AsyncIterator[Operator]:
        """Run an operator that is ready; it is stopped at the end."""
        defaults = {
            "HTTP_PORT": "0",
            "DATABASE_URL": self.dsn,
            "LOG_FORMAT": "json",
            "MODULES": "tests.bench",
            "ROLES": "controller,worker",
        }
        operator = await Operator.started(self.cluster.kubeconfig, {**defaults, **settings})
        watching = asyncio.create_task(self._watch_memory(operator.process.pid))
        try:
            await operator.said("operator_ready")
            yield operator
        finally:
            watching.cancel()
            await operator.stop()

    async def create(self, count: int, orchestration: code.Named) -> None:
        """Create so many Orchestrations, some at a time."""
        slots = asyncio.Semaphore(_POSTS_AT_ONCE)

        async def one(number: int) -> None:
            async with slots:
                await self.api.create(
                    {
                        "apiVersion": API_VERSION,
                        "kind": KIND,
                        "metadata": {"name": f"run-{number:06}", "namespace": _NAMESPACE},
                        "spec": {"orchestration": orchestration.name, "input": {"number": number}},
                    },
                    field_manager="bench",
                )

        await asyncio.gather(*(one(number) for number in range(count)))

    async def all_shown(self, count: int) -> None:
        """Return when the database knows of so many that their end is shown; a look costs it next to nothing."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while await self.database.fetchval(_SHOWN) < count:  # noqa: ASYNC110 - another process: no event
                await asyncio.sleep(_LOOK_SECONDS)

    async def check_shown(self, count: int) -> None:
        """Raise unless the API server shows so many completed runs."""
        listed = await self.api.list(API_VERSION, KIND, namespace=_NAMESPACE)
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
            await asyncio.sleep(_LOOK_SECONDS)


async def applied(server: EmbeddedPostgres, *, count: int) -> dict[str, object]:
    """Create so many Orchestrations at once beside one operator, and wait until all are shown to have completed."""
    async with _place(server) as place, place.operator() as operator:
        before, cpu, began = await place.requests(), _cpu_seconds(operator), time.perf_counter()
        await place.create(count, code.chain)
        created = time.perf_counter() - began
        await place.all_shown(count)
        took, cpu = time.perf_counter() - began, _cpu_seconds(operator) - cpu
        await place.check_shown(count)
        spent = await place.requests() - before
        # the one POST each is what creates them
        writes = sum(number for request, number in spent.items() if request.is_write) - count
        return {
            "completions_per_s": round(count / took, 1),
            "writes_per_run": round(writes / count, 2),
            "rss_mb": place.peak_mb(operator),
            "created_s": round(created, 1),
            "operator_cpu_ms_per_run": round(1000 * cpu / count, 1),
            "load": _load(),
        }


async def many_finished(server: EmbeddedPostgres, *, count: int) -> dict[str, object]:
    """Begin a controller beside so many finished Orchestrations, and see what its sweeps cost."""
    async with _place(server) as place:
        began = time.perf_counter()
        async with place.operator(STATUS_WRITES_PER_SECOND="2000"):
            await asyncio.gather(place.create(count, code.trivial), place.all_shown(count))
        filled = time.perf_counter() - began
        await place.check_shown(count)
        await place.database.execute("vacuum (analyze)", timeout=600)
        began = time.perf_counter()
        async with place.operator(ROLES="controller", SWEEP_SECONDS=str(_SWEEP_SECONDS)) as operator:
            ready, ready_cpu = time.perf_counter() - began, _cpu_seconds(operator)
            sweeps = await _sweeps(place, operator)
            return {
                "ready_s": round(ready, 2),
                "rss_mb": place.peak_mb(operator),
                "ready_cpu_s": round(ready_cpu, 2),
                **sweeps,
                "sweep_s": await _one_sweep_seconds(place),
                "filled_s": round(filled, 1),
                "load": _load(),
            }


async def _sweeps(place: _Place, operator: Operator) -> dict[str, object]:
    """Give what one sweep of all kinds costs on the average; the little that the process does besides counts in."""
    kinds = 3
    start = await operator.reading("sweeps_total")
    await _swept(operator, start + kinds)  # the first is late: what the start asked for may still be under way
    cpu, requests, transactions = _cpu_seconds(operator), await place.requests(), await place.transactions()
    await _swept(operator, start + kinds * (1 + _ROUNDS))
    spent = await place.requests() - requests
    return {
        "sweep_cpu_ms": round(1000 * (_cpu_seconds(operator) - cpu) / _ROUNDS),
        "sweep_requests": round(spent.total() / _ROUNDS, 1),
        "sweep_transactions": round((await place.transactions() - transactions) / _ROUNDS, 1),
    }


async def _swept(operator: Operator, times: float) -> None:
    """Wait until there were so many sweeps."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while await operator.reading("sweeps_total") < times:  # noqa: ASYNC110 - another process: no event
            await asyncio.sleep(_LOOK_SECONDS)


async def _one_sweep_seconds(place: _Place) -> float:
    """Do what a sweep does when there is no news, and give how long it took."""
    pool = await connect.create_pool(place.dsn, application_name="perdure-bench")
    try:
        known_here = Resources(pool)
        began = time.perf_counter()
        listed = await place.api.list_metadata(API_VERSION, KIND)
        known = await known_here.known([])
        found = compare({UUID(str(one["uid"])): one for one in map(_metadata, listed.items)}, known)
        took = time.perf_counter() - began
    finally:
        await pool.close()
    if found != ([], []):
        message = f"a sweep without news found {len(found[0])} missing and {len(found[1])} changed"
        raise RuntimeError(message)
    return round(took, 2)


@contextlib.asynccontextmanager
async def _place(server: EmbeddedPostgres) -> AsyncIterator[_Place]:
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
        yield _Place(cluster, api, dsn, database)


def _metadata(item: Manifest) -> Manifest:
    metadata = item["metadata"]
    return metadata if isinstance(metadata, dict) else {}


def _cpu_seconds(operator: Operator) -> float:
    times = psutil.Process(operator.process.pid).cpu_times()
    return float(times.user + times.system)


def _load() -> float:
    return round(os.getloadavg()[0], 1)

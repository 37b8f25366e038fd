"""Orchestrations by the API server: how fast they end, and what a controller costs beside many that have ended.

It gives plain numbers; goals are for `workloads`. Where it plays is `place`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

from perdure._core.activity import Manifest
from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._kube.sweep import compare
from perdure._store import connect
from perdure._store.embedded import EmbeddedPostgres
from perdure._store.resources import Resources
from tests.bench import code
from tests.bench.place import LOOK_SECONDS, PATIENCE_SECONDS, Place, cpu_seconds, load, open_place
from tests.e2e.operator_process import Operator

_ROUNDS = 3
_SWEEP_SECONDS = 5


async def applied(server: EmbeddedPostgres, *, count: int) -> dict[str, object]:
    """Create so many Orchestrations at once beside one operator, and wait until all are shown to have completed."""
    async with open_place(server) as place, place.operator() as operator:
        before, cpu, began = await place.requests(), cpu_seconds(operator), time.perf_counter()
        await place.create(count, _asking_for(code.chain))
        created = time.perf_counter() - began
        await place.all_shown(count)
        took, cpu = time.perf_counter() - began, cpu_seconds(operator) - cpu
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
            "load": load(),
        }


async def many_finished(server: EmbeddedPostgres, *, count: int) -> dict[str, object]:
    """Begin a controller beside so many finished Orchestrations, and see what its sweeps cost."""
    async with open_place(server) as place:
        began = time.perf_counter()
        async with place.operator(STATUS_WRITES_PER_SECOND="2000"):
            await asyncio.gather(place.create(count, _asking_for(code.trivial)), place.all_shown(count))
        filled = time.perf_counter() - began
        await place.check_shown(count)
        await place.database.execute("vacuum (analyze)", timeout=600)
        began = time.perf_counter()
        async with place.operator(ROLES="controller", SWEEP_SECONDS=str(_SWEEP_SECONDS)) as operator:
            ready, ready_cpu = time.perf_counter() - began, cpu_seconds(operator)
            sweeps = await _sweeps(place, operator)
            return {
                "ready_s": round(ready, 2),
                "rss_mb": place.peak_mb(operator),
                "ready_cpu_s": round(ready_cpu, 2),
                **sweeps,
                "sweep_s": await _one_sweep_seconds(place),
                "filled_s": round(filled, 1),
                "load": load(),
            }


async def _sweeps(place: Place, operator: Operator) -> dict[str, object]:
    """Give what one sweep of all kinds costs on the average; the little that the process does besides counts in."""
    kinds = 3
    start = await operator.reading("sweeps_total")
    await _swept(operator, start + kinds)  # the first is late: what the start asked for may still be under way
    cpu, requests, transactions = cpu_seconds(operator), await place.requests(), await place.transactions()
    await _swept(operator, start + kinds * (1 + _ROUNDS))
    spent = await place.requests() - requests
    return {
        "sweep_cpu_ms": round(1000 * (cpu_seconds(operator) - cpu) / _ROUNDS),
        "sweep_requests": round(spent.total() / _ROUNDS, 1),
        "sweep_transactions": round((await place.transactions() - transactions) / _ROUNDS, 1),
    }


async def _swept(operator: Operator, times: float) -> None:
    """Wait until there were so many sweeps."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await operator.reading("sweeps_total") < times:  # noqa: ASYNC110 - another process: no event
            await asyncio.sleep(LOOK_SECONDS)


async def _one_sweep_seconds(place: Place) -> float:
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


def _asking_for(orchestration: code.Named) -> Callable[[int], Manifest]:
    return lambda number: {"orchestration": orchestration.name, "input": {"number": number}}


def _metadata(item: Manifest) -> Manifest:
    metadata = item["metadata"]
    return metadata if isinstance(metadata, dict) else {}

"""What an operator costs the API server and the database: counted there, not in the operator.

The counts are those of the API server for our API group alone (its own controllers write all the time), and those of
Postgres for the database of the test.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from perdure._kube.api.base import GROUP
from perdure._store.embedded import EmbeddedPostgres
from tests.cluster.handle import Cluster, Request
from tests.e2e.operators import World, until
from tests.postgres_plugin import Server, data_folder

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

WRITES_OF_A_RUN = 6
WRITES_OF_A_QUICK_RUN = 4
QUERIES_PER_SECOND = 1.0
WINDOW_SECONDS = 15.0
"""Long enough for every period but those of the two sweeps, which add 0.06 queries a second."""
SETTLE_SECONDS = 11.0
"""An idle connection of Postgres tells what it has done up to ten seconds later."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give a namespace with an operator, and a database where nobody but it is busy: no autovacuum."""
    quiet = {"autovacuum": "off"}
    with data_folder() as folder, EmbeddedPostgres(folder, durable=False, in_pod=True, settings=quiet) as server:
        async with World.shared(cluster, Server(server.dsn, server), folder=tmp_path_factory.mktemp("notes")) as world:
            await world.operator(STATUS_WRITES_PER_SECOND="500", LEASE_SECONDS="10")
            yield world


async def writes(world: World) -> Counter[Request]:
    """Count the writes to resources of ours since the API server began."""
    counts = await asyncio.to_thread(world.scene.cluster.api_request_counts)
    return Counter({request: count for request, count in counts.items() if request.group == GROUP and request.is_write})


async def transactions(world: World) -> int:
    """Count the transactions of this database; the few of this test are too few to matter."""
    return int(
        await world.database.fetchval(
            "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
        )
    )


async def test_a_plain_run_costs_few_writes(world: World) -> None:
    """Three steps at once: the applied resource and its statuses are at most four writes."""
    before = await writes(world)

    await world.apply("plain")
    await world.scene.completed("plain")

    spent = await writes(world) - before
    assert spent.total() - 1 <= WRITES_OF_A_QUICK_RUN, spent


async def test_a_run_that_takes_its_time_costs_few_writes_too(world: World) -> None:
    """Six timers of a fifth of a second are twelve turns: coalesced, at most six writes."""
    before = await writes(world)

    await world.apply("paced", flow="pace", input=0.2)
    await world.scene.completed("paced")

    spent = await writes(world) - before
    assert spent.total() - 1 <= WRITES_OF_A_RUN, spent


async def test_an_idle_operator_costs_next_to_nothing(world: World) -> None:
    """With 500 finished and 100 waiting runs: under one query a second, and no write to the API server."""
    finished, waiting = [f"done{number}" for number in range(500)], [f"wait{number}" for number in range(100)]
    await world.apply(*finished, flow="wait", input=0)
    await world.apply(*waiting, flow="wait", input=3600)
    await until(lambda: all_are_shown(world, {"Completed": 502, "Running": 100}))

    await asyncio.sleep(SETTLE_SECONDS)
    queries, spent = await transactions(world), await writes(world)
    await asyncio.sleep(WINDOW_SECONDS)  # a rate is the one thing that must be measured over time
    queries, spent = await transactions(world) - queries, await writes(world) - spent

    assert spent.total() == 0, spent
    assert queries / WINDOW_SECONDS < QUERIES_PER_SECOND


async def all_are_shown(world: World, phases: dict[str, int]) -> bool:
    """Tell whether so many resources show these phases."""
    listed = json.loads(await world.scene.kubectl("get", "orchestrations", "--output=json"))["items"]
    return Counter(item.get("status", {}).get("phase") for item in listed) == phases

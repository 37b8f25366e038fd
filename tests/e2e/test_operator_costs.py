"""What an operator costs the API server and the database: counted there, not in the operator.

The counts are those of the API server for our API group alone (its own controllers write all the time), and the
statements in the log of a Postgres where nobody else is busy.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from perdure._kube.api.base import GROUP
from perdure._store.embedded import EmbeddedPostgres
from tests.cluster.handle import Cluster, Request
from tests.e2e.operator_process import until
from tests.e2e.operators import World
from tests.postgres_plugin import Server, data_folder

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EVENTS = "events.k8s.io"
"""Where only operators write: the controllers of Kubernetes use the older API."""
WRITES_OF_A_RUN = 6
WRITES_OF_A_QUICK_RUN = 4
QUERIES_PER_SECOND = 1.0
WINDOW_SECONDS = 12.0
"""Several times every period but those of the two sweeps, which add 0.06 queries a second."""

LOGGED = {"log_statement": "all", "log_line_prefix": "%d %a: ", "log_parameter_max_length": "0", "autovacuum": "off"}
"""Settings of Postgres that write every statement into the log as `database application: LOG:  ...`."""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """Give a Postgres that logs every statement."""
    with data_folder() as folder, EmbeddedPostgres(folder, durable=False, in_pod=True, settings=LOGGED) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    cluster: Cluster, server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Give a namespace with an operator, and a database where nobody but it is busy."""
    folder = tmp_path_factory.mktemp("notes")
    async with World.shared(cluster, Server(server.dsn, server), folder=folder) as world:
        await world.operator(STATUS_WRITES_PER_SECOND="500", LEASE_SECONDS="10")
        yield world


async def writes(world: World) -> Counter[Request]:
    """Count the writes to resources of ours, and of Events, since the API server began.

    Without deletions: the controllers clear the namespaces of earlier tests, for a minute and more.
    """
    counts = await asyncio.to_thread(world.cluster.api_request_counts)
    return Counter(
        {
            request: count
            for request, count in counts.items()
            if request.group in {GROUP, EVENTS} and request.is_write and not request.verb.startswith("DELETE")
        }
    )


def statements(server: EmbeddedPostgres) -> Counter[str]:
    """Count the statements that operators have sent since the server began, each by its text."""
    log = (server.folder / "postgres.log").read_text(errors="replace")
    found = re.findall(r"^\S+ perdure\S*: LOG:  (?:statement|execute [^:]*): (.*)$", log, re.MULTILINE)
    return Counter(found)


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


async def test_an_idle_operator_costs_next_to_nothing(world: World, server: EmbeddedPostgres) -> None:
    """With 500 finished and 100 waiting runs: under one query a second, and no write to the API server."""
    finished, waiting = [f"done{number}" for number in range(500)], [f"wait{number}" for number in range(100)]
    await asyncio.gather(  # kubectl slows itself down after 300 requests
        world.apply(*finished[:250], flow="wait", input=0),
        world.apply(*finished[250:], flow="wait", input=0),
        world.apply(*waiting, flow="wait", input=3600),
    )
    phases = dict.fromkeys(finished, "Completed") | dict.fromkeys(waiting, "Running")
    await until(lambda: all_have_come_to_rest(world, phases))

    queries, spent = statements(server), await writes(world)
    await asyncio.sleep(WINDOW_SECONDS)  # a rate is the one thing that must be measured over time
    queries, spent = statements(server) - queries, await writes(world) - spent

    assert spent.total() == 0, spent
    assert await all_have_come_to_rest(world, phases), "something was deleted"
    assert 0 < queries.total() / WINDOW_SECONDS < QUERIES_PER_SECOND, queries


async def all_have_come_to_rest(world: World, phases: dict[str, str]) -> bool:
    """Tell whether all runs have ended or wait, show it, and the operator has nothing left to show or to take in."""
    (operator,) = world.operators
    runs = await world.instances()
    if not phases.items() <= {run.removesuffix(":1"): phase for run, phase in runs.items()}.items():
        return False
    columns = "custom-columns=NAME:.metadata.name,PHASE:.status.phase"
    listed = await world.scene.kubectl("get", "orchestrations", "--no-headers", f"--output={columns}")
    if not set(phases.items()) <= {(*line.split(),) for line in listed.splitlines()}:
        return False
    return [await operator.reading(f"{queue}_backlog") for queue in ("ingest", "status")] == [0, 0]

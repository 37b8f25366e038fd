"""Operators that stop, die, come twice, or lose the database or the API server: each resource still gets one run.

Real processes, a real API server, a real database; each test has a namespace and a database of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure._store.embedded import EmbeddedPostgres
from tests.cluster.handle import Cluster
from tests.e2e.operators import World

pytestmark = pytest.mark.slow

STATUS_SECONDS = 5.0
"""Within this after a start, statuses show what is."""


@pytest.fixture
async def world(cluster: Cluster, namespace: str, dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """Give a namespace and a database without an operator."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        yield world


async def test_applying_twice_around_a_restart_runs_once(world: World) -> None:
    """The same resource applied again, before and after a restart, is the same run; nothing is repeated."""
    first = await world.operator()
    await world.apply("db")
    await world.scene.completed("db")
    await world.apply("db")
    assert await first.stop() == 0

    await world.operator()
    await world.apply("db")
    await world.apply("last")
    await world.scene.completed("last")

    assert await world.instances() == {"db:1": "Completed", "last:1": "Completed"}
    assert len(world.notes()) == 6


async def test_deleted_and_created_again_while_the_operator_was_down(world: World) -> None:
    """The old run is cancelled, the new resource gets the next run, a new name its first; all shown within seconds."""
    first = await world.operator()
    await world.apply("again", "gone", "kept", flow="wait", input=3600)
    for name in ("again", "gone", "kept"):
        await world.scene.shown(name, "Running")
    await first.stop()

    await world.delete("again", "gone")
    await world.apply("again", "new")
    await world.operator()
    async with asyncio.timeout(STATUS_SECONDS):
        await world.scene.completed("again")
        await world.scene.completed("new")
        await world.in_phase("again:1", "Cancelled")
        await world.in_phase("gone:1", "Cancelled")

    assert await world.instances() == {
        "again:1": "Cancelled",
        "again:2": "Completed",
        "gone:1": "Cancelled",
        "kept:1": "Running",
        "new:1": "Completed",
    }
    assert (await world.scene.read("orchestration", "again"))["status"]["instanceId"].endswith("/again:2")


async def test_a_run_that_ends_while_nobody_watches_is_shown_by_the_next_operator(world: World) -> None:
    """The worker was killed between its last commit and the status: the database knows, the resource follows."""
    operator = await world.operator()
    await world.apply("db", flow="wait", input=3600)
    await world.scene.shown("db", "Running")
    await operator.kill()
    await world.database.execute(
        "update instances"
        " set phase = 'Completed', output = '\"done\"', finished_at = now(), owner_id = null, wake_at = null"
    )

    await world.operator()

    async with asyncio.timeout(STATUS_SECONDS):
        assert (await world.scene.completed("db"))["output"] == "done"


async def test_two_operators_do_no_harm(world: World) -> None:
    """Two controllers and two workers at once: one run for each resource; when one is killed, the other finishes."""
    first, _ = await asyncio.gather(world.operator(), world.operator())
    names = [f"db{number}" for number in range(20)]

    await world.apply(*names, flow="wait", input=2)
    await world.scene.shown("db19", "Running")
    await first.kill()
    for name in names:
        await world.scene.completed(name)

    assert await world.instances() == {f"{name}:1": "Completed" for name in names}


async def test_a_database_that_goes_away_ends_nothing(
    cluster: Cluster, namespace: str, crashable_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """The process stays up and says so; what was applied meanwhile runs when the database is back."""
    async with World.opened(cluster, namespace, dsn=crashable_postgres.dsn, folder=tmp_path) as world:
        operator = await world.operator()

        await asyncio.to_thread(crashable_postgres.crash)
        why = await operator.needs("database", ok=False)
        alive, _ = await operator.ask("/livez")
        refused, answer = await operator.ask("/api/v1/instances")
        await world.apply("db")
        await asyncio.to_thread(crashable_postgres.restart)
        await world.scene.completed("db")
        await operator.needs("database", ok=True)

        assert why
        assert (alive, refused, answer["error"]["code"]) == (200, 503, "PERDURE-1401")
        assert operator.process.returncode is None
        assert operator.count("database away, waiting for it") == 1


async def test_a_database_that_is_away_at_the_start_is_waited_for(
    cluster: Cluster, namespace: str, crashable_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """The process listens, says what it waits for, and begins when the database is there."""
    async with World.opened(cluster, namespace, dsn=crashable_postgres.dsn, folder=tmp_path) as world:
        await asyncio.to_thread(crashable_postgres.crash)

        operator = await world.operator(ready=False)
        why = await operator.needs("database", ok=False)
        await asyncio.to_thread(crashable_postgres.restart)
        await operator.said("operator_ready")
        await world.apply("db")

        assert why
        await world.scene.completed("db")


async def test_an_api_server_that_goes_away_ends_nothing(
    local_cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """Twenty runs go on without it, the process says so; what is applied once it is back runs, and all is shown."""
    before, after = ([f"{name}{number}" for number in range(20)] for name in ("before", "after"))
    async with World.opened(local_cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        operator = await world.operator()
        await world.apply(*before, flow="wait", input=3)
        await world.scene.shown(before[-1], "Running")

        await asyncio.to_thread(local_cluster.stop_api_server)
        try:
            for name in before:
                await world.in_phase(f"{name}:1", "Completed")
            why = await operator.needs("kubernetes", ok=False)
        finally:
            await asyncio.to_thread(local_cluster.start_api_server)
        await world.apply(*after, flow="wait", input=0)
        for name in (*before, *after):
            await world.scene.completed(name)

        assert why
        assert await world.instances() == {f"{name}:1": "Completed" for name in (*before, *after)}
        assert operator.count("API server away, waiting for it") == 1


async def test_an_api_server_that_is_away_at_the_start_is_waited_for(
    local_cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """The process begins without it, and goes on by itself when it is there."""
    async with World.opened(local_cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        await asyncio.to_thread(local_cluster.stop_api_server)
        try:
            operator = await world.operator(ready=False)
            await operator.said("API server away, waiting for it")
        finally:
            await asyncio.to_thread(local_cluster.start_api_server)

        await operator.said("operator_ready")
        await world.apply("db")
        await world.scene.completed("db")

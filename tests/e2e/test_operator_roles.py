"""A controller and a worker in processes of their own: what one of them cannot show, the other does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.handle import Cluster
from tests.e2e.operators import World

pytestmark = pytest.mark.slow

ROLLING = "tests.e2e.flows.rolling"


@pytest.fixture
async def world(cluster: Cluster, namespace: str, dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """Give a namespace and a database without an operator."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        yield world


async def test_a_controller_shows_what_no_worker_is_there_for(world: World) -> None:
    """It needs no packages, says what the run waits for, and the worker that joins shows the rest."""
    await world.operator("controller", MODULES="no_such_package")
    await world.apply("db")
    waiting = await world.scene.shown("db", "No live worker")

    await world.operator("worker")
    status = await world.scene.completed("db")

    assert waiting["phase"] == "Pending"
    assert status["output"] == {"done": 3}


async def test_a_controller_shows_the_end_that_a_dead_worker_did_not(world: World) -> None:
    """The worker died between its last commit and the status; no other has come yet."""
    await world.operator("controller")
    worker = await world.operator("worker")
    await world.apply("db", flow="wait", input=3600)
    await world.scene.shown("db", "Running")
    await worker.kill()
    await world.database.execute(
        "update instances"
        " set phase = 'Completed', output = '\"done\"', finished_at = now(), owner_id = null, wake_at = null"
    )

    assert (await world.scene.completed("db"))["output"] == "done"


async def test_a_worker_that_takes_a_run_over_is_shown(world: World) -> None:
    """While nobody was there the status said so; it stops to say so without a turn, which may come in an hour."""
    await world.operator("controller")
    worker = await world.operator("worker", MODULES=ROLLING)
    await world.apply("db", flow="linger", input=str(world.folder / "ledger"))
    await world.scene.shown("db", "effect")
    await worker.stop()
    await world.scene.shown("db", "WaitingForWorker")

    await world.operator("worker", MODULES=ROLLING)
    status = await world.scene.no_longer_shown("db", "WaitingForWorker")

    assert status["phase"] == "Running"


async def test_a_worker_that_joins_while_the_run_sleeps_is_shown(world: World) -> None:
    """The run waits for an hour and is claimed by nobody before; the status was written while no worker was there."""
    await world.operator("controller")
    worker = await world.operator("worker")
    await world.apply("db", flow="wait", input=3600)
    await world.scene.shown("db", "Timer")
    await worker.stop()
    await world.apply("db", flow="wait", input=3600, ttlSecondsAfterFinished=60)
    await world.scene.shown("db", "WaitingForWorker")

    await world.operator("worker")
    status = await world.scene.no_longer_shown("db", "WaitingForWorker")

    assert status["phase"] == "Running"


async def test_a_worker_alone_shows_its_runs(world: World) -> None:
    """Without a controller nothing new is seen; what was taken in is run and shown to its end."""
    controller = await world.operator("controller")
    await world.apply("db", flow="wait", input=2)
    await world.in_phase("db:1", "Pending")
    await controller.stop()

    worker = await world.operator("worker")

    assert (await world.scene.completed("db"))["output"] == "waited"
    assert sorted((await worker.readiness())["needs"]) == ["database", "kubernetes", "status writes", "worker"]

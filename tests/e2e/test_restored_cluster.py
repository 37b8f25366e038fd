"""The API server is restored from a backup: what has been since is true in the database, and has never been there.

The backup is a copy of etcd. Two operators have the same past, each with a namespace and a database of its own: one
runs through the restore, the other begins after it. Everything happens once, before the first test; each test looks at
the resources of one fate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from perdure._kube.api.base import API_VERSION
from perdure.client import Client
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import until
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

THROUGH, AFTERWARDS = "through", "afterwards"
SCHEDULE = {"cron": "@yearly", "orchestrationTemplate": {"spec": {"orchestration": "wait"}}}
SIGNAL = {"orchestrationRef": {"name": "later"}, "signal": "approved"}


def manifest(kind: str, spec: Mapping[str, Any]) -> str:
    """Give a resource named db as YAML."""
    return yaml.safe_dump({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "db"}, "spec": spec})


async def before(world: World) -> None:
    """What the backup has: runs under way, one that is over, one with a finalizer; a signal for somebody to come."""
    await world.apply("done")
    await world.apply("ends", flow="approve")
    await wait(world, "edited", "raced", "deleted")
    await wait(world, "compensated", deletionPolicy="Compensate")
    await world.scene.kubectl("apply", "-f-", input=manifest("OrchestrationSchedule", SCHEDULE))
    await world.scene.kubectl("apply", "-f-", input=manifest("OrchestrationSignal", SIGNAL))
    await world.scene.completed("done")
    for name in ("ends", "edited", "raced", "deleted", "compensated"):
        await world.scene.shown(name, "Running")
    await until(lambda: is_so(world, "select exists (select from schedules) and exists (select from signal_resources)"))


async def since(world: World) -> None:
    """What the backup has not."""
    async with await Client.connect(world.dsn) as client:
        await client.send_signal(f"{world.scene.namespace}/ends:1", "approved")
    await wait(world, "edited", "raced", suspend=True)
    await world.delete("deleted", "compensated")
    await wait(world, "new")
    await wait(world, "orphan", deletionPolicy="Orphan")
    await world.apply("later", flow="approve")
    await world.scene.kubectl("patch", "orchsched/db", "--type=merge", '--patch={"spec": {"cron": "@hourly"}}')
    for name in ("ends", "later"):
        await world.scene.completed(name)
    for name in ("edited", "raced"):
        await world.scene.shown(name, "Suspended")
    for name in ("new", "orphan"):
        await world.scene.shown(name, "Running")
    for name in ("deleted", "compensated"):
        await world.in_phase(f"{name}:1", "Cancelled")
    await until(lambda: is_so(world, "select spec like '%@hourly%' from schedules"))


async def wait(world: World, *names: str, **spec: object) -> None:
    """Apply runs that wait for long."""
    await world.apply(*names, flow="wait", input=3600, **spec)


async def is_so(world: World, query: str) -> bool:
    """Ask the database."""
    return bool(await world.database.fetchval(query))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worlds(
    local_cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mapping[str, World]]:
    """Give both worlds after the restore, with an operator each; "raced" was changed at once, before anybody looked."""
    first, second = (tmp_path_factory.mktemp(name) for name in (THROUGH, AFTERWARDS))
    async with (
        World.shared(local_cluster, postgres, folder=first) as through,
        World.shared(local_cluster, postgres, folder=second) as afterwards,
    ):
        worlds = {THROUGH: through, AFTERWARDS: afterwards}
        running, stopped = await asyncio.gather(*(world.operator() for world in worlds.values()))
        await asyncio.gather(*(before(world) for world in worlds.values()))
        await asyncio.to_thread(local_cluster.back_up)
        await asyncio.gather(*(since(world) for world in worlds.values()))
        await stopped.stop()
        await asyncio.to_thread(local_cluster.stop_api_server)
        await running.needs("kubernetes", ok=False)
        await asyncio.to_thread(local_cluster.restore)
        await asyncio.gather(*(wait(world, "raced", timeoutSeconds=7200) for world in worlds.values()))
        await afterwards.operator()
        yield worlds


@pytest.fixture(params=[THROUGH, AFTERWARDS])
def world(worlds: Mapping[str, World], request: pytest.FixtureRequest) -> World:
    """Give the world of an operator that ran through the restore, and of one that began after it."""
    return worlds[request.param]


async def test_a_run_that_has_ended_since_is_shown_as_it_is_and_not_run_again(world: World) -> None:
    """The backup says that it runs; one that was over before stays as it is."""
    await world.scene.completed("ends")

    assert await world.instances("ends", "done") == {"ends:1": "Completed", "done:1": "Completed"}
    assert len(world.notes("done")) == 3


async def test_what_stands_in_the_restored_spec_counts(world: World) -> None:
    """A pause that was asked for since is taken back; so is one where somebody made another change at once."""
    edited, raced = [await world.scene.no_longer_shown(name, "Suspended") for name in ("edited", "raced")]
    raced = await world.scene.shown("raced", '"observedGeneration": 2')

    assert (edited["phase"], edited["observedGeneration"], raced["phase"]) == ("Running", 1, "Running")
    assert await world.instances("edited", "raced") == {"edited:1": "Running", "raced:1": "Running"}


async def test_what_was_deleted_since_is_back_with_its_end_and_can_be_deleted_again(world: World) -> None:
    """Its run is not run again, and no finalizer holds what is over."""
    for name in ("deleted", "compensated"):
        await world.scene.shown(name, "Cancelled")
    await world.scene.kubectl("delete", "orchestrations", "deleted", "compensated", "--timeout=60s")

    assert await world.instances("deleted", "compensated") == {"deleted:1": "Cancelled", "compensated:1": "Cancelled"}


async def test_what_was_created_since_ends_as_if_it_were_deleted(world: World) -> None:
    """By its policy; the name goes on counting."""
    await world.in_phase("new:1", "Cancelled")
    await world.apply("new")
    await world.scene.completed("new")

    runs = {"new:1": "Cancelled", "new:2": "Completed", "orphan:1": "Running", "later:1": "Completed"}
    assert await world.instances("new", "orphan", "later") == runs


async def test_a_schedule_and_a_delivered_signal_are_as_they_stand_there(world: World) -> None:
    """The schedule goes by its old times; what was sent is known as sent."""
    await until(lambda: is_so(world, "select spec like '%@yearly%' and generation = 1 from schedules"))

    assert await is_so(world, "select phase = 'Delivered' from signal_resources")


async def test_what_comes_next_is_heard_at_once(world: World) -> None:
    """Nobody waits for a comparison by the clock, which is minutes away."""
    await wait(world, "next")
    await world.scene.shown("next", "Running")
    await wait(world, "next", suspend=True)
    await world.scene.shown("next", "Suspended")

    assert await world.instances("next") == {"next:1": "Suspended"}


async def test_what_a_restore_brings_back_is_left_alone_and_the_watch_too(
    cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """The database knows that it is gone; each comparison finds it, and none of them takes the watch for deaf."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        operator = await world.operator(SWEEP_SECONDS="1")
        await world.scene.kubectl("apply", "-f-", input=manifest("OrchestrationSchedule", SCHEDULE))

        async def is_gone() -> bool:
            return bool(await world.database.fetchval("update schedules set gone_at = now() returning true"))

        await until(is_gone)
        before = await operator.reading("sweeps_total")

        async def is_swept_again() -> bool:
            return await operator.reading("sweeps_total") >= before + 18

        await until(is_swept_again)
        assert await operator.reading("ingest_restarts_total") == 0
        assert await world.database.fetchval("select gone_at is not null from schedules")

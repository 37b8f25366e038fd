"""What Argo CD's sync engine does to Orchestrations over commits and syncs: it applies, waits by our health, prunes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from perdure._kube.client import Api
from tests.e2e.operators import World
from tests.gitops.argo.argo import Application, Argo
from tests.gitops.sampling import Life

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def application(argo: Argo, tmp_path: Path, request: pytest.FixtureRequest) -> Application:
    """Give an application of one's own."""
    return Application(argo, request.node.originalname.replace("_", "-")[:50], tmp_path)


@pytest.mark.parametrize("apply", [(), ("-server-side",)], ids=["client-side", "server-side"])
async def test_a_sync_is_done_when_the_run_is_and_there_is_nothing_to_correct(
    world: World, application: Application, apply: tuple[str, ...]
) -> None:
    """Neither the defaults nor the status of a resource are a difference to Git, and syncing again changes nothing."""
    name = f"synced-{len(apply)}"
    application.has(name, flow="steps", input={"folder": str(world.folder)})
    told = await application.sync("-wait", *apply)
    before = (await world.scene.read("orchestration", name))["metadata"]["resourceVersion"]
    again = await application.sync("-wait", *apply)

    assert (told.phase, told.is_synced, told.health) == ("Succeeded", True, {f"Orchestration/{name}": "Healthy"})
    assert (again.is_synced, again.health) == (True, told.health)
    assert (await world.scene.read("orchestration", name))["metadata"]["resourceVersion"] == before
    assert await world.instances(name) == {f"{name}:1": "Completed"}


async def test_what_went_by_its_ttl_is_synced_again_and_not_run_again(
    world: World, watcher: Api, application: Application
) -> None:
    """Its finished run is adopted: healthy at once, and it stays, however often it is synced."""
    application.has("expiring", input=0)
    first = await application.sync("-wait")
    async with Life.watched(watcher, "Orchestration", "expiring", namespace=world.scene.namespace) as life:
        application.has("expiring", input=0, ttlSecondsAfterFinished=0)
        await application.sync()
        await life.ends()
        told = [await application.sync("-wait") for _ in range(2)]

    assert first.health == {"Orchestration/expiring": "Healthy"}
    assert [(one.is_synced, one.health) for one in told] == [(True, first.health)] * 2
    assert not life.is_gone
    assert await world.instances("expiring") == {"expiring:1": "Completed"}


async def test_a_changed_request_runs_again_and_a_pruned_one_is_gone(world: World, application: Application) -> None:
    """`rerunPolicy: OnChange`; the health is that of the new run, not of the one before it."""
    application.has("changing", input=0, rerunPolicy="OnChange")
    await application.sync("-wait")
    application.has("changing", input=1, rerunPolicy="OnChange")
    told = await application.sync("-wait")
    after = await world.instances("changing")
    application.lacks("changing")
    pruned = await application.sync("-wait")

    assert (told.is_synced, told.health) == (True, {"Orchestration/changing": "Healthy"})
    assert after == {"changing:1": "Completed", "changing:2": "Completed"}
    assert pruned.results["Orchestration/changing"].startswith("Pruned")
    assert not await world.scene.kubectl("get", "orch", "changing", "--ignore-not-found", "--output=name")


async def test_a_prune_is_done_when_the_compensation_is(world: World, application: Application) -> None:
    """`deletionPolicy: Compensate`: it progresses until the finalizer has gone, and so until all is undone."""
    folder = {"folder": str(world.folder)}
    application.has("kept", flow="keep", input=folder, readyWhen="Custom", deletionPolicy="Compensate")
    told = await application.sync("-wait")
    application.lacks("kept")
    pruned = await application.sync("-wait")

    assert told.health == {"Orchestration/kept": "Healthy"}
    assert (pruned.phase, pruned.health) == ("Succeeded", {})
    assert await world.instances("kept") == {"kept:1": "Cancelled"}
    assert len(world.notes("kept")) == 2


async def test_a_wave_begins_when_the_runs_of_the_wave_before_have_completed(
    world: World, application: Application
) -> None:
    """Also when a wave is changed: the health of the run before it counts no longer."""
    for seconds in (1, 1.5):
        application.has("migration", input=seconds, rerunPolicy="OnChange")
        application.has("service", wave=1, input=seconds, rerunPolicy="OnChange")
        told = await application.sync("-wait")
        assert told.health == {"Orchestration/migration": "Healthy", "Orchestration/service": "Healthy"}

    rows = await world.database.fetch(
        "select instance_id, started_at, finished_at from instances where instance_id ~ $1 order by started_at",
        f"{world.scene.namespace}/(migration|service):",
    )
    assert [row["instance_id"].rpartition("/")[2] for row in rows] == [
        *("migration:1", "service:1", "migration:2", "service:2")
    ]
    for before, after in itertools.pairwise(rows):
        assert before["finished_at"] < after["started_at"]


async def test_a_failed_wave_ends_the_sync_with_the_words_of_its_run(world: World, application: Application) -> None:
    """What comes after it is not begun."""
    application.has("wrong", flow="fail")
    application.has("dependent", wave=1, input=0)
    told = await application.sync("-wait")

    assert told.phase == "Failed"
    assert "asks for too much" in told.results["Orchestration/wrong"]
    assert told.health == {"Orchestration/wrong": "Degraded", "Orchestration/dependent": "Missing"}
    assert await world.instances("dependent") == {}

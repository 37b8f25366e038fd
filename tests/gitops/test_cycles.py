"""Applied again and again, expired, pruned: what GitOps tools do all day makes no second run and no noise.

Flux is stood in for by what it does to the API server: a server-side apply in its name, by force, and a prune by label.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
import yaml

from perdure._kube.api.base import API_VERSION
from perdure._kube.client import Api
from tests.e2e.operators import World
from tests.gitops.sampling import Life

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LABEL = "kustomize.toolkit.fluxcd.io/name"


async def reconcile(world: World, name: str, **spec: object) -> None:
    """Apply a run as Flux does at every interval."""
    metadata = {"name": name, "labels": {LABEL: name}}
    wanted = {"orchestration": "test::orchestration::wait", "input": 0, **spec}
    await world.scene.kubectl(
        *("apply", "--server-side", "--field-manager=kustomize-controller", "--force-conflicts", "--filename=-"),
        input=yaml.safe_dump(
            {"apiVersion": API_VERSION, "kind": "Orchestration", "metadata": metadata, "spec": wanted}
        ),
    )


def life(watcher: Api, world: World, name: str) -> AbstractAsyncContextManager[Life]:
    """Watch a run."""
    return Life.watched(watcher, "Orchestration", name, namespace=world.scene.namespace)


async def test_applying_the_same_again_makes_no_run_and_no_version(world: World, watcher: Api) -> None:
    """Neither side writes over the other: the resource is as it was, to its version."""
    async with life(watcher, world, "cycled") as cycled:
        await reconcile(world, "cycled")
        await cycled.in_phase("Completed")
        before = (await world.scene.read("orchestration", "cycled"))["metadata"]["resourceVersion"]
        for _ in range(3):
            await reconcile(world, "cycled")
        await reconcile(world, "after-cycled")
        await world.scene.completed("after-cycled")

    assert cycled.versions[-1]["metadata"]["resourceVersion"] == before
    assert await world.instances("cycled") == {"cycled:1": "Completed"}


async def test_a_life_is_told_in_few_versions(world: World, watcher: Api) -> None:
    """Each wakes Argo CD: a run that is suspended, released, and then waits six times, has at most ten."""
    async with life(watcher, world, "quiet") as quiet:
        await reconcile(world, "quiet", orchestration="test::orchestration::pace", input=0.1, suspend=True)
        await quiet.in_phase("Suspended")
        await reconcile(world, "quiet", orchestration="test::orchestration::pace", input=0.1)
        await quiet.in_phase("Completed")

    assert len(quiet.versions) <= 10


async def test_what_has_expired_is_adopted_when_it_is_applied_again(world: World, watcher: Api) -> None:
    """However often; it stays from then on, and does not go and come for ever."""
    async with life(watcher, world, "expired") as expired:
        await reconcile(world, "expired", ttlSecondsAfterFinished=0)
        await expired.ends()
        for _ in range(3):
            await reconcile(world, "expired", ttlSecondsAfterFinished=0)
            await world.scene.completed("expired")
        async with life(watcher, world, "later") as later:
            await reconcile(world, "later", ttlSecondsAfterFinished=0)
            await later.ends()

    assert not expired.is_gone
    assert await world.instances("expired") == {"expired:1": "Completed"}


async def test_what_was_pruned_and_is_applied_again_runs_again(world: World, watcher: Api) -> None:
    """A prune is somebody's decision, unlike a TTL."""
    async with life(watcher, world, "pruned") as pruned:
        await reconcile(world, "pruned")
        await pruned.in_phase("Completed")
        await world.scene.kubectl("delete", "orchestrations", f"--selector={LABEL}=pruned")
        await pruned.ends()
        await reconcile(world, "pruned")
        await world.in_phase("pruned:2", "Completed")

    assert await world.instances("pruned") == {"pruned:1": "Completed", "pruned:2": "Completed"}

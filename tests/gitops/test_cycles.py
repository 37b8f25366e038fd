"""Applied again and again, expired, pruned: what GitOps tools do all day makes no second run and no noise.

They are stood in for by what they do to the API server: a server-side apply by force, and a prune by label.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AbstractAsyncContextManager

import pytest

from perdure._kube.client import Api
from perdure._kube.schedule import AGAIN_SECONDS
from tests.e2e.operators import World
from tests.gitops.applying import LABEL, apply
from tests.gitops.judging import Manifest
from tests.gitops.sampling import Life

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


APPLIED = 2
AT_ONCE = 4
"""What is shown without delay: that it is suspended, that it is released, that it runs, that it has completed."""


def said(version: Manifest) -> Manifest:
    """Give a version without what the API server notes of every write."""
    metadata = {
        key: value for key, value in version["metadata"].items() if key not in {"managedFields", "resourceVersion"}
    }
    return {**version, "metadata": metadata}


async def reconcile(world: World, name: str, **spec: object) -> None:
    """Apply a run as is done at every interval."""
    wanted = {"orchestration": "test::orchestration::wait", "input": 0, **spec}
    await apply(world, "Orchestration", name, **wanted)


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
    """Each wakes Argo CD, so each says something new; and a run that is suspended, released, and then waits six times
    has one for what was applied and for what was waited for, and the others are as far apart as the projector promises.
    """
    began = asyncio.get_running_loop().time()
    async with life(watcher, world, "quiet") as quiet:
        await reconcile(world, "quiet", orchestration="test::orchestration::pace", input=0.1, suspend=True)
        await quiet.in_phase("Suspended")
        await reconcile(world, "quiet", orchestration="test::orchestration::pace", input=0.1)
        await quiet.in_phase("Completed")
    lasted = asyncio.get_running_loop().time() - began

    contents = [said(version) for version in quiet.versions]
    assert all(before != after for before, after in itertools.pairwise(contents))
    assert len(contents) <= APPLIED + AT_ONCE + 1 + lasted / AGAIN_SECONDS


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

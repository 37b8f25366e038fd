"""Helm 4 waits for Orchestrations of a chart, with no plug-in: `helm install --wait` ends as their runs do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from tests.cluster.errors import CommandFailedError
from tests.cluster.handle import Cluster
from tests.e2e.operators import World, manifest

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


class Release:
    """A chart with one Orchestration, installed as a release of the same name."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder

    async def install(self, name: str, flow: str, *, timeout: str = "60s", **spec: object) -> str:
        """Install it and wait, and give what Helm says; raise `CommandFailedError` when Helm fails."""
        return await self._helm("install", name, flow, timeout, spec)

    async def upgrade(self, name: str, flow: str, **spec: object) -> str:
        """Upgrade it and wait, in the same way."""
        return await self._helm("upgrade", name, flow, "60s", spec)

    async def _helm(self, action: str, name: str, flow: str, timeout: str, spec: dict[str, object]) -> str:
        chart = self._folder / name
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": name, "version": "1.0.0"}))
        (chart / "templates" / "run.yaml").write_text(manifest(name, f"test::orchestration::{flow}", **spec))
        cluster: Cluster = self._world.cluster
        namespace = f"--namespace={self._world.scene.namespace}"
        return await asyncio.to_thread(cluster.helm, action, name, chart, namespace, "--wait", f"--timeout={timeout}")


@pytest.fixture
def release(world: World, tmp_path: Path) -> Release:
    """Give a way to install charts into the world."""
    return Release(world, tmp_path)


async def test_helm_waits_until_the_run_has_completed(world: World, release: Release) -> None:
    """It is not content with a resource that is there."""
    said = await release.install("good", "wait", input=1)
    status = (await world.scene.read("orchestration", "good"))["status"]

    assert "STATUS: deployed" in said
    assert status["phase"] == "Completed"


async def test_helm_fails_with_the_words_of_a_failed_run(release: Release) -> None:
    """At once, not after its timeout."""
    with pytest.raises(CommandFailedError, match="asks for too much"):
        await release.install("bad", "fail", timeout="10m")


async def test_helm_waits_for_a_suspended_run_until_its_time_is_up(world: World, release: Release) -> None:
    """It has not failed, and an upgrade that releases it succeeds."""
    with pytest.raises(CommandFailedError, match="InProgress"):
        await release.install("paused", "wait", timeout="3s", input=0, suspend=True)
    await world.scene.shown("paused", "Suspended")

    await release.upgrade("paused", "wait", input=0)

    assert (await world.scene.completed("paused"))["output"] == "waited"

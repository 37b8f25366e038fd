"""What people see who install a chart that holds one Orchestration: `--wait` waits for the run, and fails with it.

Helm knows nothing of Perdure: it reads the conditions. Charts are made here, of one template each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster.errors import CommandFailedError
from tests.cluster.handle import Cluster
from tests.e2e.operators import World, manifest
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give a namespace and a database with an operator."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes")) as world:
        await world.operator()
        yield world


def chart(folder: Path, name: str, orchestration: str, *, input: object = None) -> Path:
    """Write a chart that holds one Orchestration."""
    root = folder / name
    (root / "templates").mkdir(parents=True)
    (root / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n")
    (root / "templates" / "run.yaml").write_text(manifest(name, f"test::orchestration::{orchestration}", input=input))
    return root


async def helm(world: World, *arguments: str | Path) -> str:
    """Run Helm in the namespace."""
    return await asyncio.to_thread(world.scene.cluster.helm, f"--namespace={world.scene.namespace}", *arguments)


async def test_an_install_returns_when_the_run_has_completed(world: World, tmp_path: Path) -> None:
    """`helm install --wait` ends well, and not before the run did."""
    flow = chart(tmp_path, "good", "wait", input=1)

    await helm(world, "install", "good", flow, "--wait", "--timeout=60s")

    assert await world.instances("good") == {"good:1": "Completed"}


async def test_an_install_fails_when_the_run_fails(world: World, tmp_path: Path) -> None:
    """`helm install --wait` fails at once, long before its timeout, with the sentence of the status."""
    flow = chart(tmp_path, "bad", "fail")

    with pytest.raises(CommandFailedError, match="asks for too much"):
        await asyncio.wait_for(helm(world, "install", "bad", flow, "--wait", "--timeout=600s"), timeout=60)


async def test_an_install_of_an_unknown_orchestration_fails_with_the_known_names(world: World, tmp_path: Path) -> None:
    """A wrong name is not waited for until the timeout."""
    flow = chart(tmp_path, "wrong", "no-such")

    with pytest.raises(CommandFailedError, match=r"test::orchestration::approve@1\.0\.0"):
        await asyncio.wait_for(helm(world, "install", "wrong", flow, "--wait", "--timeout=600s"), timeout=60)


async def test_an_uninstall_cancels_the_run(world: World, tmp_path: Path) -> None:
    """`helm uninstall --wait` returns at once, since nothing holds the resource; the run ends Cancelled."""
    flow = chart(tmp_path, "going", "wait", input=3600)
    await helm(world, "install", "going", flow)
    await world.scene.shown("going", "Running")

    await helm(world, "uninstall", "going", "--wait", "--timeout=60s")

    await world.in_phase("going:1", "Cancelled")

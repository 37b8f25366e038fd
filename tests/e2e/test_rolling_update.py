"""A rolling update under open runs: every process is replaced, twice, by SIGTERM, as a Deployment does it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from perdure.client import Client
from tests.cluster.handle import Cluster
from tests.e2e.flows.rolling.registry import PARTS
from tests.e2e.operator_process import Operator, until
from tests.e2e.operators import World

pytestmark = pytest.mark.slow

OLD = [f"old{number}" for number in range(30)]
NEW = [f"new{number}" for number in range(3)]
BEFORE, AFTER = "tests.e2e.flows.rolling", "tests.e2e.flows.rolled"


class Site:
    """An installation of one controller and one worker at a time, and the ledger of what its runs did."""

    def __init__(self, world: World, client: Client) -> None:
        self._world = world
        self._client = client
        self.ledger = world.folder / "ledger"
        self._controller: Operator | None = None
        self._worker: Operator | None = None

    async def roll_out(self, modules: str) -> list[int]:
        """Start the next generation, and stop the one before once it is ready; give its exit codes."""
        world, codes = self._world, list[int]()
        for roles in ("controller", "worker"):
            lease = world.scene.namespace
            successor = await world.operator(roles, MODULES=modules, LEASE_NAMESPACE=lease, LEASE_SECONDS="10")
            former = self._controller if roles == "controller" else self._worker
            if roles == "controller":
                self._controller = successor
            else:
                self._worker = successor
            if former is not None:
                codes.append(await former.stop())
        return codes

    async def apply(self, names: Sequence[str]) -> None:
        """Apply a resource of each name."""
        await self._world.apply(*names, flow="roll", input=str(self.ledger))

    async def send_go(self, names: Sequence[str]) -> None:
        """Send the signal that each of these waits for, or will."""
        runs = [f"{self._world.scene.namespace}/{name}:1" for name in names]
        await asyncio.gather(*(self._client.send_signal(run, "go") for run in runs))

    def effects(self) -> Counter[str]:
        """Count what was done, by run and part."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        return Counter(line.removeprefix(f"{self._world.scene.namespace}/") for line in lines)

    async def has_prepared(self, names: Sequence[str]) -> None:
        """Wait until these are in the middle of their parts."""

        async def is_reached() -> bool:
            return {f"{name}:1 prepare" for name in names} <= set(self.effects())

        await until(is_reached)


@pytest.fixture
async def world(cluster: Cluster, namespace: str, dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """Give a namespace and a database without an operator."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        yield world


async def test_a_rolling_update_fails_no_run_and_doubles_none(world: World) -> None:
    """Thirty runs with activities, timers and signals under way live through two updates; new ones run the new code."""
    async with await Client.connect(world.dsn) as client:
        site = Site(world, client)
        await site.roll_out(BEFORE)
        await site.apply(OLD)
        await site.has_prepared(OLD)
        await site.send_go(OLD[:10])

        codes = await site.roll_out(AFTER)
        await site.send_go(OLD[10:20])
        await site.apply(NEW)
        codes += await site.roll_out(AFTER)
        await site.send_go(OLD[20:])
        statuses = {name: await world.scene.completed(name) for name in (*OLD, *NEW)}

    assert codes == [0, 0, 0, 0]
    assert await world.instances() == {f"{name}:1": "Completed" for name in (*OLD, *NEW)}
    assert {statuses[name]["version"] for name in OLD} == {"1.0.0"}
    assert {statuses[name]["version"] for name in NEW} == {"2.0.0"}
    wanted = [*(f"{name}:1 {part}" for name in OLD for part in PARTS), *(f"{name}:1 finish" for name in NEW)]
    assert site.effects() == Counter(wanted)

"""A watch that breaks, expires, falls silent or loses events: what happens meanwhile is found all the same, and once.

Two operators stand behind a proxy that spoils their watches, each with a namespace and a database of its own: one that
compares everything so seldom that the watch alone must do, and one that compares every second, because nothing else
finds what a watch does not tell. Each test has names of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from perdure._kube.api.orchestration import PLURAL
from tests.cluster.handle import Cluster
from tests.e2e import faulty
from tests.e2e.faulty import Fault, FaultyServer
from tests.e2e.operator_process import PATIENCE_SECONDS, Operator
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@dataclasses.dataclass(frozen=True)
class Behind:
    """A world whose operator sees the API server through a proxy."""

    world: World
    server: FaultyServer
    operator: Operator

    async def change(self, name: str) -> None:
        """Delete one of two runs that wait, pause the other, and apply a third; each has the name and a number."""
        await self.world.delete(f"{name}-1")
        await self.world.apply(f"{name}-2", flow="wait", input=3600, suspend=True)
        await self.world.apply(f"{name}-3", flow="wait", input=0)

    async def begun(self, name: str) -> None:
        """Have two runs wait."""
        await self.world.apply(f"{name}-1", f"{name}-2", flow="wait", input=3600)
        for number in (1, 2):
            await self.world.scene.shown(f"{name}-{number}", "Running")

    async def found(self, name: str) -> dict[str, str]:
        """Wait until all three changes have been heard, and give the runs of these names."""
        await self.world.in_phase(f"{name}-1:1", "Cancelled")
        await self.world.scene.shown(f"{name}-2", "Suspended")
        await self.world.scene.completed(f"{name}-3")
        return await self.world.instances(*(f"{name}-{number}" for number in (1, 2, 3)))


def expected(name: str) -> dict[str, str]:
    """Give the runs as they must be: each resource has one."""
    return {f"{name}-1:1": "Cancelled", f"{name}-2:1": "Suspended", f"{name}-3:1": "Completed"}


@contextlib.asynccontextmanager
async def behind(
    cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory, *, sweep_seconds: int
) -> AsyncIterator[Behind]:
    """Start an operator behind a proxy."""
    folder = tmp_path_factory.mktemp("behind")
    async with (
        FaultyServer.before(cluster, folder) as server,
        World.shared(cluster, postgres, folder=folder) as world,
    ):
        yield Behind(
            world, server, await world.operator(kubeconfig=server.kubeconfig, SWEEP_SECONDS=str(sweep_seconds))
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watching(
    cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Behind]:
    """Give an operator that depends on its watch."""
    async with behind(cluster, postgres, tmp_path_factory, sweep_seconds=3600) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comparing(
    cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Behind]:
    """Give an operator that compares every second."""
    async with behind(cluster, postgres, tmp_path_factory, sweep_seconds=1) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "last", "refusals"),
    [
        ("cut", faulty.BROKEN, []),
        ("expired", faulty.EXPIRED, []),
        ("refused", b"", [410, 410]),
        ("lost", faulty.BROKEN, [503, 429, 500]),
    ],
    ids=["cut", "expired", "refused", "lost"],
)
async def test_a_watch_that_ends_loses_and_doubles_nothing(
    watching: Behind, name: str, last: bytes, refusals: list[int]
) -> None:
    """In the middle of an event, by an expired version, or with refusals at its resumption: all changes are heard."""
    await watching.begun(name)

    watching.server.faults += [Fault("watch", PLURAL, code, 1) for code in refusals]
    await watching.server.end_watches(last)
    await watching.change(name)

    assert await watching.found(name) == expected(name)
    assert [fault for fault in watching.server.faults if fault.given == 0] == []


@pytest.mark.parametrize(
    ("name", "told"), [("silent", faulty.silence), ("bookmarks", faulty.as_bookmark)], ids=["silent", "bookmarks"]
)
async def test_what_a_watch_does_not_tell_is_found_and_another_begins(
    comparing: Behind, name: str, told: object
) -> None:
    """It is up, and says nothing, or that something was: comparisons find it, and do not trust that watch any more."""
    await comparing.begun(name)
    before = comparing.operator.count(DEAF)

    comparing.server.told = told  # type: ignore[assignment]  # as pytest gives it
    await comparing.change(name)
    found = await comparing.found(name)
    number = 3
    async with asyncio.timeout(PATIENCE_SECONDS):
        while comparing.operator.count(DEAF) == before:  # it is said of two comparisons in a row that found something
            number += 1
            await comparing.world.apply(f"{name}-{number}", flow="wait", input=0)
    comparing.server.told = None
    await comparing.world.scene.completed(f"{name}-{number}")

    assert found == expected(name)


DEAF = "the watch tells nothing, beginning another"

"""A database of another cluster is refused before anything is taken in, and taken over when that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from perdure import errors
from perdure._kube.client import Api
from perdure._kube.reach import Reach
from perdure._kube.tie import Tie
from perdure._store.store import Store
from tests.cluster.handle import Cluster
from tests.e2e.operators import World

pytestmark = pytest.mark.slow

ELSEWHERE = UUID("00000000-0000-0000-0000-00000000beef")


@pytest.fixture
async def world(cluster: Cluster, namespace: str, dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """Give a namespace and a database without an operator."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        yield world


async def tied_to(world: World) -> list[UUID]:
    """Give the cluster that the database belongs to, if any."""
    return [row["cluster_uid"] for row in await world.database.fetch("select cluster_uid from installation")]


async def belongs_elsewhere(world: World) -> None:
    """Let an operator of another cluster have been here before."""
    await world.database.execute("insert into installation (cluster_uid) values ($1)", ELSEWHERE)


async def test_the_database_of_another_cluster_is_refused_and_can_be_taken_over(world: World) -> None:
    """Nothing is taken in, no run begins, and the error names the cluster and the setting; which may stay."""
    await belongs_elsewhere(world)
    await world.apply("db")

    refused = await world.operator(ready=False)
    await refused.process.wait()
    assert await refused.stop() == 1
    assert await world.database.fetch("select 1 from resources") == []
    assert f"PERDURE_ADOPT_CLUSTER={ELSEWHERE}" in refused.log
    assert "PERDURE-1605" in refused.log

    adopting = await world.operator(ADOPT_CLUSTER=str(ELSEWHERE))
    await world.scene.completed("db")
    await adopting.stop()
    await world.operator(ADOPT_CLUSTER=str(ELSEWHERE))
    assert await tied_to(world) == [UUID((await world.scene.read("namespace", "kube-system"))["metadata"]["uid"])]


async def test_a_foreign_database_is_found_out_when_the_api_server_is_back(
    local_cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """A process that begins while the API server is away asks as soon as it can, and takes nothing in before."""
    async with World.opened(local_cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        await belongs_elsewhere(world)
        await world.apply("db")
        await asyncio.to_thread(local_cluster.stop_api_server)
        try:
            operator = await world.operator(ready=False)
            await operator.needs("worker", ok=True)
        finally:
            await asyncio.to_thread(local_cluster.start_api_server)
        await operator.process.wait()

        assert await operator.stop() == 1
        assert "PERDURE-1605" in operator.log
        assert await world.database.fetch("select 1 from resources") == []


async def test_without_the_right_to_know_the_cluster_there_is_no_tie(cluster: Cluster, world: World) -> None:
    """An operator with Roles in namespaces alone goes on, as on a database that belongs to nobody."""
    api, store = await Api.connect(str(cluster.kubeconfig)), await Store.open(world.dsn)
    nobody = api.acting_as(f"system:serviceaccount:{world.scene.namespace}:default")
    tie = Tie(nobody, store, reach=Reach(), adopted=None)

    may_go_on = await tie.look()
    await store.close()
    await api.close()

    assert may_go_on
    assert tie.known.is_set()
    assert await tied_to(world) == []


async def test_a_tie_to_another_cluster_is_an_error_with_both_names(cluster: Cluster, world: World) -> None:
    """Whoever reads it knows which of the two is wrong."""
    await belongs_elsewhere(world)
    api, store = await Api.connect(str(cluster.kubeconfig)), await Store.open(world.dsn)

    with pytest.raises(errors.ForeignClusterError, match=f"{ELSEWHERE}.*this is the cluster"):
        await Tie(api, store, reach=Reach(), adopted=None).look()
    await store.close()
    await api.close()

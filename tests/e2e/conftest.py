"""What several modules here share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from perdure._kube.client import Api
from tests.cluster.handle import Cluster
from tests.e2e.library import Cast
from tests.e2e.operators import LIBRARY, World, count_tests_beside
from tests.postgres_plugin import Server


@pytest.fixture(scope="module")
def shared_namespace(cluster: Cluster) -> Iterator[str]:
    """Give one namespace for a module, on a cluster that has the CRDs."""
    cluster.install_crds()
    name = cluster.make_namespace()
    yield name
    cluster.delete_namespace(name)


@pytest.fixture
async def cast(cluster: Cluster, namespace: str) -> AsyncIterator[Cast]:
    """Give a namespace with a ServiceAccount that may do what the activities do."""
    api = await Api.connect(str(cluster.kubeconfig))
    cast = Cast(cluster, namespace, api)
    await cast.kubectl("create", "serviceaccount", "runner")
    await cast.kubectl("create", "rolebinding", "runner", "--clusterrole=admin", f"--serviceaccount={namespace}:runner")
    yield cast
    await api.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def library_world(
    cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    """Give an operator of the packages that are offered, a database, and a namespace for each test of the module."""
    folder, namespaces = tmp_path_factory.mktemp("notes"), count_tests_beside(request)
    async with World.shared(cluster, postgres, folder=folder, namespaces=namespaces) as world:
        await world.operator(MODULES=LIBRARY)
        yield world

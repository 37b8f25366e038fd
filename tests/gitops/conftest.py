"""The judge and the world of these tests: an operator in a namespace, and a client that watches."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from perdure._kube.client import Api
from tests.cluster.handle import Cluster
from tests.cluster.plugin import UncapturedProgress
from tests.e2e.operators import World
from tests.gitops.judging import Judge
from tests.postgres_plugin import Server


@pytest.fixture(scope="session")
def judge(request: pytest.FixtureRequest) -> Judge:
    """Give the code of kstatus."""
    return Judge(UncapturedProgress(request.config))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give a namespace and a database with an operator."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes")) as world:
        await world.operator(CANCEL_GRACE_SECONDS="3")
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watcher(cluster: Cluster) -> AsyncIterator[Api]:
    """Give a client of one's own, for watches."""
    api = await Api.connect(str(cluster.kubeconfig))
    yield api
    await api.close()

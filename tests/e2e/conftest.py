"""What several modules here share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from perdure._kube.client import Api
from tests.cluster.handle import Cluster
from tests.e2e.library import Cast


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

"""What several modules here share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.handle import Cluster


@pytest.fixture(scope="module")
def shared_namespace(cluster: Cluster) -> Iterator[str]:
    """Give one namespace for a module, on a cluster that has the CRDs."""
    cluster.install_crds()
    name = cluster.make_namespace()
    yield name
    cluster.delete_namespace(name)

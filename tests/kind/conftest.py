"""What the tests on kind start from: images just built, and a cluster that has them.

| fixture | scope | gives |
|---|---|---|
| `image` | session | the name of the operator's image, built from this tree by `make image` |
| `shop_image` | session | that of the sample project, made from it |
| `supplied` | session | the kind cluster, with these images in it |

These tests are run by `make e2e` where there are kind and docker; asked for by name elsewhere, they fail and say so.
"""

from __future__ import annotations

import pytest

from tests.cluster import commands
from tests.cluster.handle import Cluster
from tests.kind.installation import IMAGE, POSTGRES, SHOP_IMAGE
from tests.kind.shop import PROJECT
from tests.tree import ROOT


@pytest.fixture(scope="session")
def image() -> str:
    """Build the image of the operator."""
    commands.run("make", f"--directory={ROOT}", "image", f"IMAGE={IMAGE}")
    return IMAGE


@pytest.fixture(scope="session")
def shop_image(image: str) -> str:
    """Build the image of the sample project, as its page says."""
    assert f"FROM {image}\n" in (PROJECT / "Dockerfile").read_text()
    commands.run("docker", "build", "--tag", SHOP_IMAGE, PROJECT)
    return SHOP_IMAGE


@pytest.fixture(scope="session")
def supplied(cluster: Cluster, image: str, shop_image: str) -> Cluster:
    """Give the kind cluster, with the images in it."""
    if cluster.kind != "kind":
        pytest.fail(f"These tests need kind and a docker engine, and this is {cluster.kind}.", pytrace=False)
    for name in (image, shop_image, POSTGRES):
        cluster.load_image(name)
    return cluster

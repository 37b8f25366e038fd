"""Helm, and a bare cluster: a control plane of the chart's own, where nobody has installed anything yet.

The chart owns what there is once in a cluster (the resource definitions, roles): in the cluster that other tests share
it would find theirs, and they would find its own. It ends with the last test of this folder.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chart.generated import CHART
from tests.chart.rendering import NAMESPACE, RELEASE, Renderer
from tests.cluster import choice, finding
from tests.cluster.handle import Cluster
from tests.cluster.local import LocalControlPlane
from tests.cluster.plugin import UncapturedProgress
from tests.cluster.toolchain import CONTROL_PLANE

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture(scope="session")
def finder(pytestconfig: pytest.Config) -> finding.Finder:
    """Give what builds the programs, once, and says so."""
    return finding.Finder(choice.Surroundings(None, None, is_docker_answering=False), UncapturedProgress(pytestconfig))


@pytest.fixture(scope="session")
def chart(finder: finding.Finder) -> Renderer:
    """Give what renders the chart."""
    return Renderer(finder.helm())


@pytest.fixture(scope="package")
def bare(finder: finding.Finder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a cluster for the chart alone, with the namespaces that it is rendered for, for restricted pods only."""
    programs = finder.toolchain.ensure(CONTROL_PLANE, finder.progress)
    with LocalControlPlane(tmp_path_factory.mktemp("bare") / "local", programs) as control_plane:
        cluster = finder.local(control_plane)
        for namespace in (NAMESPACE, "team-a", "team-b"):
            cluster.kubectl("create", "namespace", namespace)
            cluster.kubectl("label", "namespace", namespace, RESTRICTED)
            cluster.wait_for_service_account(namespace)
        yield cluster


@pytest.fixture(scope="package")
def installed(bare: Cluster) -> Cluster:
    """Install the chart as the page says it, and give the cluster; at the end of each test it is there."""
    bare.helm(
        *("install", RELEASE, CHART, f"--namespace={NAMESPACE}", "--create-namespace", "--wait", "--timeout=120s"),
        *("--set", "impersonation.namespaces={team-a}"),
    )
    return bare

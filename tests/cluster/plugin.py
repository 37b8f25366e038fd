"""The pytest side: the option `--cluster`, the line that says where the tests run, and the fixtures.

| fixture | scope | gives |
|---|---|---|
| `cluster` | session | a `handle.Cluster`, made when the first test asks for it |
| `local_cluster` | session | the same, where the API server may be killed; elsewhere the test is skipped |
| `namespace` | function | the name of a namespace of its own |

A test that needs containers to run for real carries the marker `needs_kubelet`. kind is pytest-kind's affair; this
plugin only tells it which programs and which image to use, because it would download others.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.cluster import choice, finding, kind
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.local import LocalControlPlane
from tests.cluster.progress import Progress
from tests.cluster.toolchain import CONTROL_PLANE, cache_folder

CHOICE = pytest.StashKey[choice.Choice]()
AROUND = pytest.StashKey[choice.Surroundings]()
PYTEST_KIND_DEFAULT_NAME = "pytest-kind"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--cluster`, whose default is `$PERDURE_TEST_CLUSTER`."""
    parser.getgroup("cluster").addoption(
        "--cluster",
        choices=choice.WANTED,
        default=None,
        dest="perdure_cluster",
        help=f"where tests that need Kubernetes run (default: ${choice.WANTED_VARIABLE}, else auto)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Decide where to run, and tell pytest-kind what it would else download."""
    config.addinivalue_line(
        "markers", "needs_kubelet: needs containers that really run; skipped on the local control plane"
    )
    around = choice.look_around()
    try:
        wanted = config.getoption("perdure_cluster") or choice.wanted_from(os.environ)
        chosen = choice.choose(wanted, around)
    except ClusterError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[CHOICE], config.stash[AROUND] = chosen, around
    if chosen.kind == "kind":
        _configure_pytest_kind(config, around)


def _configure_pytest_kind(config: pytest.Config, around: choice.Surroundings) -> None:
    option = config.option
    option.kind_bin = option.kind_bin or around.kind_program
    option.kind_kubectl_bin = option.kind_kubectl_bin or os.environ.get("KUBECTL_BIN") or shutil.which("kubectl")
    option.kind_image = option.kind_image or os.environ.get("KIND_IMAGE")
    if option.cluster_name == PYTEST_KIND_DEFAULT_NAME:
        option.cluster_name = kind.session_cluster_name()


def pytest_report_header(config: pytest.Config) -> str:
    """Say on which of the three the tests run, and why."""
    chosen = config.stash[CHOICE]
    return f"cluster: {finding.TITLES[chosen.kind]} ({chosen.reason})"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder that pytest-kind makes for a cluster of this run."""
    name = kind.session_cluster_name()
    if config.stash.get(CHOICE, None) is not None and config.option.cluster_name == name:
        kind.remove_folder(name)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give the cluster of this test run; made when first asked for, and removed at the end if we made it."""
    folder = tmp_path_factory.mktemp("cluster")
    finder = finding.Finder(request.config.stash[AROUND], UncapturedProgress(request.config))
    match request.config.stash[CHOICE].kind:
        case "kubeconfig":
            yield finder.given(folder)
        case "kind":
            request.getfixturevalue("_kind_claim")
            made = request.getfixturevalue("kind_cluster")
            yield finder.of_kind(made.name, made.kubeconfig_path.absolute())
        case "local":
            programs = finder.toolchain.ensure(CONTROL_PLANE, finder.progress)
            with LocalControlPlane(folder / "local", programs) as control_plane:
                yield finder.local(control_plane)


@pytest.fixture(scope="session")
def _kind_claim(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold our claim on the kind cluster from before it is made until after it is deleted."""
    name = request.config.option.cluster_name
    if not kind.is_of_a_session(name) or request.config.option.keep_cluster:
        yield
        return
    with kind.claimed(request.config.option.kind_bin, name, cache_folder() / "kind"):
        yield


@pytest.fixture(scope="session")
def local_cluster(cluster: Cluster) -> Cluster:
    """Give the cluster where its API server may be killed; skip the test elsewhere."""
    if cluster.control_plane is None:
        pytest.skip(f"needs the local control plane, and this is {cluster.kind}")
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give the name of a new namespace, which is deleted afterwards without waiting for its end."""
    name = cluster.make_namespace()
    yield name
    cluster.delete_namespace(name)


@pytest.fixture(autouse=True)
def _skip_without_kubelet(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("needs_kubelet") is None:
        return
    if not cast("Cluster", request.getfixturevalue("cluster")).has_kubelet:
        pytest.skip("needs containers that really run, and here a stand-in for the kubelet only says so")


class UncapturedProgress(Progress):
    """Progress on the terminal of the test run: pytest's capture is lifted while a slow step lasts."""

    def __init__(self, config: pytest.Config) -> None:
        assert sys.__stderr__ is not None
        super().__init__(sys.__stderr__)
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show the step, capture or not."""
        with self._capture.global_and_fixture_disabled():
            self.say("")
            with super().step(title):
                yield

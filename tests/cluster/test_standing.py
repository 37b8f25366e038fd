"""`make cluster-up` and `make cluster-down`: one cluster for a checkout, found again, and taken down without a trace.

The local control plane and a given cluster are tried here; kind takes the same way through `standing` and differs in
two commands.
"""

import io
import stat
from pathlib import Path

import pytest

from tests.cluster.choice import Surroundings
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.progress import Progress
from tests.cluster.standing import StandingCluster

NOTHING = Surroundings(kubeconfig=None, kind_program=None, is_docker_answering=False)


def standing(root: Path, around: Surroundings = NOTHING) -> StandingCluster:
    """Return the standing cluster of the checkout in `root`, as a new command would see it."""
    return StandingCluster(around, Progress(io.StringIO()), root=root)


@pytest.mark.slow
def test_a_second_up_finds_the_first_and_down_leaves_nothing(local_cluster: Cluster, tmp_path: Path) -> None:
    """Up twice is one cluster, whose kubeconfig is for its owner's eyes; down removes all of it, twice is no error."""
    assert standing(tmp_path).up("auto") == "local"
    first = standing(tmp_path).kubeconfig.read_text()
    mode = stat.S_IMODE(standing(tmp_path).kubeconfig.stat().st_mode)
    assert standing(tmp_path).up("auto") == "local"
    second = standing(tmp_path).kubeconfig.read_text()

    with pytest.raises(ClusterError, match="a local control plane is up, and kind was asked for"):
        standing(tmp_path).up("kind")

    assert standing(tmp_path).down() == "local"
    assert standing(tmp_path).down() is None
    assert (first, mode) == (second, 0o600)
    assert list(tmp_path.iterdir()) == []


def test_a_given_cluster_is_copied_and_never_taken_down(cluster: Cluster, tmp_path: Path) -> None:
    """With $TEST_KUBECONFIG, up copies that one context, and down removes the copy; the cluster lives on."""
    around = Surroundings(str(cluster.kubeconfig), None, is_docker_answering=False)

    assert standing(tmp_path, around).up("auto") == "kubeconfig"
    mode = stat.S_IMODE(standing(tmp_path).kubeconfig.stat().st_mode)
    assert standing(tmp_path, around).down() == "kubeconfig"

    assert mode == 0o600
    assert list(tmp_path.iterdir()) == []
    assert cluster.kubectl("get", "--raw=/readyz") == "ok"


def test_an_up_that_was_interrupted_is_taken_down(tmp_path: Path) -> None:
    """A state without a cluster behind it, as a killed `up` leaves it, is no obstacle for down."""
    folder = tmp_path / ".cluster"
    folder.mkdir()
    (folder / "state.json").write_text('{"kind": "local"}')

    assert standing(tmp_path).down() == "local"

    assert list(tmp_path.iterdir()) == []

"""Where to run is decided by three facts in a fixed order.

The decision is a pure function, so each of its branches is a line of a table here; nothing is started.
"""

from pathlib import Path

import pytest

from tests.cluster import choice
from tests.cluster.choice import Surroundings
from tests.cluster.errors import ClusterError

NOTHING = Surroundings(kubeconfig=None, kind_program=None, is_docker_answering=False)
KIND = Surroundings(kubeconfig=None, kind_program="/bin/kind", is_docker_answering=True)
KIND_WITHOUT_DOCKER = Surroundings(kubeconfig=None, kind_program="/bin/kind", is_docker_answering=False)
GIVEN = Surroundings(kubeconfig="mine.yaml", kind_program=None, is_docker_answering=False)
ALL = Surroundings(kubeconfig="mine.yaml", kind_program="/bin/kind", is_docker_answering=True)


@pytest.mark.parametrize(
    ("wanted", "around", "kind"),
    [
        ("auto", NOTHING, "local"),
        ("auto", KIND_WITHOUT_DOCKER, "local"),
        ("auto", KIND, "kind"),
        ("auto", GIVEN, "kubeconfig"),
        ("auto", ALL, "kubeconfig"),
        ("kubeconfig", ALL, "kubeconfig"),
        ("kind", ALL, "kind"),
        ("local", ALL, "local"),
        ("local", NOTHING, "local"),
    ],
)
def test_a_given_cluster_goes_before_kind_and_kind_before_our_own(
    wanted: choice.Wanted, around: Surroundings, kind: choice.Kind
) -> None:
    """Unless one is asked for by name, the order is $TEST_KUBECONFIG, kind, local control plane."""
    assert choice.choose(wanted, around).kind == kind


@pytest.mark.parametrize(
    ("wanted", "around", "obstacle"),
    [
        ("kubeconfig", KIND, "$TEST_KUBECONFIG is not set"),
        ("kind", NOTHING, "there is no kind program"),
        ("kind", KIND_WITHOUT_DOCKER, "no docker engine answers"),
    ],
)
def test_what_is_asked_for_and_not_there_is_refused_with_the_reason(
    wanted: choice.Wanted, around: Surroundings, obstacle: str
) -> None:
    """A wish is never silently replaced by another cluster."""
    with pytest.raises(ClusterError) as refused:
        choice.choose(wanted, around)

    assert obstacle in str(refused.value)


def test_the_reason_names_all_that_was_passed_over() -> None:
    """Whoever reads the head of a test run sees why the better clusters were not taken."""
    reason = choice.choose("auto", KIND_WITHOUT_DOCKER).reason

    assert reason == "$TEST_KUBECONFIG is not set, no docker engine answers"


def test_an_unknown_word_in_the_environment_is_refused_with_the_known_ones() -> None:
    """A typing error in $PERDURE_TEST_CLUSTER does not run the tests somewhere else."""
    with pytest.raises(ClusterError, match="'knid'; it can be auto, kubeconfig, kind, local"):
        choice.wanted_from({"PERDURE_TEST_CLUSTER": "knid"})


def test_without_programs_nothing_is_asked_and_nothing_found() -> None:
    """A machine with an empty path has neither kind nor docker."""
    assert choice.look_around({"PATH": "/nonexistent"}) == NOTHING


def test_a_given_kubeconfig_that_is_not_there_is_refused_by_its_full_name(tmp_path: Path) -> None:
    """$TEST_KUBECONFIG that names no file is an error, not a reason to take another cluster."""
    missing = tmp_path / "missing.yaml"

    with pytest.raises(ClusterError, match=str(missing)):
        choice.given_kubeconfig(Surroundings(str(missing), None, is_docker_answering=False))

"""On which cluster to run: a pure decision, and the look around that feeds it.

The order is fixed: the cluster of `$TEST_KUBECONFIG`, else kind where a docker engine answers, else a control plane
of our own. `choose` sees only values, so that each branch has a test; `look_around` alone asks the machine. Neither
knows how a cluster is started.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tests.cluster.errors import ClusterError

Kind = Literal["kubeconfig", "kind", "local"]
Wanted = Literal["auto", "kubeconfig", "kind", "local"]

WANTED: tuple[Wanted, ...] = get_args(Wanted)
WANTED_VARIABLE = "PERDURE_TEST_CLUSTER"
KUBECONFIG_VARIABLE = "TEST_KUBECONFIG"
DOCKER_PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machine offers: a kubeconfig named by the user, a kind program, an answering docker engine."""

    kubeconfig: str | None
    kind_program: str | None
    is_docker_answering: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Where to run, and the words that explain it at the start of a test run."""

    kind: Kind
    reason: str


def wanted_from(environment: Mapping[str, str]) -> Wanted:
    """Return what `$PERDURE_TEST_CLUSTER` asks for, `auto` when it is unset; refuse any other word."""
    word = environment.get(WANTED_VARIABLE) or "auto"
    if word not in WANTED:
        raise ClusterError(f"${WANTED_VARIABLE} is {word!r}; it can be {', '.join(WANTED)}")
    return word


def choose(wanted: Wanted, around: Surroundings) -> Choice:
    """Return where to run; raise `ClusterError` when what was asked for by name is not there."""
    missing = _missing_for_kind(around)
    match wanted:
        case "kubeconfig" if around.kubeconfig is None:
            raise ClusterError(
                f"a given cluster was asked for, but ${KUBECONFIG_VARIABLE} is not set; set it to a kubeconfig file"
            )
        case "kind" if missing is not None:
            raise ClusterError(f"kind was asked for, but {missing}")
        case "local":
            return Choice("local", "asked for")
        case "kind":
            return Choice("kind", "asked for")
        case _ if around.kubeconfig is not None:
            return Choice("kubeconfig", f"${KUBECONFIG_VARIABLE} is {around.kubeconfig}")
        case _ if missing is None:
            return Choice("kind", "docker and kind are there")
        case _:
            return Choice("local", f"${KUBECONFIG_VARIABLE} is not set, and {missing}")


def look_around(environment: Mapping[str, str] = os.environ) -> Surroundings:
    """Ask the machine, docker only where its answer could matter (it takes about 50 ms)."""
    kubeconfig = environment.get(KUBECONFIG_VARIABLE) or None
    kind_program = environment.get("KIND_BIN") or shutil.which("kind", path=environment.get("PATH"))
    is_docker_answering = kind_program is not None and _is_docker_answering(environment)
    return Surroundings(kubeconfig, kind_program, is_docker_answering)


def given_kubeconfig(around: Surroundings) -> Path:
    """Return the file that `$TEST_KUBECONFIG` names; raise `ClusterError` when it is not there."""
    path = Path(around.kubeconfig or "").expanduser().absolute()
    if not path.is_file():
        raise ClusterError(
            f"${KUBECONFIG_VARIABLE} names {path}, which is not a file; name one kubeconfig file or unset it"
        )
    return path


def _missing_for_kind(around: Surroundings) -> str | None:
    if around.kind_program is None:
        return "there is no kind program (in $KIND_BIN or $PATH)"
    if not around.is_docker_answering:
        return "no docker engine answers"
    return None


def _is_docker_answering(environment: Mapping[str, str]) -> bool:
    docker = shutil.which("docker", path=environment.get("PATH"))
    if docker is None:
        return False
    command = [docker, "version", "--format", "{{.Server.Version}}"]
    try:
        answer = subprocess.run(
            command, env=environment, capture_output=True, timeout=DOCKER_PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0

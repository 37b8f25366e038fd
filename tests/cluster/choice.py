"""On which cluster to run: a pure decision, and the look around that feeds it.

The order is fixed: the cluster of `$TEST_KUBECONFIG`, else kind where a docker engine answers, else a control plane
of our own. `choose` sees only values, so that each branch has a test; `look_around` alone asks the machine. Neither
knows how a cluster is started.
"""

import itertools
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
    obstacles = _obstacles(around)
    if wanted == "auto":
        passed_over = itertools.takewhile(lambda kind: obstacles[kind] is not None, obstacles)
        reasons = [str(obstacles[kind]) for kind in passed_over]
        first_possible = list(obstacles)[len(reasons)]
        return Choice(first_possible, ", ".join(reasons) or f"it is {around.kubeconfig}")
    if obstacles[wanted] is not None:
        raise ClusterError(f"{wanted} was asked for as the cluster of the tests, but {obstacles[wanted]}")
    return Choice(wanted, "asked for")


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


def _obstacles(around: Surroundings) -> dict[Kind, str | None]:
    """Return what stands against each kind of cluster, in the order in which they are preferred."""
    if around.kind_program is None:
        against_kind = "there is no kind program in $KIND_BIN or $PATH"
    elif not around.is_docker_answering:
        against_kind = "no docker engine answers"
    else:
        against_kind = None
    against_given = None if around.kubeconfig else f"${KUBECONFIG_VARIABLE} is not set"
    return {"kubeconfig": against_given, "kind": against_kind, "local": None}


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

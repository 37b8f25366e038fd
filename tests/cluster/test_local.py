"""A local control plane ends with its owner, however that ends, and leaves no process behind.

What is killed is a control plane of the test's own, which costs some four seconds. The programs it needs are there: the
cluster of the test run is made of the same.
"""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cluster.handle import Cluster
from tests.cluster.local import ROOT
from tests.cluster.toolchain import CONTROL_PLANE, Toolchain, cache_folder

pytestmark = pytest.mark.slow

NAMES = {"etcd", "kube-apiserver", "kube-controller-manager"}
PATIENCE_SECONDS = 60

OWNER = """
import sys
from pathlib import Path
from tests.cluster.local import LocalControlPlane
programs = {Path(path).name: Path(path) for path in sys.argv[2:]}
with LocalControlPlane(Path(sys.argv[1]), programs):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def owner(local_cluster: Cluster, tmp_path: Path) -> subprocess.Popen[str]:
    """Give a process that owns a control plane, which is ready."""
    toolchain = Toolchain(cache_folder())
    paths = [str(toolchain.path(name)) for name in CONTROL_PLANE]
    command = [sys.executable, "-c", OWNER, str(tmp_path / "control-plane"), *paths]
    started = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def family(process: subprocess.Popen[str]) -> tuple[psutil.Process, list[psutil.Process]]:
    """Return the supervisor below the process, and the programs below that."""
    (supervisor,) = psutil.Process(process.pid).children()
    programs = supervisor.children()
    assert {program.name()[:15] for program in programs} == {name[:15] for name in NAMES}
    return supervisor, programs


def end(process: subprocess.Popen[str]) -> None:
    """Close the pipes of a process that is on its end, and take its exit code."""
    process.communicate(timeout=PATIENCE_SECONDS)


def test_a_control_plane_ends_with_an_owner_that_is_killed(owner: subprocess.Popen[str]) -> None:
    """SIGKILL of the owner ends the supervisor and its programs."""
    supervisor, programs = family(owner)

    owner.kill()
    end(owner)

    _, alive = psutil.wait_procs([supervisor, *programs], timeout=PATIENCE_SECONDS)
    assert alive == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the children of a dead parent")
def test_the_programs_end_with_a_supervisor_that_is_killed(owner: subprocess.Popen[str]) -> None:
    """SIGKILL of the supervisor ends the programs, and its owner can still end in order."""
    supervisor, programs = family(owner)

    supervisor.send_signal(signal.SIGKILL)

    _, alive = psutil.wait_procs(programs, timeout=PATIENCE_SECONDS)
    end(owner)
    assert alive == []
    assert owner.returncode == 0


def test_everything_listens_on_loopback_alone(local_cluster: Cluster) -> None:
    """No program of the control plane can be reached from the network."""
    assert local_cluster.control_plane is not None
    programs = psutil.Process(local_cluster.control_plane.pid).children()

    listening = [
        connection.laddr.ip
        for program in programs
        for connection in program.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert len(programs) == len(NAMES)
    assert set(listening) == {"127.0.0.1"}

"""What we ask of kind beyond what pytest-kind does: names that do not meet, and clusters whose maker was killed.

A cluster of a test run is named after the process that began the run, and the process that makes it holds a lock on a
file of that name for as long as it lives. A file whose lock is free belongs to the dead, and so does its cluster.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.cluster import commands

PYTEST_KIND_FOLDER = Path(".pytest-kind")
_OURS = "perdure-test-"


def session_cluster_name() -> str:
    """Return the name for the cluster of this test run."""
    return f"{_OURS}{os.getpid()}"


def is_of_a_session(name: str) -> bool:
    """Tell whether a cluster of this name belongs to a test run, of whichever process."""
    return name.startswith(_OURS)


@contextlib.contextmanager
def claimed(kind_program: str, name: str, claims: Path) -> Iterator[None]:
    """Delete the clusters of dead test runs, and let the one called `name` be known as ours for the block."""
    claims.mkdir(parents=True, exist_ok=True)
    for other in claims.iterdir():
        _delete_if_orphaned(kind_program, other)
    claim = claims / name
    with claim.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        claim.unlink()


def clusters(kind_program: str) -> list[str]:
    """Return the names of the clusters that kind knows of."""
    return commands.run(kind_program, "get", "clusters").split()


def create(kind_program: str, name: str, *, kubeconfig: Path, image: str | None) -> None:
    """Create a cluster of one node and write its kubeconfig; kind's own default image where none is given."""
    options = [f"--name={name}", f"--kubeconfig={kubeconfig}", "--wait=120s"]
    commands.run(kind_program, "create", "cluster", *options, *([f"--image={image}"] if image else []))


def delete(kind_program: str, name: str, *, kubeconfig: Path) -> None:
    """Delete a cluster if it is there; `kubeconfig` is the file to take it out of, so that no other one is touched."""
    commands.run(kind_program, "delete", "cluster", f"--name={name}", f"--kubeconfig={kubeconfig}")


def remove_folder(name: str) -> None:
    """Remove the folder that pytest-kind made in the working directory for a cluster of this name."""
    shutil.rmtree(PYTEST_KIND_FOLDER / name, ignore_errors=True)
    with contextlib.suppress(OSError):  # it is not there, or holds the folder of another cluster
        PYTEST_KIND_FOLDER.rmdir()


def _delete_if_orphaned(kind_program: str, claim: Path) -> None:
    with claim.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        delete(kind_program, claim.name, kubeconfig=claim.with_suffix(".kubeconfig"))
        remove_folder(claim.name)
        claim.unlink(missing_ok=True)

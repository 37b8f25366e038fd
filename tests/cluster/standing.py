"""The cluster of `make cluster-up`: it stands until `make cluster-down`, and the folder `.cluster` says what it is.

`.cluster/kubeconfig` is for people, for `make run` and for the demo. What is made here is noted in
`.cluster/state.json` before it is made, so that an interrupted `up` can be taken down; what was not made here is
never removed.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast
from zlib import crc32

from tests.cluster import choice, kind
from tests.cluster.errors import ClusterError, ProgramFailedError
from tests.cluster.finding import TITLES, Finder, write_private
from tests.cluster.handle import Cluster
from tests.cluster.local import ROOT, supervisor_command
from tests.cluster.progress import Progress
from tests.cluster.supervisor import READY
from tests.cluster.toolchain import CONTROL_PLANE

STOP_SECONDS = 60
POLL_SECONDS = 0.05


class StandingCluster:
    """The one cluster that a checkout keeps up."""

    def __init__(self, around: choice.Surroundings, progress: Progress, *, root: Path = ROOT) -> None:
        """Keep everything in the folder `.cluster` of `root`."""
        self._folder = root / ".cluster"
        self._state = self._folder / "state.json"
        self._supervisor_lock = self._folder / "supervisor.lock"
        self._progress = progress
        self._finder = Finder(around, progress)
        self._name_in_kind = f"perdure-{crc32(str(root.absolute()).encode()):08x}"
        self.kubeconfig = self._folder / "kubeconfig"

    def up(self, wanted: choice.Wanted) -> choice.Kind:
        """Bring a cluster up, or find the one that is up; return which of the three it is."""
        with self._alone():
            standing = self._kind_or_none()
            if standing is not None and self._is_alive(standing):
                self._check_wish(wanted, standing)
                return standing
            if standing is not None:
                self._remove(standing)
            chosen = choice.choose(wanted, self._finder.around)
            self._progress.say(f"cluster: {TITLES[chosen.kind]} ({chosen.reason})")
            write_private(self._state, json.dumps({"kind": chosen.kind}))
            self._make(chosen.kind)
            self._link_kubectl(chosen.kind)
            return chosen.kind

    def down(self) -> choice.Kind | None:
        """Remove what `up` made; return what it was, None when there was nothing."""
        with self._alone():
            standing = self._kind_or_none()
            if standing is not None:
                self._remove(standing)
            shutil.rmtree(self._folder, ignore_errors=True)
            return standing

    def _make(self, which: choice.Kind) -> None:
        match which:
            case "kubeconfig":
                self._finder.given(self._folder)
            case "kind":
                with self._progress.step(f"creating the kind cluster {self._name_in_kind}"):
                    self._create_in_kind()
            case "local":
                programs = self._finder.toolchain.ensure(CONTROL_PLANE, self._progress)
                with self._progress.step("starting the local control plane"):
                    self._start_supervisor(programs)

    def _create_in_kind(self) -> None:
        program = self._kind_program()
        if self._name_in_kind in kind.clusters(program):
            kind.delete(program, self._name_in_kind, kubeconfig=self.kubeconfig)
        kind.create(program, self._name_in_kind, kubeconfig=self.kubeconfig, image=os.environ.get("KIND_IMAGE"))
        self.kubeconfig.chmod(0o600)
        self._finder.of_kind(self._name_in_kind, self.kubeconfig)

    def _start_supervisor(self, programs: Mapping[str, Path]) -> None:
        folder = self._folder / "local"
        shutil.rmtree(folder, ignore_errors=True)
        log = self._folder / "supervisor.log"
        command = [*supervisor_command(folder, programs), f"--detach={self._supervisor_lock}"]
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output
            ) as parent,
        ):
            assert parent.stdout is not None
            answer = parent.stdout.readline().decode().strip()
        if answer != READY:
            raise ProgramFailedError(
                f"the local control plane did not start; {log} says:\n{log.read_text(errors='replace')[-3000:]}"
            )
        write_private(self.kubeconfig, (folder / "admin.kubeconfig").read_text())

    def _remove(self, standing: choice.Kind) -> None:
        match standing:
            case "kubeconfig":
                pass  # somebody else's cluster: only our copy of the kubeconfig goes
            case "kind":
                kind.delete(self._kind_program(), self._name_in_kind, kubeconfig=self.kubeconfig)
            case "local":
                self._stop_supervisor()
        self.kubeconfig.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def _stop_supervisor(self) -> None:
        """Send SIGTERM to the holder of the lock, and return when the lock is free."""
        if not self._supervisor_lock.exists():
            return
        with self._supervisor_lock.open("r") as lock:
            if _try_lock(lock.fileno()):
                return
            os.kill(int(lock.read()), signal.SIGTERM)
            end = time.monotonic() + STOP_SECONDS
            while not _try_lock(lock.fileno()):
                if time.monotonic() > end:
                    raise ProgramFailedError(
                        f"the local control plane did not stop within {STOP_SECONDS} s of SIGTERM; see {self._folder}"
                    )
                time.sleep(POLL_SECONDS)

    def _is_alive(self, standing: choice.Kind) -> bool:
        if not self.kubeconfig.exists():
            return False
        cluster = Cluster(self.kubeconfig, standing, self._finder.kubectl(standing), self._finder.helm)
        return cluster.kubectl("get", "--raw=/readyz", "--request-timeout=10s", check=False).strip() == "ok"

    def _check_wish(self, wanted: choice.Wanted, standing: choice.Kind) -> None:
        is_given = self._finder.around.kubeconfig is not None
        wish = "kubeconfig" if wanted == "auto" and is_given else wanted
        if wish not in ("auto", standing):
            raise ClusterError(f"{TITLES[standing]} is up, and {wish} was asked for; `make cluster-down` first")

    def _kind_or_none(self) -> choice.Kind | None:
        try:
            return cast("choice.Kind", json.loads(self._state.read_text())["kind"])
        except FileNotFoundError:
            return None

    def _kind_program(self) -> str:
        program = self._finder.around.kind_program
        if program is None:
            raise ClusterError("the cluster was made by kind, and there is no kind program now (in $KIND_BIN or $PATH)")
        return program

    def _link_kubectl(self, which: choice.Kind) -> None:
        """Put a kubectl beside the kubeconfig, for people and scripts on a machine that has none."""
        link = self._folder / "bin" / "kubectl"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(self._finder.kubectl(which))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one `up` or `down` work in this checkout at a time: a lock on the checkout's own folder."""
        checkout = os.open(self._folder.parent, os.O_RDONLY)
        try:
            fcntl.flock(checkout, fcntl.LOCK_EX)
            self._folder.mkdir(exist_ok=True, mode=0o700)
            yield
        finally:
            os.close(checkout)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

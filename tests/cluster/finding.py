"""From a choice to a `handle.Cluster`: the three ways, shared by the fixture and by `make cluster-up`."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import choice, commands
from tests.cluster.handle import Cluster, is_stand_in
from tests.cluster.local import LocalControlPlane
from tests.cluster.progress import Progress
from tests.cluster.toolchain import Toolchain, cache_folder

TITLES: Mapping[choice.Kind, str] = {
    "kubeconfig": "the cluster of $TEST_KUBECONFIG",
    "kind": "kind",
    "local": "a local control plane",
}


class Finder:
    """Makes handles; builds the Go programs that are missing for them, and shows it."""

    def __init__(self, around: choice.Surroundings, progress: Progress) -> None:
        """Use what `around` offers; show slow steps by `progress`."""
        self.around = around
        self.progress = progress
        self.toolchain = Toolchain(cache_folder())

    def given(self, folder: Path) -> Cluster:
        """Return the cluster of `$TEST_KUBECONFIG`, by a copy of its current context alone in `folder`."""
        source = choice.given_kubeconfig(self.around)
        kubectl = self.kubectl("kubeconfig")
        copy = write_private(
            folder / "kubeconfig",
            commands.run(kubectl, "config", "view", f"--kubeconfig={source}", "--raw", "--flatten", "--minify"),
        )
        cluster = Cluster(copy, "kubeconfig", kubectl, self.helm)
        cluster.has_kubelet = not is_stand_in(cluster)
        return cluster

    def of_kind(self, name: str, kubeconfig: Path) -> Cluster:
        """Return the kind cluster of that name."""
        program = self.around.kind_program
        assert program is not None

        def load(image: str) -> None:
            commands.run(program, "load", "docker-image", f"--name={name}", image)

        cluster = Cluster(kubeconfig, "kind", self.kubectl("kind"), self.helm, image_loader=load)
        cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=180s")
        cluster.wait_for_service_account("default")
        return cluster

    def local(self, control_plane: LocalControlPlane) -> Cluster:
        """Return the cluster of a local control plane that runs already."""
        return Cluster(
            control_plane.kubeconfig,
            "local",
            self.kubectl("local"),
            self.helm,
            has_kubelet=False,
            control_plane=control_plane,
        )

    def kubectl(self, which: choice.Kind) -> Path:
        """Return `$KUBECTL_BIN`; else the machine's, but for our own control plane one of its version."""
        found = os.environ.get("KUBECTL_BIN") or (None if which == "local" else shutil.which("kubectl"))
        return Path(found) if found else self.program("kubectl")

    def helm(self) -> Path:
        """Return Helm in the version that the tests were written for, built when it is first asked for."""
        return self.program("helm")

    def program(self, name: str) -> Path:
        """Return a program of the toolchain, built when it is first asked for."""
        return self.toolchain.ensure((name,), self.progress)[name]


def write_private(path: Path, content: str) -> Path:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(content)
    return unfinished.rename(path)

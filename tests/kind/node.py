"""The one node of a kind cluster: a container of the docker engine, in which containerd and a kubelet run."""

from __future__ import annotations

from tests.cluster import commands
from tests.cluster.handle import Cluster

__all__ = ["Node"]

PATIENCE = "180s"


class Node:
    """The node; its API server stays, as that of a cluster whose workers' node is gone."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._name = cluster.kubectl("get", "nodes", "--output=name").strip().removeprefix("node/")

    def lose(self, namespace: str) -> None:
        """End the kubelet and every container of the namespace at once; return when the cluster has given the node up.

        It does so after somewhat less than a minute without a sign of life.
        """
        self._run("systemctl stop kubelet")
        self._run(
            f"crictl ps --quiet --label io.kubernetes.pod.namespace={namespace} | xargs -r crictl stop --timeout 0"
        )
        self._wait("Unknown")

    def find(self) -> None:
        """Start the kubelet, which starts the containers again."""
        self._run("systemctl start kubelet")
        self._wait("True")

    def _run(self, script: str) -> None:
        commands.run("docker", "exec", self._name, "sh", "-c", script)

    def _wait(self, status: str) -> None:
        self._cluster.kubectl("wait", f"node/{self._name}", f"--for=condition=Ready={status}", f"--timeout={PATIENCE}")

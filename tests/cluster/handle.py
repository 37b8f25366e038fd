"""What a test holds of a cluster, whichever of the three it is.

Everything goes through kubectl and helm with a kubeconfig given by name; tests that want a client make one from
`Cluster.kubeconfig`. The methods block: call them from a coroutine by `asyncio.to_thread`.
"""

import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.cluster import commands
from tests.cluster.choice import Kind
from tests.cluster.errors import ClusterError
from tests.cluster.kubelet import NODE
from tests.cluster.local import LocalControlPlane

PATIENCE_SECONDS = 60
POLL_SECONDS = 0.05

CRDS = Path(__file__).parents[2] / "crds"

_COUNTED = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Request(NamedTuple):
    """A kind of request as the API server counts it; `verb` is that of HTTP, or `APPLY`, `LIST`, `WATCH`."""

    verb: str
    group: str
    resource: str
    subresource: str

    @property
    def is_write(self) -> bool:
        """Whether the request changes something."""
        return self.verb in {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}


@dataclass(slots=True)
class Cluster:
    """A cluster that tests may fill with namespaces of their own."""

    kubeconfig: Path
    kind: Kind
    kubectl_program: Path
    helm_program: Callable[[], Path]
    """Builds Helm when it is first asked for."""
    has_kubelet: bool = True
    """Whether containers really run; False where the stand-in only says so."""
    image_loader: Callable[[str], None] | None = None
    control_plane: LocalControlPlane | None = None
    _has_crds: bool = field(default=False, init=False)

    def kubectl(self, *arguments: str | Path, input: str | None = None, check: bool = True) -> str:
        """Return the output of kubectl; raise `CommandFailedError` when it fails and `check` is set."""
        named = f"--kubeconfig={self.kubeconfig}"
        return commands.run(
            self.kubectl_program, named, *arguments, input=input, check=check, environment=self.environment
        )

    def helm(self, *arguments: str | Path, input: str | None = None, check: bool = True) -> str:
        """Return the output of Helm; raise `CommandFailedError` when it fails and `check` is set."""
        named = f"--kubeconfig={self.kubeconfig}"
        return commands.run(
            self.helm_program(), named, *arguments, input=input, check=check, environment=self.environment
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment for programs that shall see this cluster and no other, and keep their caches beside it."""
        folder = self.kubeconfig.parent / "client-caches"
        caches = {
            name: str(folder / name.lower()) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        }
        # kubectl keys its discovery cache by host and port, which local control planes reuse
        return {**os.environ, **caches, "KUBECACHEDIR": str(folder), "KUBECONFIG": str(self.kubeconfig)}

    def make_namespace(self) -> str:
        """Return the random name of a new namespace in which Pods can be made."""
        name = f"perdure-test-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        self.wait_for_service_account(name)
        return name

    def wait_for_service_account(self, namespace: str) -> None:
        """Return when the default ServiceAccount is there: before that, no Pod can be made in the namespace."""
        end = time.monotonic() + PATIENCE_SECONDS
        query = ("get", "serviceaccounts", f"--namespace={namespace}", "--output=name")
        # not `kubectl wait --for=create`, which only came with 1.31
        while "serviceaccount/default" not in self.kubectl(*query).split():
            if time.monotonic() > end:
                raise ClusterError(f"no default ServiceAccount in namespace {namespace} after {PATIENCE_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def delete_namespace(self, name: str) -> None:
        """Ask for the end of a namespace and return at once: it takes seconds, and nobody waits for it."""
        self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def install_crds(self) -> None:
        """Apply the custom resource definitions of this checkout, once, and wait until they are served; they stay."""
        if self._has_crds:
            return
        self.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRDS}")
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"--filename={CRDS}")
        self._has_crds = True

    def load_image(self, image: str) -> None:
        """Bring an image of the docker engine into a kind cluster; elsewhere nothing is to be done."""
        if self.image_loader is not None:
            self.image_loader(image)

    def api_request_counts(self) -> Counter[Request]:
        """Return how many requests of each kind the API server has answered; subtract two of these to count."""
        counts: Counter[Request] = Counter()
        for found in _COUNTED.finditer(self.kubectl("get", "--raw", "/metrics")):
            labels = dict(_LABEL.findall(found["labels"]))
            counts[Request(*(labels.get(name, "") for name in Request._fields))] += int(float(found["count"]))
        return counts

    def stop_api_server(self) -> None:
        """Kill the API server by SIGKILL; on the local control plane alone."""
        self._own_control_plane().kill_server()

    def start_api_server(self) -> None:
        """Start the API server again, on the same port and data, and wait until it is ready."""
        self._own_control_plane().start_server()

    def back_up(self) -> None:
        """Keep a copy of everything that is in the cluster; on the local control plane alone."""
        self._own_control_plane().back_up()

    def restore(self) -> None:
        """Go back to the copy, as after a disaster: what came later has never been; wait until it is ready."""
        self._own_control_plane().restore()

    def _own_control_plane(self) -> LocalControlPlane:
        if self.control_plane is None:
            raise ClusterError(f"only the local control plane can be broken on purpose, this is {self.kind}")
        return self.control_plane


def is_stand_in(cluster: Cluster) -> bool:
    """Return whether the only node of the cluster is the stand-in for the kubelet."""
    return cluster.kubectl("get", "nodes", "--output=name").split() == [f"node/{NODE}"]

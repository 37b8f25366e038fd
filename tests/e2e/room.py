"""A resource of a kind by itself on a real API server, with no operator: what the tests of a definition begin with."""

from __future__ import annotations

import json
import secrets
from typing import Any, ClassVar

from perdure._kube.api.base import API_VERSION
from tests.cluster.handle import Cluster

__all__ = ["Room"]


class Room:
    """A name of its own in a namespace that tests share: nothing runs in it, so nothing gets in the way."""

    kind: ClassVar[str]
    short: ClassVar[str]

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.name = f"{self.short}-{secrets.token_hex(4)}"

    def kubectl(self, *words: str, input: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(*words, f"--namespace={self.namespace}", input=input)

    def create(self, spec: dict[str, Any], suffix: str = "") -> dict[str, Any]:
        """Create a resource of the kind; give it as the server has it."""
        manifest = {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name + suffix, "labels": {"test": self.name}},
            "spec": spec,
        }
        answer = self.kubectl(
            "create", "--filename=-", "--output=json", "--validate=strict", input=json.dumps(manifest)
        )
        created: dict[str, Any] = json.loads(answer)
        return created

    def patch(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Change the spec by a merge patch, null removes a field; give what the server has then."""
        words = ("patch", self.short, self.name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")
        patched: dict[str, Any] = json.loads(self.kubectl(*words, "--output=json"))
        return patched

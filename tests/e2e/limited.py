"""An operator that may do what it must, and nothing else: a ServiceAccount, its roles, and a kubeconfig with its token.

RBAC of the API server is real in every test cluster. The rights come from the operator's own list (`rights.py`); a
test may leave some of them out. It knows nothing of operators as processes.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import JsonValue

from perdure._kube import rights
from tests.cluster.control_plane import AUDITED_NAMESPACE
from tests.cluster.handle import Cluster

__all__ = ["EVERYWHERE", "Limited"]

EVERYWHERE = rights.rules("watched", "cluster")
"""What an operator must be allowed in the whole cluster."""


class Limited:
    """The identity of an operator, in the namespace whose requests are audited."""

    def __init__(self, cluster: Cluster, kubeconfig: Path, name: str) -> None:
        self._cluster = cluster
        self.kubeconfig = kubeconfig
        self.name = name
        self.user = f"system:serviceaccount:{AUDITED_NAMESPACE}:{name}"

    @classmethod
    async def made(
        cls, cluster: Cluster, folder: Path, *, runs: Sequence[str], watched: list[dict[str, JsonValue]] | None = None
    ) -> Limited:
        """Make one that watches the whole cluster, and may act as the ServiceAccounts of the namespaces `runs`.

        `watched` is what it may do everywhere; all that it must when not given.
        """
        name = f"operator-{secrets.token_hex(4)}"
        limited = cls(cluster, folder / f"{name}.kubeconfig", name)
        everywhere = EVERYWHERE if watched is None else watched
        await limited.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AUDITED_NAMESPACE}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": AUDITED_NAMESPACE}},
            limited._role("ClusterRole", everywhere),
            limited._binding("ClusterRole"),
            limited._role("Role", rights.rules("own"), AUDITED_NAMESPACE),
            limited._binding("Role", AUDITED_NAMESPACE),
        )
        await asyncio.gather(*(limited.may_act_in(namespace) for namespace in runs))
        token = await limited._kubectl("create", "token", name, f"--namespace={AUDITED_NAMESPACE}", "--duration=2h")
        await asyncio.to_thread(limited._write, token.strip())
        return limited

    async def may(self, everywhere: list[dict[str, JsonValue]]) -> None:
        """Change what it may do in the whole cluster."""
        await self.apply(self._role("ClusterRole", everywhere))

    async def may_act_in(self, namespace: str) -> None:
        """Let it impersonate the ServiceAccounts of this namespace."""
        await self.apply(self._role("Role", rights.rules("runs"), namespace), self._binding("Role", namespace))

    async def apply(self, *manifests: dict[str, JsonValue]) -> None:
        """Apply objects as the administrator."""
        await self._kubectl(
            *("apply", "--server-side", "--field-manager=test", "--filename=-"),
            input="---\n".join(yaml.safe_dump(manifest) for manifest in manifests),
        )

    async def remove(self) -> None:
        """Take away what it may do in the whole cluster; what is in namespaces goes with them."""
        await self._kubectl("delete", "clusterrole,clusterrolebinding", self.name, "--ignore-not-found")

    def _role(self, kind: str, rules: list[dict[str, JsonValue]], namespace: str | None = None) -> dict[str, JsonValue]:
        return {**self._of_rbac(kind, namespace), "rules": list(rules)}

    def _binding(self, kind: str, namespace: str | None = None) -> dict[str, JsonValue]:
        return {
            **self._of_rbac(f"{kind}Binding", namespace),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": self.name},
            "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": AUDITED_NAMESPACE}],
        }

    def _of_rbac(self, kind: str, namespace: str | None) -> dict[str, JsonValue]:
        where: dict[str, JsonValue] = {} if namespace is None else {"namespace": namespace}
        return {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": self.name, **where},
        }

    def _write(self, token: str) -> None:
        """Write a kubeconfig with the address of the cluster, and the token as the only credential."""
        config = json.loads(self._cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
        (context,) = config["contexts"]
        context["context"]["user"] = self.name
        config["users"] = [{"name": self.name, "user": {"token": token}}]
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(config))

    async def _kubectl(self, *arguments: str, input: str | None = None) -> str:
        return await asyncio.to_thread(self._cluster.kubectl, *arguments, input=input)

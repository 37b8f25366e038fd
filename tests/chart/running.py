"""What a pod of the chart would have, for a process that runs beside the control plane: its rights and its settings."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.chart.rendering import NAMESPACE, RELEASE, Manifest, found
from tests.cluster.handle import Cluster

__all__ = ["kubeconfig_as", "settings"]

REPLACED = ("DATABASE_URL", "DATABASE_PASSWORD_FILE", "HTTP_HOST", "HTTP_PORT")


def kubeconfig_as(cluster: Cluster, account: str, folder: Path, *, namespace: str = NAMESPACE) -> Path:
    """Write a kubeconfig with a token of a ServiceAccount, and nothing else that opens a door."""
    token = cluster.kubectl("create", "token", account, f"--namespace={namespace}").strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path = folder / f"{account}.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def settings(manifests: list[Manifest], name: str = RELEASE) -> dict[str, str]:
    """Give the settings of the pods of a Deployment, without those that only make sense in one."""
    [container] = found(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    given = {one["name"].removeprefix("PERDURE_"): one["value"] for one in container["env"]}
    return {name: value for name, value in given.items() if name not in REPLACED} | {"HTTP_PORT": "0"}

"""What Flux and Argo CD do at every interval: a server-side apply, by force, with a label to prune by."""

from __future__ import annotations

import yaml

from perdure._kube.api.base import API_VERSION
from tests.e2e.operators import World

__all__ = ["LABEL", "apply"]

LABEL = "gitops.example.com/name"


async def apply(world: World, kind: str, name: str, **spec: object) -> None:
    """Apply a resource in the world's namespace; its label has its name."""
    metadata = {"name": name, "labels": {LABEL: name}}
    await world.scene.kubectl(
        *("apply", "--server-side", "--field-manager=gitops", "--force-conflicts", "--filename=-"),
        input=yaml.safe_dump({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}),
    )

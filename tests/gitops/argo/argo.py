"""Argo CD without Argo CD: its own code in a Go program (`go/argo`), with what `docs/gitops/argocd-cm.yaml` teaches it.

`Argo` answers questions about resources and syncs a folder; `Application` is such a folder, changed as commits would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from perdure._kube.api.base import API_VERSION
from tests.cluster.toolchain import OURS, Program
from tests.e2e.operators import World
from tests.gitops.judging import Manifest, answers
from tests.tree import ROOT

__all__ = ["CUSTOMIZATIONS", "PROGRAM", "Application", "Argo", "Outcome", "View"]

PROGRAM = Program("argo", "argo", "github.com/argoproj/argo-cd/v3", OURS, 4)
CUSTOMIZATIONS = ROOT / "docs/gitops/argocd-cm.yaml"
WAVE = "argocd.argoproj.io/sync-wave"


class View(NamedTuple):
    """What Argo CD shows of a resource."""

    status: str
    message: str
    actions: set[str]
    """Those that can be taken."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Argo CD shows of an application after a sync."""

    phase: str
    message: str
    results: dict[str, str]
    is_synced: bool
    health: dict[str, str]


class Argo:
    """Argo CD's code, for one namespace that is its own and its destination."""

    def __init__(self, world: World, program: Path) -> None:
        """Use the ConfigMap `argocd-cm` of the namespace."""
        self._world = world
        self._program = program

    @classmethod
    async def customized(cls, world: World, program: Path) -> Argo:
        """Put our customizations into the ConfigMap first, with the label by which Argo CD finds it."""
        settings = yaml.safe_load(CUSTOMIZATIONS.read_text())
        settings["metadata"] = {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}}
        await world.scene.kubectl("apply", "--server-side", "--filename=-", input=yaml.safe_dump(settings))
        return cls(world, program)

    async def views(self, *resources: Manifest) -> list[View]:
        """Give what is shown of each of these resources."""
        return [
            View(
                told["health"]["status"],
                told["health"].get("message", ""),
                {action["name"] for action in told.get("actions", []) if not action.get("disabled")},
            )
            for told in await self._run("ask", questions=[{"resource": resource} for resource in resources])
        ]

    async def patch(self, action: str, resource: Manifest) -> Any:
        """Give the patch that Argo CD sends for an action."""
        [told] = await self._run("ask", questions=[{"resource": resource, "action": action}])
        [patch] = told["patches"]
        return patch

    async def act(self, action: str, resource: Manifest) -> None:
        """Do to a resource what an action does."""
        kind, name = resource["kind"].lower(), resource["metadata"]["name"]
        patch = json.dumps(await self.patch(action, resource))
        await self._world.scene.kubectl("patch", kind, name, "--type=merge", f"--patch={patch}")

    async def sync(self, application: str, folder: Path, *options: str) -> Outcome:
        """Bring the namespace to what a folder says."""
        [told] = await self._run("sync", *options, arguments=(application, folder))
        health = {name: one["status"] for name, one in told.pop("health").items()}
        return Outcome(**told, health=health)

    async def _run(
        self,
        word: str,
        *options: str,
        arguments: Iterable[str | Path] = (),
        questions: Iterable[object] = (),
    ) -> list[dict[str, Any]]:
        command = (self._program, word, *options, self._world.scene.namespace, *arguments)
        return await asyncio.to_thread(answers, command, questions, environment=self._world.cluster.environment)


class Application:
    """A folder of Orchestrations, as Git would hold it."""

    def __init__(self, argo: Argo, name: str, folder: Path) -> None:
        """Begin with an empty folder."""
        self._argo = argo
        self._name = name
        self._folder = folder

    def has(self, name: str, *, wave: int = 0, flow: str = "wait", **spec: object) -> None:
        """Add an Orchestration, or change it."""
        metadata = {"name": name, "annotations": {WAVE: str(wave)}}
        wanted = {"orchestration": f"test::orchestration::{flow}", **spec}
        manifest = {"apiVersion": API_VERSION, "kind": "Orchestration", "metadata": metadata, "spec": wanted}
        (self._folder / f"{name}.yaml").write_text(yaml.safe_dump(manifest))

    def lacks(self, name: str) -> None:
        """Take an Orchestration away."""
        (self._folder / f"{name}.yaml").unlink()

    async def sync(self, *options: str) -> Outcome:
        """Sync it; `-wait` waits until nothing progresses any more."""
        return await self._argo.sync(self._name, self._folder, *options)

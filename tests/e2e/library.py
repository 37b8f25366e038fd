"""The small cast of a scenario with the offered activities: a namespace, and runs in it that each have a context.

Activities are called as a worker calls them, without the engine, against a real API server.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from perdure import ActivityContext, ActivityDefinition, ActivityInfo, Manifest
from perdure._kube.client import Api
from tests.cluster.handle import Cluster

I = TypeVar("I")  # noqa: E741 - I and O are read as input and output
O = TypeVar("O")  # noqa: E741 - see above

OUTCOME = "stand-in.perdure.dev/outcome"
HOLD: Manifest = {OUTCOME: "Hold"}
"""Keeps the stand-in for the kubelet from making a Pod ready; a real kubelet has no such image."""


IMAGE = "postgres:18"
"""An image that every test cluster has, with a shell; no server is started from it here."""


class Beats:
    """The heartbeats of an attempt."""

    is_cancelled = False
    detail: bytes | None = None

    def __init__(self) -> None:
        """Have heard none."""
        self._count = 0
        self._came = asyncio.Event()

    def beat(self, _: bytes | None) -> None:
        """Hear one."""
        self._count += 1
        self._came.set()

    def waited(self, _: float) -> None:
        """Hear that it was held up."""

    async def confirm(self) -> None:
        """Nobody takes it over."""

    async def reach(self, count: int) -> None:
        """Return when there were so many."""
        while self._count < count:
            self._came.clear()
            await self._came.wait()


@dataclass
class Cast:
    """A namespace of a cluster, and the runs in it."""

    cluster: Cluster
    namespace: str
    api: Api

    def run(self, name: str = "first", *, seq: int = 1, epoch: int = 1) -> ActivityContext:
        """Give the context of an attempt: of the `seq`-th activity of a run, begun at `epoch`."""
        info = ActivityInfo(
            instance_id=f"{self.namespace}/{name}:1",
            orchestration="test",
            execution=1,
            activity="test",
            seq=seq,
            attempt=1,
            run_as=f"system:serviceaccount:{self.namespace}:runner",
            epoch=epoch,
        )
        return ActivityContext(info, structlog.get_logger(), self.api.acting_as)

    async def do(
        self, activity: ActivityDefinition[I, O], input: I, *, run: str = "first", seq: int = 1, epoch: int = 1
    ) -> O:
        """Do an activity for a run, once."""
        return await done(activity, self.run(run, seq=seq, epoch=epoch), input)

    def run_that_beats(self) -> tuple[ActivityContext, Beats]:
        """Give the context of an attempt, and what it says of being alive."""
        ctx, beats = self.run(), Beats()
        return dataclasses.replace(ctx, _lifeline=beats), beats

    async def load_images(self) -> None:
        """Bring the image of the workloads to where containers really run."""
        if self.cluster.has_kubelet:
            await asyncio.to_thread(self.cluster.load_image, IMAGE)

    async def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Run kubectl in the namespace, as the administrator."""
        return await asyncio.to_thread(self.cluster.kubectl, f"--namespace={self.namespace}", *arguments, input=input)

    async def read(self, *words: str) -> dict[str, Any]:
        """Give an object as JSON."""
        found: dict[str, Any] = json.loads(await self.kubectl("get", *words, "--output=json", "--show-managed-fields"))
        return found


def config(name: str = "colours", **data: str) -> Manifest:
    """Give a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}


def deployment(name: str, *, image: str = IMAGE) -> Manifest:
    """Give a Deployment of one Pod that does nothing."""
    labels: Manifest = {"app": name}
    container: Manifest = {"name": "main", "image": image, "command": ["sleep", "infinity"]}
    pod: Manifest = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    template: Manifest = {"metadata": {"labels": labels}, "spec": pod}
    spec: Manifest = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job(name: str, command: str = "true", *, exit_code: int = 0, annotations: Manifest | None = None) -> Manifest:
    """Give a Job of one Pod that runs a command and ends with this code, also where a stand-in only says so."""
    outcome: Manifest = {OUTCOME: f"Fail:{exit_code}"} if exit_code else {}
    container: Manifest = {"name": "main", "image": IMAGE, "command": ["sh", "-c", f"{command}; exit {exit_code}"]}
    pod: Manifest = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    template: Manifest = {"metadata": {"annotations": annotations or outcome}, "spec": pod}
    spec: Manifest = {"backoffLimit": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def managers(manifest: dict[str, Any]) -> set[str]:
    """Give the field managers of an object."""
    return {entry["manager"] for entry in manifest["metadata"]["managedFields"]}


async def done(activity: ActivityDefinition[I, O], ctx: ActivityContext, input: I) -> O:
    """Do an activity, sync or async."""
    result = activity(ctx, input)
    return await result if isinstance(result, Awaitable) else result

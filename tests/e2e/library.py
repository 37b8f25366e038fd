"""The small cast of a scenario with the offered activities: a namespace, and runs in it that each have a context.

Activities are called as a worker calls them, without the engine, against a real API server.
"""

from __future__ import annotations

import asyncio
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

HOLD: Manifest = {"stand-in.perdure.dev/outcome": "Hold"}
"""Keeps the stand-in for the kubelet from making a Pod ready; a real kubelet has no such image."""


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


def managers(manifest: dict[str, Any]) -> set[str]:
    """Give the field managers of an object."""
    return {entry["manager"] for entry in manifest["metadata"]["managedFields"]}


async def done(activity: ActivityDefinition[I, O], ctx: ActivityContext, input: I) -> O:
    """Do an activity, sync or async."""
    result = activity(ctx, input)
    return await result if isinstance(result, Awaitable) else result

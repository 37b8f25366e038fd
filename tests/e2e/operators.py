"""A world for end-to-end scenarios: namespaces of a real cluster, a database, and any number of real operators.

`World` starts operators, applies the orchestrations of `flows`, and reads what the database holds. Tests of an
operator's life have a world each; all others share one a module, and each uses names or a namespace of its own in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from perdure._kube.api.orchestration import API_VERSION, KIND, PLURAL
from perdure._kube.client import Api
from perdure._store import connect
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import Operator, until
from tests.e2e.scene import Scene
from tests.postgres_plugin import Server

__all__ = ["LIBRARY", "World", "count_tests_beside", "manifest"]

FLOWS = "tests.e2e.flows"
LIBRARY = "workflows,activities"
"""The modules that ship with Perdure."""


class World:
    """Namespaces, a database, and the operators that look after them."""

    def __init__(self, cluster: Cluster, *, dsn: str, folder: Path, database: connect.Pool) -> None:
        self.cluster = cluster
        self.dsn = dsn
        self.folder = folder
        self.database = database
        self.scenes: list[Scene] = []
        self.operators: list[Operator] = []
        self._unused: list[Scene] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, cluster: Cluster, *namespaces: str, dsn: str, folder: Path) -> AsyncIterator[World]:
        """Give a world whose operators end with it."""
        await asyncio.to_thread(cluster.install_crds)
        api = await Api.connect(str(cluster.kubeconfig))
        database = await connect.create_pool(dsn, application_name="test")
        world = cls(cluster, dsn=dsn, folder=folder, database=database)
        world.scenes += [Scene(cluster, name, api=api, log=lambda: world.log) for name in namespaces]
        world._unused += world.scenes
        try:
            yield world
        finally:
            await asyncio.gather(*(operator.stop() for operator in world.operators))
            await world._let_go()
            database.terminate()
            await api.close()

    @classmethod
    @contextlib.asynccontextmanager
    async def shared(
        cls, cluster: Cluster, postgres: Server, *, folder: Path, namespaces: int = 1
    ) -> AsyncIterator[World]:
        """Give a world for many tests, with so many namespaces."""
        names = await asyncio.gather(*(asyncio.to_thread(cluster.make_namespace) for _ in range(namespaces)))
        try:
            with postgres.database("template0") as dsn:
                async with cls.opened(cluster, *names, dsn=dsn, folder=folder) as world:
                    yield world
        finally:
            await asyncio.gather(*(asyncio.to_thread(cluster.delete_namespace, name) for name in names))

    async def _let_go(self) -> None:
        """Take the finalizers of what is left: nobody compensates it now, and it would hold its namespace and CRD."""
        held = "--output=jsonpath={.items[?(@.metadata.finalizers)].metadata.name}"
        patch = '{"metadata": {"finalizers": null}}'
        for scene in self.scenes:
            if names := (await scene.kubectl("get", PLURAL, held)).split():
                await scene.kubectl("patch", PLURAL, *names, "--type=merge", f"--patch={patch}")

    @property
    def scene(self) -> Scene:
        """The namespace, or the first of them."""
        return self.scenes[0]

    def unused_scene(self) -> Scene:
        """Give a namespace that no test has had yet."""
        return self._unused.pop()

    @property
    def log(self) -> str:
        """What all operators of this world have said."""
        return "".join(operator.log for operator in self.operators)

    async def operator(
        self,
        roles: str = "controller,worker",
        *,
        ready: bool = True,
        kubeconfig: Path | None = None,
        **settings: str,
    ) -> Operator:
        """Start an operator with the orchestrations of `flows`, and return when it is ready (or has begun).

        It has all rights of the cluster, unless a kubeconfig says otherwise.
        """
        defaults = {
            "HTTP_PORT": "0",
            "DATABASE_URL": self.dsn,
            "LEASE_SECONDS": "2",
            "LOG_FORMAT": "json",
            "MODULES": FLOWS,
            "NAMESPACES": ",".join(scene.namespace for scene in self.scenes),
            "ROLES": roles,
        }
        operator = await Operator.started(kubeconfig or self.cluster.kubeconfig, {**defaults, **settings})
        self.operators.append(operator)
        await operator.said("operator_ready" if ready else "http_listening")
        return operator

    async def apply(self, *names: str, flow: str = "steps", input: object = None, **spec: object) -> None:
        """Apply an Orchestration of each name; `steps` gets the folder of this world unless told otherwise."""
        orchestration = str(spec.pop("orchestration", f"test::orchestration::{flow}"))
        if flow == "steps" and input is None:
            input = {"folder": str(self.folder)}
        await self.scene.kubectl(
            *("apply", "--server-side", "--field-manager=test", "--filename=-"),
            input="---\n".join(manifest(name, orchestration, input=input, **spec) for name in names),
        )

    async def delete(self, *names: str) -> None:
        """Delete these resources."""
        await self.scene.kubectl("delete", "orchestrations", *names)

    async def instances(self, *names: str) -> dict[str, str]:
        """Give the phase of every run of these resources (of all, when none is named) by id without the namespace."""
        rows = await self.database.fetch("select instance_id, phase from instances")
        phases = {row["instance_id"].removeprefix(f"{self.scene.namespace}/"): row["phase"] for row in rows}
        return {run: phase for run, phase in phases.items() if not names or run.partition(":")[0] in names}

    async def in_phase(self, run: str, phase: str) -> None:
        """Wait until the database says that this run is in this phase."""

        async def is_reached() -> bool:
            return (await self.instances()).get(run) == phase

        await until(is_reached)

    def notes(self, *names: str) -> list[str]:
        """Name what the activities of `steps` have left behind for these resources: one file for each step of a run."""
        files = sorted(path.name.removeprefix(f"{self.scene.namespace}_") for path in self.folder.iterdir())
        return [file for file in files if not names or file.partition(":")[0] in names]


def manifest(name: str, orchestration: str, *, input: object = None, **spec: object) -> str:
    """Give an Orchestration as YAML."""
    wanted: dict[str, object] = {"orchestration": orchestration, **spec}
    if input is not None:
        wanted["input"] = input
    return yaml.safe_dump(
        {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": wanted}, sort_keys=False
    )


def count_tests_beside(request: pytest.FixtureRequest) -> int:
    """Count the tests of this run in the module that a module's fixture was asked for by."""
    return sum(item.path == request.path for item in request.session.items)

"""Operators as real processes, any number of them, beside the scene that one namespace and one database make.

`World` starts, stops and kills them, asks their HTTP side, and reads what the database holds. `Scene` speaks kubectl
and waits for statuses. Waits end by what they wait for; nothing sleeps for its own sake.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._store import connect
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import PATIENCE_SECONDS, ROOT, Scene
from tests.postgres_plugin import Server

__all__ = ["Operator", "World", "manifest", "until"]

FLOWS = "tests.e2e.flows"
_LOOK_SECONDS = 0.05


class Operator:
    """One process of `perdure run`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._listening = asyncio.create_task(self._listen())
        self._spoke = asyncio.Condition()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(next(line["port"] for line in self.lines if line["event"] == "http_listening"))

    async def said(self, event: str, *, times: int = 1) -> None:
        """Wait until it has said this so many times."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._spoke:
            await self._spoke.wait_for(lambda: self.count(event) >= times or self.process.returncode is not None)
        assert self.count(event) >= times, f"the operator ended before it said {event}: {self.lines[-5:]}"

    def count(self, event: str) -> int:
        """Count how often it has said this."""
        return sum(line["event"] == event for line in self.lines)

    async def readiness(self) -> dict[str, Any]:
        """Ask `/readyz`."""
        status, answer = await self.ask("/readyz")
        assert (status == 200) is answer["ok"]
        return dict(answer)

    async def needs(self, name: str, *, ok: bool) -> str:
        """Wait until this need is met, or is not; give why."""
        found: dict[str, Any] = {}

        async def is_reached() -> bool:
            found.update((await self.readiness())["needs"].get(name, {}))
            return found.get("ok") is ok

        await until(is_reached)
        return str(found["why"])

    async def ask(self, path: str) -> tuple[int, Any]:
        """GET something as JSON."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.json()

    async def stop(self) -> int:
        """End it by SIGTERM; give the exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        await self._listening
        return int(self.process.returncode or 0)

    async def kill(self) -> None:
        """End it by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self._listening

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            async with self._spoke:
                self.lines.append(_parsed(line))
                self._spoke.notify_all()
        await self.process.wait()
        async with self._spoke:
            self._spoke.notify_all()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        return {"event": "", **json.loads(line)}
    except ValueError:
        return {"event": line.decode(errors="replace").rstrip()}


class World:
    """A namespace, a database, and the operators that look after them."""

    def __init__(self, scene: Scene, folder: Path, database: connect.Pool) -> None:
        self.scene = scene
        self.folder = folder
        self.database = database
        self.operators: list[Operator] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, cluster: Cluster, namespace: str, *, dsn: str, folder: Path) -> AsyncIterator[World]:
        """Give a world whose operators end with it."""
        async with Scene.opened(cluster, namespace, dsn=dsn) as scene:
            database = await connect.create_pool(dsn, application_name="test")
            world = cls(scene, folder, database)
            try:
                yield world
            finally:
                for operator in world.operators:
                    await operator.stop()
                database.terminate()

    @classmethod
    @contextlib.asynccontextmanager
    async def shared(cls, cluster: Cluster, postgres: Server, *, folder: Path) -> AsyncIterator[World]:
        """Give a world for many tests: each uses names of its own in one namespace."""
        namespace = await asyncio.to_thread(cluster.make_namespace)
        try:
            with postgres.database("template0") as dsn:
                async with cls.opened(cluster, namespace, dsn=dsn, folder=folder) as world:
                    yield world
        finally:
            await asyncio.to_thread(cluster.delete_namespace, namespace)

    async def operator(self, roles: str = "controller,worker", *, ready: bool = True, **settings: str) -> Operator:
        """Start an operator with the orchestrations of `flows`, and return when it is ready (or has begun)."""
        chosen = {
            "HTTP_PORT": "0",
            "DATABASE_URL": self.scene.dsn,
            "LEASE_SECONDS": "2",
            "LOG_FORMAT": "json",
            "MODULES": FLOWS,
            "NAMESPACES": self.scene.namespace,
            **settings,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
        operator = Operator(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "perdure", "run", "--roles", roles),
                cwd=ROOT,
                env={
                    **inherited,
                    **{f"PERDURE_{name}": value for name, value in chosen.items()},
                    "KUBECONFIG": str(self.scene.cluster.kubeconfig),
                },
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=2**20,
            )
        )
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


async def until(is_reached: Callable[[], Any]) -> None:
    """Look again and again until it is so; a failure tells where it was waited for."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_reached():  # noqa: ASYNC110 - the other side is another process: it has no event to wait for
            await asyncio.sleep(_LOOK_SECONDS)

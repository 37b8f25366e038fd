"""A small cast for end-to-end scenarios: a namespace, a database, and a real operator process between them.

`Scene` starts and kills `python -m perdure run`, speaks kubectl, and waits by watching: for a phase, or for words in
the status. Nothing sleeps; every wait ends with what was last seen. It knows nothing of any workflow.
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

from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._kube.client import Api
from tests.cluster.handle import Cluster

__all__ = ["Scene"]

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0
"""Far above what anything here takes on a busy machine; a wait that ends by it has failed."""

TERMINAL = {"Completed", "Failed", "Cancelled"}


class Scene:
    """A namespace of a cluster, a database, and at most one operator process at a time."""

    def __init__(self, cluster: Cluster, namespace: str, *, dsn: str, api: Api) -> None:
        """Look after nothing yet."""
        self.cluster = cluster
        self.namespace = namespace
        self.dsn = dsn
        self._api = api
        self._operator: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._lines: list[str] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, cluster: Cluster, namespace: str, *, dsn: str) -> AsyncIterator[Scene]:
        """Give a scene whose operator ends with it."""
        await asyncio.to_thread(cluster.install_crds)
        api = await Api.connect(str(cluster.kubeconfig))
        scene = cls(cluster, namespace, dsn=dsn, api=api)
        try:
            yield scene
        finally:
            await scene.stop_operator()
            await api.close()

    # The operator.

    async def start_operator(self) -> None:
        """Start a process with both roles, and return when it is ready."""
        self._operator = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "perdure", "run"),
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")},
                "KUBECONFIG": str(self.cluster.kubeconfig),
                "PERDURE_DATABASE_URL": self.dsn,
                "PERDURE_HTTP_PORT": "0",
                "PERDURE_LEASE_SECONDS": "2",
                "PERDURE_LOG_FORMAT": "json",
                "PERDURE_MODULES": "workflows,activities",
                "PERDURE_NAMESPACES": self.namespace,
            },
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,  # a line with a traceback may be long
        )
        ready = asyncio.Event()
        self._listener = asyncio.create_task(self._listen(self._operator, ready))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ready.wait()
        assert self._operator.returncode is None, f"the operator ended at its start:\n{self.log}"

    async def _listen(self, operator: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        """Keep what the operator says; it is ready when it says so, and no longer waited for when it ends."""
        assert operator.stderr is not None
        while line := await operator.stderr.readline():
            self._lines.append(line.decode())
            if '"operator_ready"' in self._lines[-1]:
                ready.set()
        await operator.wait()
        ready.set()

    async def kill_operator(self) -> None:
        """End the process by SIGKILL."""
        assert self._operator is not None
        self._operator.kill()
        await self._ended()

    async def stop_operator(self) -> None:
        """End the process in order, if there is one."""
        if self._operator is not None:
            self._operator.terminate()
            await self._ended()

    async def _ended(self) -> None:
        assert self._listener is not None
        await self._listener
        self._operator = self._listener = None

    @property
    def log(self) -> str:
        """What all operators of this scene have said."""
        return "".join(self._lines)

    # The cluster.

    async def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Run kubectl in the namespace, as the administrator."""
        return await asyncio.to_thread(self.cluster.kubectl, f"--namespace={self.namespace}", *arguments, input=input)

    async def read(self, kind: str, name: str) -> dict[str, Any]:
        """Give an object as JSON."""
        read: dict[str, Any] = json.loads(
            await self.kubectl("get", kind, name, "--output=json", "--show-managed-fields")
        )
        return read

    async def completed(self, name: str) -> dict[str, Any]:
        """Wait until a run has completed, and give its status."""
        return await self._in_phase(name, "Completed")

    async def failed(self, name: str) -> dict[str, Any]:
        """Wait until a run has failed, and give its status."""
        return await self._in_phase(name, "Failed")

    async def shown(self, name: str, words: str) -> dict[str, Any]:
        """Wait until the status of a run says these words, and give it."""
        return await self._status(name, words, lambda status: words in json.dumps(status, ensure_ascii=False))

    async def _in_phase(self, name: str, phase: str) -> dict[str, Any]:
        status = await self._status(name, phase, lambda status: status.get("phase") in TERMINAL)
        assert status["phase"] == phase, f"{name} ended otherwise: {json.dumps(status, indent=2)}"
        return status

    async def _status(self, name: str, what: str, is_reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        status: Any = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for manifest in self._api.watch(API_VERSION, KIND, name, namespace=self.namespace):
                    status = (manifest or {}).get("status") or {}
                    if is_reached(status):
                        return dict(status)
        except TimeoutError:
            shown = json.dumps(status, indent=2)
            message = f"{name} did not come to {what!r}. Its status:\n{shown}\nThe operator said:\n{self.log[-4000:]}"
            raise AssertionError(message) from None
        raise AssertionError("a watch never ends by itself")

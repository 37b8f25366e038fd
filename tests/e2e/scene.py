"""The stage of an end-to-end scenario: one namespace, kubectl in it, and waits for what its resources show.

`Scene` waits by watching: for a phase, or for words in the status. Nothing sleeps; every wait that fails ends with what
was last seen and what the operators said. It knows nothing of any workflow, and not how operators are started.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._kube.client import Api
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import PATIENCE_SECONDS

__all__ = ["Scene"]

TERMINAL = {"Completed", "Failed", "Cancelled"}


class Scene:
    """A namespace of a cluster; `log` gives what the operators that look after it have said."""

    def __init__(self, cluster: Cluster, namespace: str, *, api: Api, log: Callable[[], str]) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._api = api
        self._log = log

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

    async def no_longer_shown(self, name: str, words: str) -> dict[str, Any]:
        """Wait until the status of a run does not say these words any more, and give it."""
        return await self._status(name, f"no {words}", lambda status: words not in json.dumps(status))

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
            said = self._log()[-4000:]
            message = f"{name} did not come to {what!r}. Its status:\n{shown}\nThe operators said:\n{said}"
            raise AssertionError(message) from None
        raise AssertionError("a watch never ends by itself")

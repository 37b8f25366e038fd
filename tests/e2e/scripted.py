"""An API server whose answers are scripted, since no real one refuses on demand.

It is faked at the HTTP border: it knows discovery, and takes patches of statuses, or answers as a test wants it to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp.test_utils
from aiohttp import web

from perdure._kube.api import orchestration, orchestration_schedule, orchestration_signal
from perdure._kube.client import Api

__all__ = ["PATIENCE_SECONDS", "ScriptedServer"]

PATIENCE_SECONDS = 30.0
KINDS = {
    "resources": [
        {"name": one.PLURAL, "kind": one.KIND, "namespaced": True, "verbs": []}
        for one in (orchestration, orchestration_schedule, orchestration_signal)
    ]
}


class ScriptedServer:
    """Takes statuses: `answer` is the HTTP status to give, `written` what it was given, by name.

    Patches of more than `largest` bytes are not of the schema; `asked` counts all that came.
    """

    def __init__(self) -> None:
        self.answer = 200
        self.headers: dict[str, str] = {}
        self.largest = 1_000_000
        self.resource_version = 100
        self.asked = 0
        self.written: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def listening(self, folder: Path) -> AsyncIterator[Api]:
        """Listen on loopback, and give the way to it; the kubeconfig is in the folder."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with aiohttp.test_utils.TestServer(app) as server:
            config = {
                "current-context": "c",
                "clusters": [{"name": "k", "cluster": {"server": str(server.make_url("")).rstrip("/")}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            }
            (folder / "kubeconfig").write_text(json.dumps(config))
            api = await Api.connect(str(folder / "kubeconfig"))
            yield api
            await api.close()

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Wait for the next status."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.written.get()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(KINDS)
        self.asked += 1
        name = request.path.split("/")[-2]
        if len(await request.read()) > self.largest:
            causes = {"causes": [{"reason": "FieldValueInvalid", "message": "too long", "field": "status"}]}
            body = {"kind": "Status", "reason": "Invalid", "message": "status: too long", "details": causes}
            return web.json_response(body, status=422)
        self.written.put_nowait((name, json.loads(await request.text())[1]["value"]))
        self.resource_version += 1
        metadata = {"name": name, "resourceVersion": str(self.resource_version)}
        about = {"kind": orchestration.PLURAL, "name": name}
        refusal = {"kind": "Status", "message": "no such right", "reason": "Forbidden", "details": about}
        body = {"metadata": metadata} if self.answer == 200 else refusal
        return web.json_response(body, status=self.answer, headers=self.headers)

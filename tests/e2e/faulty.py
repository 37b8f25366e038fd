"""Stands between an operator and a real API server, and spoils answers: what a healthy server will not give.

It ends TLS, so an operator comes to it by plain HTTP with the rights of the administrator, and it passes on whatever no
`Fault` is for, watches as they come. It knows nothing of operators.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.cluster.handle import Cluster

__all__ = ["Fault", "FaultyServer"]

_NOT_PASSED_ON = {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding"}


@dataclasses.dataclass(slots=True)
class Fault:
    """Answers so many requests of this kind with this code. `what` is `list`, `watch` or a method of HTTP."""

    what: str
    path: str
    code: int
    times: int
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    given: int = 0

    def is_for(self, request: web.Request) -> bool:
        """Whether it is this request's turn to be spoiled."""
        kind = request.method
        if kind == "GET" and request.path.endswith("s"):
            kind = "watch" if "watch" in request.query else "list"
        return self.given < self.times and kind == self.what and request.path.endswith(self.path)


class FaultyServer:
    """A server of faults, and the kubeconfig that leads to it."""

    def __init__(self, kubeconfig: Path, faults: list[Fault]) -> None:
        self.kubeconfig = kubeconfig
        self.faults = faults
        self._server = ""
        self._session: aiohttp.ClientSession

    @classmethod
    @contextlib.asynccontextmanager
    async def before(cls, cluster: Cluster, folder: Path, *faults: Fault) -> AsyncIterator[FaultyServer]:
        """Listen on loopback, before the API server of a cluster."""
        faulty = cls(folder / "faulty.kubeconfig", list(faults))
        config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
        [found], [user] = config["clusters"], config["users"]
        faulty._server = found["cluster"]["server"]
        context = ssl.create_default_context(
            cadata=base64.b64decode(found["cluster"]["certificate-authority-data"]).decode()
        )
        pair = folder / "faulty.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(
            b"".join(base64.b64decode(user["user"][f"client-{part}-data"]) for part in ("certificate", "key"))
        )
        context.load_cert_chain(pair)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", faulty._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found["cluster"] = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        user["user"] = {}
        faulty.kubeconfig.write_text(json.dumps(config))
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as faulty._session:
            try:
                yield faulty
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        for fault in self.faults:
            if fault.is_for(request):
                fault.given += 1
                body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": fault.code}
                return web.json_response(body, status=fault.code, headers=fault.headers)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        url = f"{self._server}{request.raw_path}"
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read() or None
        ) as real:
            passed = {name: value for name, value in real.headers.items() if name.lower() not in _NOT_PASSED_ON}
            answer = web.StreamResponse(status=real.status, headers=passed)
            await answer.prepare(request)
            async for chunk in real.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            return answer

"""Stands between an operator and a real API server, and spoils answers: what a healthy server will not give.

It ends TLS, so an operator comes to it by plain HTTP with the rights of the administrator, and it passes on whatever no
`Fault` is for, watches as they come. What watches of orchestrations say it may keep to itself, and it may end them in
the middle. It knows nothing of operators.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.cluster.handle import Cluster

__all__ = ["BROKEN", "EXPIRED", "Fault", "FaultyServer", "as_bookmark", "silence"]

EXPIRED = b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","code":410}}\n'
"""How a server ends a watch whose version it does not know any more."""
BROKEN = b'{"type":"MODIFIED","object":{"apiVers'
"""How a watch ends whose connection breaks in the middle of an event."""

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
        self.told: Callable[[bytes], bytes] | None = None
        """What becomes of each line of a watch of orchestrations; None when they pass as they come."""
        self._watches: dict[web.StreamResponse, web.Request] = {}
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

    async def end_watches(self, last: bytes) -> None:
        """Break off the watches of orchestrations after these last bytes."""
        for answer, request in list(self._watches.items()):
            await answer.write(last)
            assert request.transport is not None
            request.transport.close()

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
            if "watch" in request.query and request.path.endswith("/orchestrations"):
                await self._watch(real.content, request, answer)
            else:
                async for chunk in real.content.iter_any():
                    await answer.write(chunk)
            await answer.write_eof()
            return answer

    async def _watch(self, told: aiohttp.StreamReader, request: web.Request, answer: web.StreamResponse) -> None:
        """Pass a watch on, line by line."""
        self._watches[answer] = request
        rest = b""
        try:
            async for chunk in told.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    await answer.write(line + b"\n" if self.told is None else self.told(line))
        finally:
            del self._watches[answer]


def silence(_: bytes) -> bytes:
    """Say nothing: the connection is there, and what happens is not told."""
    return b""


def as_bookmark(line: bytes) -> bytes:
    """Say of an event only that it was, as a server does that has lost it: whoever resumes there has missed it."""
    told = json.loads(line)["object"]
    about = {"resourceVersion": told["metadata"]["resourceVersion"]}
    bookmark = {"kind": told["kind"], "apiVersion": told["apiVersion"], "metadata": about}
    return json.dumps({"type": "BOOKMARK", "object": bookmark}).encode() + b"\n"

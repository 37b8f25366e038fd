"""The watch alone, against an API server that misbehaves on purpose: it begins again, loses nothing, changes nothing.

The server is faked at the HTTP border, since no real one breaks a watch on demand. It knows discovery, one list and one
watch, and notes every request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio import client as kube

from perdure._core.activity import Manifest
from perdure._kube.api.base import GROUP
from perdure._kube.api.orchestration import PLURAL, VERSION
from perdure._kube.observer import Observer

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 60.0


def orchestration(name: str, *, generation: int = 1, version: int = 1) -> Manifest:
    """Give a resource as the API server would."""
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-of-{name}",
            "generation": generation,
            "resourceVersion": str(version),
        },
        "spec": {"orchestration": "greet"},
    }


def kind(plural: str, name: str, *, namespaced: bool) -> dict[str, object]:
    """Give the entry of a kind in discovery."""
    verbs = ["get", "list", "watch", "patch"]
    return {"name": plural, "singularName": "", "namespaced": namespaced, "kind": name, "verbs": verbs}


KINDS = {
    f"/apis/{GROUP}/{VERSION}": kind(PLURAL, "Orchestration", namespaced=True),
    "/apis/apiextensions.k8s.io/v1": kind("customresourcedefinitions", "CustomResourceDefinition", namespaced=False),
    "/api/v1": kind("namespaces", "Namespace", namespaced=False),
}
"""What kopf asks discovery for, ours and its own."""


def text_of(value: object) -> str:
    """Write JSON, with a value 5,000 levels deep where DEEP stands."""
    return json.dumps(value).replace('"DEEP"', '{"a":' * 5_000 + "1" + "}" * 5_000)


class FakeServer:
    """Serves what `listed` holds, and sends what tests put into `events`; None ends the watch."""

    def __init__(self) -> None:
        self.listed: list[Manifest] = []
        self.events: asyncio.Queue[dict[str, object] | None] = asyncio.Queue()
        self.requests: list[tuple[str, str]] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeServer]:
        """Listen on loopback."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self.events.put_nowait(None)
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        if request.path.endswith(f"/{PLURAL}"):
            return await self._watch(request) if "watch" in request.query else self._list()
        if request.path in KINDS:
            return web.json_response({"kind": "APIResourceList", "resources": [KINDS[request.path]]})
        if request.path == "/api":
            return web.json_response({"versions": ["v1"]})
        groups = [path.split("/")[2:] for path in KINDS if path.startswith("/apis/")]
        listed = [(group, {"version": version}) for group, version in groups]
        return web.json_response(
            {"groups": [{"name": name, "versions": [one], "preferredVersion": one} for name, one in listed]}
        )

    def _list(self) -> web.Response:
        items = [*self.listed]
        listed = {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}
        return web.json_response(text=text_of(listed))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while (event := await self.events.get()) is not None:
            await answer.write(text_of(event).encode() + b"\n")
        return answer


class Witness:
    """Notes what the observer tells."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str | None, str]] = asyncio.Queue()
        self.starts = 0
        self.observer: Observer | None = None
        self.said_first = ""
        self._starts: asyncio.Queue[int] = asyncio.Queue()

    def has_not_ended(self) -> bool:
        """Say whether kopf is the one of the begin: one that ends leaves word why."""
        return self.observer is not None and self.observer.last_error == self.said_first

    def saw(self, kind: str | None, manifest: Manifest) -> None:
        """Note an event."""
        metadata = manifest["metadata"]
        assert isinstance(metadata, dict)
        self.told.put_nowait((kind, str(metadata["name"])))

    def started(self) -> None:
        """Note that kopf began."""
        self.starts += 1
        self._starts.put_nowait(self.starts)

    async def began(self) -> int:
        """Wait for a begin after the first, and give how many there have been."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (starts := await self._starts.get()) < 2:
                continue
        return starts

    async def next(self) -> tuple[str | None, str]:
        """Wait for the next event."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.told.get()


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """Give a server with one resource."""
    async with FakeServer().running() as server:
        server.listed = [orchestration("first")]
        yield server


@pytest.fixture
async def witness(server: FakeServer) -> AsyncIterator[Witness]:
    """Give a witness of what an observer of the server tells; the observer ends with the test."""
    witness = Witness()

    async def configure() -> kube.Configuration:
        return kube.Configuration(host=server.url)

    async def served() -> None:
        """The fake serves the kind from its begin."""

    observer = Observer(
        PLURAL, configure, namespaces=[], before_start=served, on_event=witness.saw, on_started=witness.started
    )
    witness.observer, witness.said_first = observer, observer.last_error
    watching = asyncio.create_task(observer.run())
    yield witness
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_what_is_listed_and_what_comes_is_told(server: FakeServer, witness: Witness) -> None:
    """The list comes without a kind, changes with theirs."""
    listed = await witness.next()
    server.events.put_nowait({"type": "ADDED", "object": orchestration("second")})
    server.events.put_nowait({"type": "DELETED", "object": orchestration("first")})

    told = [await witness.next(), await witness.next()]

    assert listed == (None, "first")
    assert sorted(told, key=str) == [("ADDED", "second"), ("DELETED", "first")]


async def test_the_echo_of_a_status_write_is_not_told(server: FakeServer, witness: Witness) -> None:
    """A change that leaves generation and deletion as they were is nobody's business."""
    await witness.next()
    server.events.put_nowait({"type": "MODIFIED", "object": orchestration("first", version=2)})
    server.events.put_nowait({"type": "MODIFIED", "object": orchestration("first", generation=2, version=3)})

    assert await witness.next() == ("MODIFIED", "first")
    assert witness.told.empty()


async def test_a_watch_that_breaks_begins_again_with_a_list(server: FakeServer, witness: Witness) -> None:
    """An error other than 410 ends kopf for good; the observer starts it anew, and everything is listed again."""
    await witness.next()
    server.listed.append(orchestration("meanwhile"))

    status = {"kind": "Status", "code": 500, "message": "etcdserver: no leader"}
    server.events.put_nowait({"type": "ERROR", "object": status})
    told = {await witness.next(), await witness.next()}

    assert told == {(None, "first"), (None, "meanwhile")}
    assert witness.starts == 2


async def test_an_expired_watch_lists_again(server: FakeServer, witness: Witness) -> None:
    """410 means that events were lost: everything comes again, and the ends that nobody tells are looked for."""
    await witness.next()

    server.events.put_nowait({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})

    assert await witness.next() == (None, "first")
    assert await witness.began() == 2
    assert witness.has_not_ended()


async def test_an_object_nested_too_deeply_is_told_like_any_other(server: FakeServer, witness: Witness) -> None:
    """Neither in a list nor in a watch does it end the watch for the others."""
    await witness.next()
    deep, listed = orchestration("deep"), orchestration("listed")
    for manifest in (deep, listed):
        manifest["spec"] = {"orchestration": "greet", "input": "DEEP"}
    server.events.put_nowait({"type": "ADDED", "object": deep})
    server.events.put_nowait({"type": "ADDED", "object": orchestration("second")})
    told = {(await witness.next())[1], (await witness.next())[1]}

    server.listed.append(listed)
    server.events.put_nowait({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
    again = {(await witness.next())[1], (await witness.next())[1]}

    assert (told, again) == ({"deep", "second"}, {"first", "listed"})
    assert witness.has_not_ended()


async def test_watching_changes_nothing(server: FakeServer, witness: Witness) -> None:
    """No request but GET: no PATCH, no event, no finalizer."""
    await witness.next()
    server.events.put_nowait({"type": "ADDED", "object": orchestration("second")})
    await witness.next()

    assert {method for method, _ in server.requests} == {"GET"}

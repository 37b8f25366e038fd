"""Watches the resources of one kind with kopf, and hands what it sees to the engine's loop. Sends no PATCH, ever.

It knows kopf; nothing else in the house does. It must not know Postgres, ingest's statement or the status. kopf gets
exactly one handler, `on.event`: no state in annotations, no finalizer, no copies of bodies, no retries of its own
(ingest retries).

Theory of operation. kopf runs in a thread and loop of its own, because at its end it cancels every task of its loop,
and it does end: on a watch error that is not 410, on HTTP 410 of a list, on a server that fails for a minute. `run`
starts it again, with pauses, for ever. Around a restart events are lost; whoever owns an observer sweeps when
`on_started` is called: when kopf has listed every namespace and asks for what comes after, which its requests tell. A
sweep that lists later than the watch did misses nothing. It is called again when kopf had to list anew (a 410): of what
was deleted since its last watch nobody tells. The handler remembers (generation, deleting) of each uid, so that the
echoes of our own status writes end here.

A kind has an observer, and so a kopf, of its own: kopf ends as a whole when one of the kinds that it watches is no
longer served, and a kind that is missing when it begins it never looks for again. What becomes of one CRD is then
nobody else's trouble; the price is a thread and an idle connection.

An object that is nested more deeply than Python's reader of JSON goes would end kopf, at each restart again, for all
tenants: what kopf is given to read is cut before (`nesting`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import aiohttp
import kopf
import structlog
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio.client import rest

from perdure._core.activity import Manifest
from perdure._kube import nesting
from perdure._kube.api import base

__all__ = ["Asked", "Configure", "Memory", "Observer"]

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_LIST_CHUNK = 500

Configure = Callable[[], Awaitable[kubernetes_client.Configuration]]
"""Gives the address and credentials of the API server, the same that the rest of the process uses."""


class Asked(Protocol):
    """Is told of a list or a watch that kopf asks for."""

    def __call__(self, path: str, *, is_watch: bool) -> None:
        """Note the path."""


class Memory:
    """Which sights of resources are news. It lives as long as one run of kopf."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[object, bool]] = {}

    def is_news(self, kind: str | None, manifest: Manifest) -> bool:
        """Tell whether an event says something new; `kind` is None for a listed object, else as the watch says."""
        metadata = manifest["metadata"]
        if not isinstance(metadata, dict):
            return False
        uid = str(metadata["uid"])
        if kind == "DELETED":
            self._last.pop(uid, None)
            return True
        sight = (metadata.get("generation"), "deletionTimestamp" in metadata)
        if kind is not None and self._last.get(uid) == sight:
            return False
        self._last[uid] = sight
        return True


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no copy of the spec: it would cost most of the time of an event, and an annotation."""

    def build(self, **_: Any) -> None:  # type: ignore[override]  # None is what "no essence" is
        """Give nothing."""

    def fetch(self, **_: Any) -> None:
        """Give nothing."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Keeps no progress: there are no handlers that could progress."""

    def fetch(self, **_: Any) -> None:
        """Give nothing."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Forget nothing."""

    def touch(self, **_: Any) -> None:
        """Mark nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Take nothing out."""
        return essence


class Observer:
    """Runs kopf for one kind; `on_event(type, manifest)` and `on_started()` are called in the loop of `run`.

    `before_start` is awaited before each start of kopf: it returns when the kind is served.
    """

    def __init__(
        self,
        plural: str,
        configure: Configure,
        *,
        namespaces: Sequence[str],
        before_start: Callable[[], Awaitable[None]],
        on_event: Callable[[str | None, Manifest], None],
        on_started: Callable[[], None],
    ) -> None:
        self._plural = plural
        self._configure = configure
        self._namespaces = list(namespaces)
        self._before_start = before_start
        self._on_event = on_event
        self._on_started = on_started
        self._stop = threading.Event()
        self.is_running = False
        self.restarts = 0
        self.last_error = "not started yet"

    async def run(self) -> None:
        """Watch for ever; the way out is to cancel the task, which ends kopf before it returns."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._before_start()
            began = loop.time()
            await self._watch_once(loop)
            if loop.time() - began > _STEADY_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            _log.warning("watch ended, starting again", of=self._plural, pause_seconds=pause, error=self.last_error)
            self.restarts += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def restart(self) -> None:
        """End the present watch, so that `run` begins another."""
        self._stop.set()

    async def _watch_once(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run kopf until it ends by itself or this task is cancelled."""
        stop = self._stop = threading.Event()
        ended = loop.create_future()

        def tell_ended(error: str) -> None:
            self.is_running = False
            self.last_error = error
            if not ended.done():
                ended.set_result(None)

        def in_thread() -> None:
            error = "kopf ended without a word"
            try:
                asyncio.run(self._operate(loop, stop))
            except BaseException as failure:  # noqa: BLE001 - a thread's border: whatever ended kopf is only reported
                error = f"{type(failure).__name__}: {failure}"
            with contextlib.suppress(RuntimeError):  # the process is gone already
                loop.call_soon_threadsafe(tell_ended, error)

        threading.Thread(target=in_thread, name=f"kopf {self._plural}", daemon=True).start()
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            stop.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended, timeout=10.0)
            raise

    async def _operate(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        """Run kopf in the present loop, which is the thread's."""
        registry = kopf.OperatorRegistry()
        memory = Memory()
        watched: set[str] = set()

        def started() -> None:
            self.is_running = True
            self._on_started()

        def asked(path: str, *, is_watch: bool) -> None:
            if not is_watch:
                watched.discard(path)
            elif path not in watched:
                watched.add(path)
                if len(watched) == max(1, len(set(self._namespaces))):
                    loop.call_soon_threadsafe(started)

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:
            return await _session(await self._configure(), self._plural, asked)

        @kopf.on.cleanup(registry=registry)
        async def cleanup(**_: Any) -> None:
            stop.set()  # kopf waits for it to the end, and would give it up only after five seconds

        @kopf.on.event(base.GROUP, base.VERSION, self._plural, registry=registry)
        async def observe(type: str | None, body: kopf.Body, **_: Any) -> None:
            manifest = dict(body)
            if memory.is_news(type, manifest):
                loop.call_soon_threadsafe(self._on_event, type, manifest)

        try:
            await kopf.operator(
                registry=registry,
                settings=_settings(),
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                stop_flag=stop,
            )
        finally:
            stop.set()  # also without a cleanup: kopf waits in a thread of this loop, which cannot be closed before


class _Answer(aiohttp.ClientResponse):
    """An answer that kopf can read, however deeply an object of it is nested."""

    async def json(self, **_: Any) -> Any:
        """Give a list, and whatever else comes in one piece."""
        text = await self.read()
        try:
            return json.loads(text)
        except RecursionError:
            return json.loads(nesting.cut(text))

    async def start(self, connection: Any) -> _Answer:
        """Read the headers, and prepare what kopf reads a watch from."""
        await super().start(connection)
        self.content = _Content(self.content)  # type: ignore[assignment]  # it stands in for one
        return self


class _Content:
    """The body of an answer; read in chunks, which is how kopf reads a watch, it comes in whole lines."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Give the lines, each with its end; what follows the last end has no end."""
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield (nesting.cut(line) if nesting.may_be_unreadable(line) else line) + b"\n"
        if rest:
            yield rest


async def _session(configuration: kubernetes_client.Configuration, plural: str, asked: Asked) -> kopf.AiohttpSession:
    """Give kopf a session with our TLS rules; the token is asked for at each request, so a renewed one is seen.

    `asked` is told the path of each list and watch of our kind that is about to be sent.
    """

    async def authorize(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        token = await configuration.get_api_key_with_prefix("BearerToken")
        if token:
            request.headers["Authorization"] = token
        if request.url.path.endswith(f"/{plural}"):
            asked(request.url.path, is_watch="watch" in request.url.query)
        return await handler(request)

    connector = aiohttp.TCPConnector(ssl=rest.RESTClientObject(configuration).ssl_context, limit=16)
    session = aiohttp.ClientSession(
        connector=connector, middlewares=(authorize,), trust_env=False, response_class=_Answer
    )
    return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.finalizer = f"{base.GROUP}/unused-by-kopf"
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = _LIST_CHUNK
    settings.queueing.idle_timeout = 0.5
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (1, 2, 3, 5, 8, 13)
    return settings


logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # else one INFO line for every event

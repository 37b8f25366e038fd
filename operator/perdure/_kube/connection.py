"""The connections to the API server: requests out, decoded answers or errors in.

`kubernetes.aio`'s `ApiClient` does authentication and transport; objects stay dicts. Which paths and verbs there are is
known in `client`, what a refusal means in `answers`.

There are three pools, so that nobody waits for somebody else's connection: the operator's own requests, those of runs,
and streams, which hold theirs for minutes; how many of the last there are is bounded by how many activities run.

Only a request that may safely arrive twice is repeated after a lost connection or a server error; a busy server (429)
has not begun, so any request may be sent again. The waits are short: whoever needs more patience has a loop or a retry
policy of its own, and must see that the server is away.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import aiohttp
import msgspec
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config
from pydantic import JsonValue

from perdure import errors
from perdure._kube import access, answers, nesting, pacing

__all__ = ["JSON_PATCH", "Connection", "Request"]

JSON_PATCH = "application/json-patch+json"

_ATTEMPTS = 5
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
"""A server that wants to be left alone for longer is its caller's to plan around."""
_STREAM_SILENCE_SECONDS = 90.0
"""Bookmarks come every minute: a watch that is silent for longer is dead."""
_CONNECT_SECONDS = 10.0
_GOODBYE_SECONDS = 1.0
_UNLIMITED = 0
_OK = 200
_UNAUTHORIZED = 401
_BUSY = 429

_UNANSWERED = (aiohttp.ClientError, TimeoutError, OSError, kube_config.ConfigException)
"""What stands for no answer; the last is a token file that is being replaced."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `call` says in words what it is; `is_idempotent` whether it may arrive twice.

    `is_text`: an answer is no JSON but text (a log). `on_wait` hears of it while the request has to wait for its turn.
    """

    call: errors.KubernetesCall
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: JsonValue = None
    content_type: str = "application/json"
    accept: str = "application/json"
    is_idempotent: bool = True
    is_text: bool = False
    on_wait: pacing.OnWait | None = None

    def headers(self) -> dict[str, str]:
        """Give the headers; a user to act as goes alone, its groups are the server's to add."""
        headers = {"Content-Type": self.content_type, "Accept": self.accept}
        return headers | ({"Impersonate-User": self.call.user} if self.call.user else {})


class Connection:
    """The pools. Belongs to one event loop; `close` ends it.

    With a `pace`, each request of a run takes a token of it, also when it is sent again.
    """

    def __init__(self, access_: access.Access, *, timeout_seconds: float) -> None:
        """Open nothing yet: the first request does."""
        self._access = access_
        self._own, self._runs, self._streams = (_pool(access_.configuration) for _ in range(3))
        self._streams.rest_client.maxsize = _UNLIMITED
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_SECONDS)
        self._renewing = asyncio.Lock()
        self._closing: set[asyncio.Future[None]] = set()
        self.pace: pacing.Pace | None = None
        self.throttled = 0
        self.throttled_seconds = 0.0

    async def close(self) -> None:
        """Close every connection; requests under way fail."""
        for pool in (self._own, self._runs, self._streams):
            await pool.close()
        if self._closing:
            # Streams that were broken off are no longer in their pool, and TLS takes a moment to say goodbye.
            await asyncio.wait(self._closing, timeout=_GOODBYE_SECONDS)

    async def send(self, request: Request) -> JsonValue:
        """Give the decoded answer. Raises `KubernetesApiError` or one below it."""
        for delay in _delays():
            await self._turn_of(request)
            try:
                return await self._send_once(request)
            except errors.KubernetesUnavailableError as error:
                may_repeat = request.is_idempotent or error.status == _BUSY
                if delay is None or not may_repeat or error.retry_after_seconds > _LONGEST_WAIT_SECONDS:
                    raise
                await asyncio.sleep(max(delay, error.retry_after_seconds))
        raise AssertionError

    async def stream(self, request: Request) -> AsyncGenerator[dict[str, JsonValue], None]:
        """Give the JSON lines of an answer as they come, until the server ends it.

        Raises as `send` does, also when the connection is lost or silent in the middle. Never repeated.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=_STREAM_SILENCE_SECONDS)
        await self._turn_of(request)
        try:
            answer = await self._call(self._streams, request, timeout=timeout)
            try:
                if answer.status >= 300:  # noqa: PLR2004 - the first status that is no success
                    raise self._error_of(request, answer, await answer.read())
                async for line in _lines(answer.response.content):
                    yield _decode(request, line, type_=dict)
            finally:
                self._break_off(answer.response)
        except (*_UNANSWERED, msgspec.DecodeError) as error:
            raise self._unreachable(request, error) from error

    async def _turn_of(self, request: Request) -> None:
        """Return when the request may be sent."""
        if self.pace is not None and request.call.user:
            await self.pace.take(request.on_wait)

    def _break_off(self, response: aiohttp.ClientResponse) -> None:
        """Close a stream in the middle, and remember its connection until it is gone."""
        protocol = response.connection.protocol if response.connection is not None else None
        gone = protocol.closed if protocol is not None else None
        response.close()
        if gone is not None:
            self._closing.add(gone)
            gone.add_done_callback(self._forget)

    def _forget(self, gone: asyncio.Future[None]) -> None:
        self._closing.discard(gone)
        if not gone.cancelled():
            gone.exception()  # how it ended is nobody's business any more

    async def _send_once(self, request: Request) -> JsonValue:
        pool = self._runs if request.call.user else self._own
        try:
            answer = await self._call(pool, request, timeout=self._timeout)
            body = await answer.read()
            if answer.status == _UNAUTHORIZED and await self._renew():
                answer = await self._call(pool, request, timeout=self._timeout)
                body = await answer.read()
        except _UNANSWERED as error:
            raise self._unreachable(request, error) from error
        if answer.status >= 300:  # noqa: PLR2004 - the first status that is no success
            raise self._error_of(request, answer, body)
        if request.is_text:
            return str(body.decode(errors="replace"))
        try:
            decoded: JsonValue = _decode(request, body, type_=object)
        except msgspec.DecodeError as error:
            raise self._unreachable(request, error) from error
        return decoded

    async def _call(self, pool: Any, request: Request, *, timeout: aiohttp.ClientTimeout) -> Any:
        """Send one request; the answer is `kubernetes.aio`'s, which has no types."""
        prepared = await pool.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query),
            header_params=request.headers(),
            body=request.body,
            auth_settings=["BearerToken"],
        )
        return await pool.call_api(*prepared, _request_timeout=timeout)

    async def _renew(self) -> bool:
        """Ask for fresh credentials; False when there are none to be had."""
        async with self._renewing:
            try:
                await self._access.renew()
            except _UNANSWERED:
                return False
        return True

    def _error_of(self, request: Request, answer: Any, body: bytes) -> errors.KubernetesApiError:
        is_json_patch = request.content_type == JSON_PATCH
        error = answers.error_of(
            request.call, answer.status, headers=answer.headers, body=body, is_json_patch=is_json_patch
        )
        if isinstance(error, errors.KubernetesUnavailableError) and error.status == _BUSY:
            self.throttled += 1
            self.throttled_seconds += error.retry_after_seconds
            if self.pace is not None and request.call.user:
                self.pace.pause(error.retry_after_seconds)
        return error

    def _unreachable(self, request: Request, error: BaseException) -> errors.KubernetesUnavailableError:
        return answers.unreachable(request.call, self._access.configuration.host, error=error)


def _pool(configuration: kube.Configuration) -> Any:
    """Give connections of their own, with the credentials that all share; `kubernetes.aio` has no types."""
    pool = kube.ApiClient(configuration)
    pool.user_agent = "perdure"
    return pool


def _decode(request: Request, body: bytes, *, type_: type) -> Any:
    """Read an answer. The operator must see an object that is nested too deeply, a run must not see a part of one."""
    try:
        return msgspec.json.decode(body, type=type_)
    except RecursionError as error:
        if not request.call.user:
            return msgspec.json.decode(nesting.cut(body), type=type_)
        message = (
            f"The API server's answer to {request.call} is nested too deeply to be read; {nesting.READABLE_LEVELS} "
            "levels are safe."
        )
        raise errors.KubernetesApiError(request.call, message, status=_OK, reason="TooDeep", retryable=False) from error


def _delays() -> Iterator[float | None]:
    """Give the wait after each failed attempt; None after the last."""
    for attempt in range(_ATTEMPTS - 1):
        yield _FIRST_DELAY_SECONDS * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311 - it spreads retries, guards nothing
    yield None


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split a stream into lines of any length; aiohttp's own reader bounds them below what an object may have."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line

"""The HTTP side: is it alive, is it ready, what does it count, and the instances to read. GET only.

It knows requests and answers; what is true is asked of `health`, `metrics` and the client. It changes nothing, ever:
whoever wants to start or end something uses the resource or the command line.

    /livez                              200, or 503 with what only a restart would cure
    /readyz                             200 or 503, with every need, yes or no, and why
    /metrics                            for Prometheus
    /api/v1/instances                   ?phase= &name= &prefix= &limit= &after=
    /api/v1/instances/{id}              one instance
    /api/v1/instances/{id}/history      its turns; ?execution=
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from perdure import errors
from perdure._kube.health import Health
from perdure._kube.metrics import Registry
from perdure._store.store import is_transient
from perdure.client import Client, InstanceFilter, Page

__all__ = ["ClientOrNone", "Server"]

_log = structlog.get_logger(__name__)

_PAGE = 100
_LARGEST_PAGE = 1_000
_LARGEST_EXECUTION = 2**31 - 1

ClientOrNone = Callable[[], Client | None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Listens from `start` to `stop`. `client` gives None until there is a database."""

    def __init__(self, health: Health, metrics: Registry, *, client: ClientOrNone) -> None:
        self._health = health
        self._metrics = metrics
        self._client = client
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes any free one. Raises `SettingsError` where nobody can listen."""
        application = web.Application(middlewares=[_explain])
        application.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._render_metrics),
                web.get("/api/v1/instances", self._instances),
                web.get("/api/v1/instances/{id:.+}/history", self._history),
                web.get("/api/v1/instances/{id:.+}", self._instance),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            found = f"PERDURE_HTTP_HOST and PERDURE_HTTP_PORT are {host!r} and {port}: {error.strerror or error}."
            todo = "Choose an address of this machine and a free port, or 0 for any."
            raise errors.SettingsError([f"{found} {todo}"]) from error
        self.port = self._runner.addresses[0][1]
        _log.info("http_listening", host=host, port=self.port)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        deaths = self._health.deaths()
        return _json({"ok": not deaths, "why": deaths}, status=503 if deaths else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        needs = self._health.needs()
        ok = all(need.ok for need in needs.values())
        return _json({"ok": ok, "needs": {name: dataclasses.asdict(need) for name, need in needs.items()}}, ok=ok)

    async def _render_metrics(self, _: web.Request) -> web.Response:
        await self._metrics.refresh()
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics.render(), headers=headers)

    async def _instances(self, request: web.Request) -> web.Response:
        query = request.query
        wanted = InstanceFilter(query.get("phase"), query.get("name"), query.get("prefix"))
        size = _number(request, "limit", default=_PAGE, largest=_LARGEST_PAGE)
        page = await self._connected().list_instances(wanted, Page(query.get("after", ""), size or _PAGE))
        return _json({"items": page.items, "after": page.after})

    async def _instance(self, request: web.Request) -> web.Response:
        return _json(await self._connected().get_instance_info(request.match_info["id"]))

    async def _history(self, request: web.Request) -> web.Response:
        execution = _number(request, "execution", default=None, largest=_LARGEST_EXECUTION)
        return _json({"turns": await self._connected().get_history(request.match_info["id"], execution)})

    def _connected(self) -> Client:
        client = self._client()
        if client is None:
            raise errors.DatabaseUnavailableError
        return client


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into answers: a code and a sentence, never a traceback."""
    try:
        return await handler(request)
    except errors.InstanceNotFoundError as error:
        return _error(404, error.code, message=error.message)
    except errors.DefinitionError as error:
        return _error(400, error.code, message=error.message)
    except (errors.DatabaseUnavailableError, errors.PayloadSealedError) as error:
        return _error(503, error.code, message=error.message)
    except web.HTTPException as error:
        return _error(error.status, f"HTTP-{error.status}", message=error.text or error.reason)
    except Exception as error:  # noqa: BLE001 - a border: whatever a handler meets becomes an answer
        if is_transient(error):
            code = errors.DatabaseUnavailableError.code
            return _error(503, code, message=f"The database cannot answer now: {type(error).__name__}: {error}")
        _log.exception("request failed", path=request.path)
        return _error(500, "PERDURE-1000", message=f"{type(error).__name__}; the log of this process tells more.")


def _number(request: web.Request, name: str, *, default: int | None, largest: int) -> int | None:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise web.HTTPBadRequest(text=f"{name} is {text!r}; expected a whole number from 1 to {largest}.")
    return int(text)


def _error(status: int, code: str, *, message: str) -> web.Response:
    return _json({"error": {"code": code, "message": message}}, status=status)


def _json(value: object, *, status: int = 200, ok: bool = True) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status if ok else 503, content_type="application/json")

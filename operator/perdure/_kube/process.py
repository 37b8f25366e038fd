"""The operator process: `perdure run`. Puts the loops together, keeps them going, and ends them in order.

It knows every room below it and what begins before what; it does none of their work. Settings are read already.

Theory of operation. The HTTP side listens first, so that a process that waits says what it waits for. Then the
database is waited for, for however long it is away, and brought up to date; then the roles begin (`roles.py`). A
database or an API server that goes away later ends nothing. Only what waiting cannot cure ends the process: a schema
of another release, the database of another cluster, credentials that are refused, no way to the API server in the
configuration.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TypeVar

import structlog

from perdure import errors, logs
from perdure import settings as configuration
from perdure._core import activity
from perdure._core.definition import ActivityRegistry, OrchestrationRegistry
from perdure._engine import garbage, modules
from perdure._engine.attempts import THREAD_NAME_PREFIX
from perdure._kube import http, metrics, roles, tie
from perdure._kube.client import Api
from perdure._kube.cluster import Cluster
from perdure._kube.health import Health, Need
from perdure._kube.reach import Reach
from perdure._store import connect, migrate
from perdure._store.embedded import EmbeddedPostgres
from perdure._store.store import Store
from perdure.client import Client

__all__ = ["Process", "run"]

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_THREAD_SECONDS = 0.1

T = TypeVar("T")


def run(settings: configuration.Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises `PerdureError` for what waiting cannot cure."""
    logs.configure(settings.log_format, settings.log_level, whose=activity.whose_line, mask=activity.masked_here)
    offered = modules.load(settings.modules) if "worker" in settings.roles else None
    garbage.collect_seldom()
    with _runner() as runner:
        runner.run(_serve(settings, offered))
    _leave_threads_behind()


def _leave_threads_behind() -> None:
    """Do not wait for sync activities that still run: their runs are with other workers by now.

    The interpreter would join their threads for however long they take, and the pod would be killed in the end.
    """
    threads = [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME_PREFIX)]
    for thread in threads:
        thread.join(_THREAD_SECONDS)
    busy = sum(thread.is_alive() for thread in threads)
    if busy:
        _log.warning("leaving sync activities behind that do not end; they are run again elsewhere", threads=busy)
        logging.shutdown()
        os._exit(0)


def _runner() -> asyncio.Runner:
    """Use uvloop where there is one: a quarter less time per turn."""
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _serve(
    settings: configuration.Settings, offered: tuple[OrchestrationRegistry, ActivityRegistry] | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with _database(settings) as dsn:
        await Process(settings, dsn, offered=offered).run(stop)


@contextlib.asynccontextmanager
async def _database(settings: configuration.Settings) -> AsyncIterator[str]:
    """Give the address of the database; without one, of a Postgres of our own that ends with us."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    folder = Path(settings.data_folder) / "postgres"
    async with EmbeddedPostgres(folder, in_pod=settings.embedded_postgres == "allow") as server:
        _log.info("embedded_postgres", database_url=configuration.masked(server.dsn), folder=str(folder))
        yield server.dsn


class Process:
    """Everything of one process, wired."""

    def __init__(
        self,
        settings: configuration.Settings,
        dsn: str,
        *,
        offered: tuple[OrchestrationRegistry, ActivityRegistry] | None,
    ) -> None:
        self._settings = settings
        self._dsn = dsn
        self._offered = offered
        self._health = Health()
        self._metrics = metrics.Registry()
        self._client: Client | None = None
        self._reach = Reach()
        self._database = Need(ok=False, why="not asked yet")
        self._server = http.Server(self._health, self._metrics, client=lambda: self._client)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        self._health.add("database", lambda: self._database)
        async with contextlib.AsyncExitStack() as ending:
            ending.callback(_log.info, "operator_stopped")
            api = None if self._settings.kubernetes == "off" else await self._connect(ending)
            await self._server.start(self._settings.http_host, self._settings.http_port)
            ending.push_async_callback(self._server.stop)
            looking = asyncio.create_task(self._health.run())
            ending.callback(looking.cancel)
            store = await _unless(stop, self._open_store())
            if store is None:
                return
            ending.push_async_callback(store.close)
            self._client = Client(store)
            ending.push_async_callback(self._client.close)
            self._health.add("database", lambda: _need_of(store.availability.error))
            await self._work(store, api, stop=stop)

    async def _work(self, store: Store, api: Api | None, *, stop: asyncio.Event) -> None:
        """Run the roles; a database that turns out to belong to another cluster ends them in order."""
        if api is None:
            await self._run_roles(store, None, stop=stop)
            return
        bond = tie.Tie(api, store, reach=self._reach, adopted=self._settings.adopt_cluster)
        if await _unless(stop, bond.look()) is None:
            return
        cluster = Cluster(self._settings, store, api=api, reach=self._reach, may_control=bond.known)
        looking = asyncio.create_task(_or_stop(bond.look_until_known(), stop))
        await self._run_roles(store, cluster, stop=stop)
        looking.cancel()
        (refusal,) = await asyncio.gather(looking, return_exceptions=True)
        if isinstance(refusal, errors.ForeignClusterError):
            raise refusal

    async def _run_roles(self, store: Store, cluster: Cluster | None, *, stop: asyncio.Event) -> None:
        parts = roles.Roles(self._settings, store, cluster=cluster, offered=self._offered)
        parts.report(self._health, self._metrics)
        await parts.run(stop)

    async def _connect(self, ending: contextlib.AsyncExitStack) -> Api:
        """Find the way to the API server, which from now on is needed; it may be away."""
        api = await Api.connect()
        ending.push_async_callback(api.close)
        self._health.add("kubernetes", lambda: Need(self._reach.is_up, self._reach.why or ""))
        return api

    async def _open_store(self) -> Store:
        """Wait for the database, for however long, and bring it up to date."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._bring_up_to_date()
                return await Store.open(self._dsn, codec=self._settings.codec(), password=self._settings.password())
            except errors.DatabaseUnavailableError as error:
                if self._database.why != error.message:
                    _log.warning("database away, waiting for it", error=error.message)
                self._database = Need(ok=False, why=error.message)
            except errors.PerdureError:
                raise
            except Exception as error:  # a border: what the driver raises for a database that answers, but refuses
                address = configuration.masked(self._dsn)
                raise errors.DatabaseRefusedError(address, f"{type(error).__name__}: {error}") from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _bring_up_to_date(self) -> None:
        """Migrate, or only look, as the settings say."""
        password = self._settings.password()
        if self._settings.migrate == "on":
            for name in await migrate.migrate(self._dsn, password=password):
                _log.info("migrated", migration=name)
            return
        with connect.translated():
            connection = await connect.dedicated(self._dsn, password=password)
            try:
                await migrate.check(connection)
            finally:
                await connection.close()


def _need_of(error: BaseException | None) -> Need:
    return Need(error is None, "" if error is None else f"{type(error).__name__}: {error}")


async def _or_stop(work: Coroutine[object, object, None], stop: asyncio.Event) -> None:
    """Do the work; what it raises ends the process."""
    try:
        await work
    except errors.PerdureError:
        stop.set()
        raise


async def _unless(stop: asyncio.Event, work: Coroutine[object, object, T]) -> T | None:
    """Do the work to its end, or give None when `stop` comes first."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, stopped):
            one.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)

"""Where a workload plays: one durable Postgres, a fresh database for each workload, one worker and one client.

Worker and client share this process, as they do in the operator; Postgres shares the machine. Nothing here measures.
Tables that are to be full before the play begins are filled by `filling`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import psutil

from perdure import ActivityRegistry, OrchestrationRegistry
from perdure._engine.worker import Worker, WorkerSettings
from perdure._store import migrate
from perdure._store.embedded import EmbeddedPostgres
from perdure._store.store import Store
from perdure.client import Client
from tests.bench import code

_numbers = itertools.count(1)


@contextlib.asynccontextmanager
async def fresh_database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """Make a migrated database, give its name, and drop it at the end."""
    async with empty_database(server) as database:
        await migrate.migrate(server.dsn_of(database))
        yield database


@contextlib.asynccontextmanager
async def empty_database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """Make a database with nothing in it, give its name, and drop it at the end."""
    outside = await asyncpg.connect(server.dsn)
    database = f"bench_{next(_numbers)}"
    await outside.execute(f"create database {database}")
    try:
        yield database
    finally:
        await outside.execute(f"drop database {database} with (force)")
        await outside.close()


def new_worker(store: Store, settings: WorkerSettings) -> Worker:
    """Give a worker that can run what `code` offers."""
    return Worker(
        store,
        OrchestrationRegistry.of(*code.ORCHESTRATIONS),
        ActivityRegistry.of(*code.ACTIVITIES),
        settings=settings,
    )


@dataclass(frozen=True)
class Stage:
    """A worker at work and a client beside it. `outside` speaks to another database, so it counts in no statistics."""

    server: EmbeddedPostgres
    database: str
    worker: Worker
    client: Client
    outside: asyncpg.Connection[asyncpg.Record]

    @classmethod
    @contextlib.asynccontextmanager
    async def set_up(cls, server: EmbeddedPostgres) -> AsyncIterator[Stage]:
        """Make a database, migrate it, start a worker; take it all down at the end."""
        async with fresh_database(server) as database:
            outside = await asyncpg.connect(server.dsn)
            store = await Store.open(server.dsn_of(database), application_name="perdure-bench")
            worker = new_worker(store, WorkerSettings())
            client = Client(store, worker)
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            try:
                yield cls(server, database, worker, client, outside)
            finally:
                stop.set()
                await running
                await client.close()
                await store.close()
                await outside.close()

    @property
    def dsn(self) -> str:
        """The address of the workload's own database."""
        return self.server.dsn_of(self.database)

    async def run_one(self, instance_id: str, orchestration: code.Named, input: object = None) -> None:
        """Start an instance and wait for its end, told by the worker of this process."""
        ended = self.worker.finished(instance_id)
        await self.client.start_orchestration(instance_id, orchestration, input)
        await ended

    async def run_many(self, prefix: str, orchestration: code.Named, *, count: int, in_flight: int) -> None:
        """Run `count` instances, at most `in_flight` of them at once."""
        slots = asyncio.Semaphore(in_flight)

        async def one(number: int) -> None:
            async with slots:
                await self.run_one(f"{prefix}-{number:06}", orchestration, {"number": number})

        await asyncio.gather(*(one(number) for number in range(count)))

    def postgres_cpu_seconds(self) -> float:
        """Give what the server's processes that are there now have used; backends of this stage stay as long as it."""
        used = 0.0
        for process in psutil.Process(self.server.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system
        return used

    async def transactions(self) -> int:
        """Give how many transactions the workload's database has seen so far."""
        return int(
            await self.outside.fetchval(
                "select xact_commit + xact_rollback from pg_stat_database where datname = $1", self.database
            )
        )

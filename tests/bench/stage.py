"""Where a workload plays: one durable Postgres, a fresh database for each workload, one worker and one client.

Worker and client share this process, as they do in the operator; Postgres shares the machine. Nothing here measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from perdure import ActivityRegistry, OrchestrationRegistry
from perdure._engine.worker import Worker, WorkerSettings
from perdure._store import migrate
from perdure._store.embedded import EmbeddedPostgres
from perdure._store.store import Store
from perdure.client import Client
from tests.bench import code

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Stage:
    """A worker at work and a client beside it. `outside` speaks to another database, so it counts in no statistics."""

    database: str
    worker: Worker
    client: Client
    outside: asyncpg.Connection[asyncpg.Record]

    @classmethod
    @contextlib.asynccontextmanager
    async def set_up(cls, server: EmbeddedPostgres) -> AsyncIterator[Stage]:
        """Make a database, migrate it, start a worker; take it all down at the end."""
        outside = await asyncpg.connect(server.dsn)
        database = f"bench_{next(_numbers)}"
        await outside.execute(f"create database {database}")
        dsn = server.dsn_of(database)
        await migrate.migrate(dsn)
        store = await Store.open(dsn, application_name="perdure-bench")
        worker = Worker(
            store,
            OrchestrationRegistry.of(*code.ORCHESTRATIONS),
            ActivityRegistry.of(*code.ACTIVITIES),
            settings=WorkerSettings(),
        )
        client = Client(store, worker)
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        try:
            yield cls(database, worker, client, outside)
        finally:
            stop.set()
            await running
            await client.close()
            await store.close()
            await outside.execute(f"drop database {database} with (force)")
            await outside.close()

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

    async def transactions(self) -> int:
        """Give how many transactions the workload's database has seen so far."""
        return int(
            await self.outside.fetchval(
                "select xact_commit + xact_rollback from pg_stat_database where datname = $1", self.database
            )
        )

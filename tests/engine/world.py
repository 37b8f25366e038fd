"""The small cast of the engine's tests: a world with workers that come, go and die, and an activity on strings.

A `World` is one fresh database, a client, and any number of workers of this process (`Hand`), each with a store of its
own, as in a process of its own. Nothing here waits for time to pass: everything waits for what should happen, and gives
up after `PATIENCE_SECONDS`, which is no measure of anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator

import asyncpg

from perdure import (
    ActivityContext,
    ActivityRegistry,
    Fixed,
    JsonValue,
    OrchestrationContext,
    OrchestrationRegistry,
    RetryPolicy,
)
from perdure import activity as activity_
from perdure import orchestration as orchestration_
from perdure._core import history
from perdure._core.activity import ActivityInfo
from perdure._core.codec import Codec
from perdure._core.definition import ActivityDefinition, AnyActivity, AnyOrchestration
from perdure._engine.worker import Worker, WorkerSettings
from perdure._store.store import Store
from perdure.client import Client, InstanceInfo

PATIENCE_SECONDS = 120.0
PUPPET = "test::activity::puppet"
AT_ONCE = RetryPolicy(10, backoff=Fixed(0))
SETTINGS = WorkerSettings(lease_seconds=2.0, poll_seconds=0.2, shutdown_grace_seconds=0.5)
ALONE = dataclasses.replace(SETTINGS, lease_seconds=3_600.0, poll_seconds=3_600.0)
"""A worker that neither polls nor looks after its lease while a test lasts: what it notices, it was told."""

_IS_REAPED = """
with late as (update workers set lease_until = now() - interval '1 s' where worker_id = $1 returning worker_id)
select 1 where not exists (select from late)
"""
WAITING = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like $1"
"""Whether a statement, by the name in its first line, waits for somebody else's transaction."""

_numbers = itertools.count(1)


@orchestration_("test::orchestration::relay")
async def relay(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Ask the puppet once, and return what it says."""
    return await ctx.schedule_activity(PUPPET, input)


class Call:
    """One attempt of the puppet, waiting for its verdict."""

    def __init__(self, info: ActivityInfo, input: JsonValue) -> None:
        """Wait for `returns` or `fails`."""
        self.info = info
        self.input = input
        self.verdict: asyncio.Future[JsonValue] = asyncio.get_running_loop().create_future()
        self.cancelled = asyncio.Event()

    def returns(self, value: JsonValue) -> None:
        """Let the attempt end well."""
        self.verdict.set_result(value)

    def fails(self, error: Exception) -> None:
        """Let the attempt fail."""
        self.verdict.set_exception(error)


class Puppet:
    """An activity whose every attempt waits for what the test says."""

    def __init__(self) -> None:
        """Wait for calls, from whichever worker."""
        self._calls: asyncio.Queue[Call] = asyncio.Queue()
        self.count = 0

    @property
    def activity(self) -> ActivityDefinition[JsonValue, JsonValue]:
        """The puppet as a worker takes it."""

        @activity_(PUPPET)
        async def puppet(ctx: ActivityContext, input: JsonValue) -> JsonValue:
            call = Call(ctx.info, input)
            self.count += 1
            self._calls.put_nowait(call)
            try:
                return await call.verdict
            except asyncio.CancelledError:
                call.cancelled.set()
                raise

        return puppet

    async def called(self) -> Call:
        """Give the next attempt that nobody has taken yet."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._calls.get()


class Hand:
    """A worker at work."""

    def __init__(self, store: Store, worker: Worker) -> None:
        """Work from now on."""
        self.store = store
        self.worker = worker
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(worker.run(self._stop))

    @property
    def is_working(self) -> bool:
        """Whether it is there."""
        return not self._task.done()

    async def stop(self) -> None:
        """Let it give everything back and go; raises what it died of, if it did."""
        self._stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._task
        await self.store.close()

    async def evicts(self) -> None:
        """Wait until it has nothing in memory any more: what it lost to somebody else it drops when it finds out."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.worker.resident_count:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)

    async def die(self) -> None:
        """Die on the spot: nothing is given back, the lease stands until it ends."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.store.close()

    async def death(self) -> BaseException | None:
        """Wait until it ends by itself; give what it died of."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait([self._task])
        return self._task.exception()


class World:
    """One database and all that happens in it."""

    def __init__(self, dsn: str, client: Client, outside: asyncpg.Connection[asyncpg.Record]) -> None:
        """Begin without workers."""
        self.dsn = dsn
        self.client = client
        self.outside = outside
        self._looking = asyncio.Lock()
        self.hands: list[Hand] = []

    async def worker(
        self,
        *definitions: AnyOrchestration | AnyActivity,
        settings: WorkerSettings = SETTINGS,
        dsn: str = "",
        codec: Codec | None = None,
    ) -> Hand:
        """Put a worker to work that offers these."""
        store = await Store.open(dsn or self.dsn, application_name="perdure-test", codec=codec)
        activities = [item for item in definitions if isinstance(item, ActivityDefinition)]
        orchestrations = [item for item in definitions if not isinstance(item, ActivityDefinition)]
        worker = Worker(
            store, OrchestrationRegistry.of(*orchestrations), ActivityRegistry.of(*activities), settings=settings
        )
        self.hands.append(Hand(store, worker))
        return self.hands[-1]

    async def start(self, orchestration: AnyOrchestration | str, input: object = None) -> str:
        """Start an instance; give its id."""
        handle = await self.client.start_orchestration(f"instance-{next(_numbers)}", orchestration, input)
        return handle.instance_id

    async def end(self, instance_id: str) -> InstanceInfo:
        """Wait for the end of an instance."""
        return await self.client.wait_for_orchestration(instance_id, timeout=PATIENCE_SECONDS)

    async def run(self, orchestration: AnyOrchestration | str, input: object = None) -> InstanceInfo:
        """Start an instance and wait for its end."""
        return await self.end(await self.start(orchestration, input))

    async def phase(self, instance_id: str, phase: str) -> InstanceInfo:
        """Wait until an instance is in a phase."""
        await self.until("select 1 from instances where instance_id = $1 and phase = $2", instance_id, phase)
        return await self.client.get_instance_info(instance_id)

    async def events(self, instance_id: str) -> list[history.Event]:
        """Give all events of an instance in order."""
        return [event for turn in await self.client.get_history(instance_id) for event in turn.events]

    async def commands(self, instance_id: str) -> list[history.Command]:
        """Give all commands of an instance in order."""
        return [command for turn in await self.client.get_history(instance_id) for command in turn.commands]

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database behind everybody's back."""
        async with self._looking:
            return await self.outside.fetch(sql, *arguments)

    async def until(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Wait until a query gives rows, and give them."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (rows := await self.fetch(sql, *arguments)):  # noqa: ASYNC110 - it happens in the database
                await asyncio.sleep(0.01)
        return rows

    async def reconnect(self) -> None:
        """Look at the database again after it was away."""
        self.outside = await asyncpg.connect(self.dsn)

    async def crash(self, hand: Hand) -> None:
        """Let a worker die on the spot, and its lease end: the next heartbeat of another finds it dead."""
        worker_id = hand.worker.worker_id
        await hand.die()
        await self.fetch("update workers set lease_until = now() - interval '1 s' where worker_id = $1", worker_id)

    async def outlives(self, hand: Hand) -> None:
        """Let a worker be taken for dead although it works: its lease is over, and others may reap.

        Again and again, since a heartbeat of its own may come first and renew its lease.
        """
        await self.until(_IS_REAPED, hand.worker.worker_id)


@contextlib.asynccontextmanager
async def in_the_way(world: World, sql: str, *arguments: object) -> AsyncIterator[None]:
    """Let somebody else's transaction, which began with this statement, stand open."""
    other = await asyncpg.connect(world.dsn)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(sql, *arguments)
    try:
        yield
    finally:
        await transaction.rollback()
        await other.close()


@contextlib.asynccontextmanager
async def created(dsn: str) -> AsyncIterator[World]:
    """Make a world; at its end all workers go, and nothing may be stranded (I5)."""
    outside = await asyncpg.connect(dsn)
    async with await Client.connect(dsn) as client:
        world = World(dsn, client, outside)
        try:
            yield world
        finally:
            await asyncio.gather(*(hand.stop() for hand in world.hands if hand.is_working))
            store = await Store.open(dsn)
            stranded = await store.fetch("stranded")
            await store.close()
            await world.outside.close()
    assert stranded == []

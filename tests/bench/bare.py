"""The yardstick: chains as an engine without anything else would write them down, on the same Postgres.

A chain is a plain coroutine of five activities; each of its six turns is a row of history and an update, in a group
with those of others, durable before the next activity begins. No replay, no fence, no lease, no failure, nobody who
looks. So what this takes is the machine's, and what we take more is ours: numbers of two machines are compared by their
share of it. Nothing here uses the engine but `Batcher`, which gathers what came while a statement was on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from typing import Self

import asyncpg
import msgspec

from perdure._store.batching import Batcher
from tests.bench import code

__all__ = ["Bare"]

_Turn = tuple[str, int, bytes]
_TURNS = 6
_SCHEMA = """
create table bare_instances (instance_id text primary key, turn integer not null default 0) with (fillfactor = 60);
create table bare_history (instance_id text, turn integer, at timestamptz, body bytea, primary key (instance_id, turn))
"""
_START = "insert into bare_instances (instance_id) select unnest($1::text[])"
_COMMIT = """
with turns as materialized (
    select t.* from unnest($1::text[], $2::integer[], $3::bytea[]) as t (instance_id, turn, body)
    join bare_instances using (instance_id)
    order by instance_id for update of bare_instances
),
written as (
    update bare_instances set turn = turns.turn from turns where bare_instances.instance_id = turns.instance_id
    returning turns.*
)
insert into bare_history select instance_id, turn, now(), body from written
"""
_encode = msgspec.json.Encoder().encode


class Bare:
    """Chains, written down by two connections: one for those that begin, one for turns."""

    def __init__(
        self, starting: asyncpg.Connection[asyncpg.Record], committing: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        """Write by these two connections."""
        self._starting, self._committing = starting, committing
        self._starts: Batcher[str, None] = Batcher(self._write_starts)
        self._turns: Batcher[_Turn, None] = Batcher(self._write_turns)

    @classmethod
    @contextlib.asynccontextmanager
    async def set_up(cls, dsn: str) -> AsyncIterator[Self]:
        """Make the tables in a database, and let the server learn the statements; connections go at the end."""
        one, two = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
        try:
            bare = cls(one, two)
            await one.execute(_SCHEMA)
            await asyncio.gather(*(bare._chain(f"warm-{number}") for number in range(1_000)))
            yield bare
        finally:
            await one.close()
            await two.close()

    async def rate(self, *, count: int) -> float:
        """Give chains a second, 1,000 in flight."""
        slots = asyncio.Semaphore(1_000)

        async def one(number: int) -> None:
            async with slots:
                await self._chain(f"many-{number}")

        began = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(count)))
        return count / (time.perf_counter() - began)

    async def latency_ms(self, *, count: int) -> float:
        """Give how long a chain takes alone, p50, in milliseconds."""
        latencies = []
        for number in range(count):
            began = time.perf_counter()
            await self._chain(f"one-{number}")
            latencies.append(1000 * (time.perf_counter() - began))
        return statistics.median(latencies)

    async def _chain(self, instance_id: str) -> None:
        await self._starts.submit(instance_id)
        last: dict[str, object] = {"number": 0}
        for turn in range(_TURNS):
            await self._turns.submit((instance_id, turn, _encode([last, turn, "step"])))
            if turn < _TURNS - 1:
                last = await asyncio.create_task(_step(turn))

    async def _write_starts(self, instance_ids: list[str]) -> list[None]:
        await self._starting.fetch(_START, instance_ids)
        return [None] * len(instance_ids)

    async def _write_turns(self, turns: list[_Turn]) -> list[None]:
        await self._committing.fetch(_COMMIT, *(list(column) for column in zip(*turns, strict=True)))
        return [None] * len(turns)


async def _step(number: int) -> dict[str, object]:
    return {"number": number, "text": code.TEXT}

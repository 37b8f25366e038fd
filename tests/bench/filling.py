"""Tables that are full before the play begins: copies of one instance, made by the database itself.

A copy has the history of its model, turn by turn, and another id, so that it replays as the model would. The tables are
vacuumed and analysed afterwards, as autovacuum would: statements are planned as they are in a house that has been lived
in, and autovacuum does not wake in the middle of a measurement.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator

import asyncpg
import msgspec

from perdure._core import history
from perdure._core.replay import Execution, Identity
from perdure.client import Client
from tests.bench import code
from tests.bench.stage import Stage

_MODEL = "model"
_DAY_SECONDS = 86_400.0
_COPY = """
    with ids as (select format('%s-%s', $2::text, lpad(n::text, 7, '0')) as new_id, n from generate_series(1, $3) as n),
    copies as (
        insert into instances (
            instance_id, name, version, phase, turn, wake_at, input, output, created_at, started_at, finished_at
        )
        select new_id, name, version, phase, turn, now() + $4::float8 * interval '1 second' + n * interval '1 ms',
            input, output, created_at, started_at, finished_at
        from ids, instances where instance_id = $1
    )
    insert into history (instance_id, execution, turn, at, body)
    select new_id, execution, turn, at, body from ids, history where instance_id = $1
"""
_FALL_ASLEEP = """
    with asleep as (
        update instances set phase = 'Running', turn = 1, wake_at = null, started_at = $2 where instance_id = $1
    )
    insert into history (instance_id, execution, turn, at, body) values ($1, 1, 0, $2, $3)
"""


async def finished(stage: Stage, count: int) -> None:
    """Put finished chains into the tables."""
    await stage.run_one(_MODEL, code.chain, {"number": 0})
    async with _tables(stage.dsn) as tables:
        await tables.execute(_COPY, _MODEL, "finished", count, None, timeout=600)


async def of_others(stage: Stage, count: int) -> None:
    """Put instances into the tables that the worker cannot run: so many of another version, as many of another name.

    Half of each are due, the others will be in a day.
    """
    await stage.client.start_orchestration_versioned(_MODEL, code.chain, "99.0.0", {"number": 0})
    async with _tables(stage.dsn) as tables:
        for kind in ("version", "name"):
            await tables.execute(_COPY, _MODEL, f"{kind}-due", count // 2, -_DAY_SECONDS)
            await tables.execute(_COPY, _MODEL, f"{kind}-waiting", count // 2, _DAY_SECONDS)
            await tables.execute("update instances set name = 'elsewhere' where instance_id = $1", _MODEL)


async def asleep(client: Client, dsn: str, *, count: int, due_seconds: float | None) -> None:
    """Put instances into the tables that wait for a timer of a day; claimable in so many seconds, None for never."""
    await client.start_orchestration(_MODEL, code.sleep, {"seconds": _DAY_SECONDS})
    now = datetime.datetime.now(datetime.UTC)
    async with _tables(dsn) as tables:
        await tables.execute(_FALL_ASLEEP, _MODEL, now, _first_turn(now))
        await tables.execute(_COPY, _MODEL, "asleep", count, due_seconds, timeout=600)


def _first_turn(now: datetime.datetime) -> bytes:
    """Give the row of the turn in which the model went to sleep."""
    given = msgspec.Raw(msgspec.json.encode({"seconds": _DAY_SECONDS}))
    events: list[history.Event] = [
        history.OrchestrationStarted(code.sleep.name, code.sleep.version, given, history.PROTOCOL)
    ]
    return history.encode_turn(events, Execution(code.sleep, Identity(_MODEL, 1)).advance(now, events).commands)


@contextlib.asynccontextmanager
async def _tables(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Lend a connection; what was written is on disk, vacuumed and analysed afterwards."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
        await connection.execute("vacuum (analyze)", timeout=600)
        await connection.execute("checkpoint", timeout=600)
    finally:
        await connection.close()

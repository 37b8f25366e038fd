"""What is done beside an ingest that has not committed yet: whoever decides by the same rows sees what it did.

Against a real Postgres; the cast of `test_resources_desired.py`: a resource `db` in the namespace `shop`, and another
one of its name after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from perdure._store import connect, intake, removal
from perdure._store.resources import Resources, Seen
from perdure._store.sealing import Sealing
from perdure._store.store import Store
from tests.store.test_resources_desired import UID, finish, seen
from tests.store.test_resources_due import OTHER, show, take_in

Pool = connect.Pool
T = TypeVar("T")
WAITS = """
    select exists (
        select from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0
    )
"""


async def beside(pool: Pool, sight: Seen, doing: Coroutine[object, object, T]) -> T:
    """Take a sight in, and commit that when what is done beside it waits for the commit, or is over without it."""
    async with pool.acquire() as connection, connection.transaction():
        await intake.take_in(connection, [sight], sealing=Sealing())
        task = asyncio.create_task(doing)
        async with asyncio.timeout(120):
            while not task.done() and not await pool.fetchval(WAITS):  # noqa: ASYNC110 - it happens in the database
                await asyncio.sleep(0.01)
    return await task


async def expired(pool: Pool) -> None:
    """Let the resource have ended, and let its time be over."""
    await take_in(pool, seen(ttl_seconds=0, rerun="OnChange"))
    await finish(pool)
    await show(pool)


async def test_a_run_that_is_adopted_meanwhile_is_not_removed(pool: Pool) -> None:
    """The removal waits for its row and has not seen the resource that shows it now: the run is looked at anew."""
    await expired(pool)
    await Resources(pool).bury(UID)
    await take_in(pool, Seen(UID, "shop", "db", gone=True))

    [row] = await beside(pool, seen(uid=OTHER), removal.remove(Store(pool, "unused"), ["shop/db:1"]))
    [again] = await removal.remove(Store(pool, "unused"), ["shop/db:1"])

    assert (row["fate"], again["fate"]) == ("Changed", "Shown")
    assert await pool.fetchval("select resource_uid from instances") == OTHER


async def test_who_is_changed_meanwhile_is_not_buried(pool: Pool) -> None:
    """Its next run begins, and it is not deleted: what it was before is left to nobody."""
    await expired(pool)

    buried = await beside(pool, seen("b", 2, ttl_seconds=0, rerun="OnChange"), Resources(pool).bury(UID))
    await take_in(pool, Seen(UID, "shop", "db", gone=True))
    [back] = await Resources(pool).ingest([seen(uid=OTHER)])

    assert (back.starts, back.instance_id) == (True, "shop/db:3")
    assert not buried

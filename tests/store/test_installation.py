"""A database is tied to one cluster, by whoever comes first, and taken over only from the one that is named."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg

from perdure._store import statements

TIE = statements.load()["installation_tie"]
OURS, OTHERS, THIRD = uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(int=3)


async def tied(
    connection: asyncpg.Connection[asyncpg.Record], uid: uuid.UUID, adopted: uuid.UUID | None = None
) -> object:
    """Start as the operator of a cluster; give the one that the database belongs to."""
    return await connection.fetchval(TIE, uid, adopted)


async def test_the_first_cluster_has_the_database(dsn: str) -> None:
    """Whoever comes later is told whose it is, as often as they ask."""
    connection = await asyncpg.connect(dsn)

    found = [await tied(connection, uid) for uid in (OURS, OURS, OTHERS, OURS)]
    await connection.close()

    assert found == [OURS] * 4


async def test_it_is_taken_over_from_the_cluster_that_is_named_once(dsn: str) -> None:
    """The setting may stay; and it does not take the database from a third."""
    connection = await asyncpg.connect(dsn)
    await tied(connection, OTHERS)

    found = [
        await tied(connection, OURS, THIRD),
        await tied(connection, OURS, OTHERS),
        await tied(connection, OURS, OTHERS),
        await tied(connection, THIRD, OTHERS),
    ]
    await connection.close()

    assert found == [OTHERS, OURS, OURS, OURS]


async def test_of_two_that_start_at_once_one_has_it_and_the_other_asks_again(dsn: str) -> None:
    """The one who waits for the other's row does not see it yet: no row says so, the next statement gives it."""
    first, second, looking = [await asyncpg.connect(dsn) for _ in range(3)]
    transaction = first.transaction()
    await transaction.start()
    await tied(first, OURS)

    waiting = asyncio.create_task(tied(second, OTHERS))
    while not await looking.fetch("select 1 from pg_stat_activity where wait_event_type = 'Lock'"):  # noqa: ASYNC110 - it happens in the database
        await asyncio.sleep(0.01)
    await transaction.commit()
    found = [await waiting, await tied(second, OTHERS)]
    for connection in (first, second, looking):
        await connection.close()

    assert found == [None, OURS]

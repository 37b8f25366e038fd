"""Moving rows between two real databases: once, whoever copies twice; and what is refused is said.

Two databases of one server, over TCP, with the credentials of a Secret of a real API server, as the ServiceAccount of a
run. The orchestration around these activities is tested in `tests/unit/library/test_migration.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from activities.postgres.copy_chunk import copy_chunk
from activities.postgres.databases import statement
from activities.postgres.plan_migration import plan_migration
from activities.postgres.verify_migration import verify_migration
from activities.types import (
    CopyChunkInput,
    MigratedTable,
    PlanMigrationInput,
    PlanMigrationOutput,
    PostgresDatabase,
    TableCounts,
    VerifyMigrationInput,
)
from perdure import errors
from perdure._store.embedded import EmbeddedPostgres
from tests.e2e.library import Cast

pytestmark = pytest.mark.slow

TABLE = """
create table "Odd ""name" (
    "the Key" text primary key, n integer generated always as identity, body text, twice integer generated always
    as (1 + 1) stored, at timestamptz default now()
)
"""
FILL = """
insert into "Odd ""name" ("the Key", body)
select format('k%s', lpad(i::text, 4, '0')), E'tab\\t back\\\\ line\\n' || i from generate_series(1, 95) as i
"""
ODD = MigratedTable(name='Odd "name', key="the Key")


class Sides:
    """The two databases, and the activities between them."""

    def __init__(self, cast: Cast, dsn: str, source: asyncpg.Connection, target: asyncpg.Connection) -> None:
        address = urlsplit(dsn)
        self.cast, self.source, self.target = cast, source, target
        self.where = {
            side: PostgresDatabase(
                host=address.hostname or "", port=address.port or 0, database=side, secret_name="sides-credentials"
            )
            for side in ("source", "target")
        }

    async def plan(self, *, chunk_rows: int = 10, chunks: int = 100, table: MigratedTable = ODD) -> PlanMigrationOutput:
        """Plan a stretch."""
        wanted = PlanMigrationInput(migration="m", **self.where, table=table, chunk_rows=chunk_rows, chunks=chunks)
        return await self.cast.do(plan_migration, wanted)

    async def copy(self, chunk: int, *, run: str = "first", table: MigratedTable = ODD) -> tuple[int, bool]:
        """Copy a chunk; give its rows, and whether it was copied before."""
        wanted = CopyChunkInput(migration="m", **self.where, table=table, chunk=chunk)
        copied = await self.cast.do(copy_chunk, wanted, run=run)
        return copied.rows, copied.was_done

    async def verify(self, table: MigratedTable = ODD) -> TableCounts:
        """Count, and move the sequences on."""
        return await self.cast.do(verify_migration, VerifyMigrationInput(migration="m", **self.where, table=table))

    async def rows(self, side: asyncpg.Connection) -> list[asyncpg.Record]:
        """Give all rows of a side."""
        return list(await side.fetch('table "Odd ""name" order by 1'))


@pytest_asyncio.fixture
async def sides(cast: Cast, crashable_postgres: EmbeddedPostgres) -> AsyncIterator[Sides]:
    """Give a source of 95 rows and an empty target."""
    dsn = crashable_postgres.dsn
    address = urlsplit(dsn)
    literals = [f"--from-literal=username={address.username}", f"--from-literal=password={address.password}"]
    await cast.kubectl("create", "secret", "generic", "sides-credentials", *literals)
    first = await asyncpg.connect(dsn)
    for side in ("source", "target"):
        await first.execute(f"create database {side}")
    await first.close()
    source, target = [
        await asyncpg.connect(urlunsplit(address._replace(path=f"/{side}"))) for side in ("source", "target")
    ]
    for connection in (source, target):
        await connection.execute(TABLE)
    await source.execute(FILL)
    yield Sides(cast, dsn, source, target)
    for connection in (source, target):
        connection.terminate()


async def test_all_rows_arrive_as_they_were(sides: Sides) -> None:
    """Names that need quotes, texts that need escapes, identities and generated columns: every row is the same."""
    plan = await sides.plan()
    await asyncio.gather(*(sides.copy(chunk.number) for chunk in plan.chunks))

    assert [chunk.rows for chunk in plan.chunks] == [10] * 9 + [5]
    assert await sides.rows(sides.target) == await sides.rows(sides.source)
    assert (await sides.plan()).chunks == []
    counts = await sides.verify()
    assert (counts.copied, counts.source, counts.target) == (95, 95, 95)


async def test_a_chunk_is_copied_once_whoever_copies_it_again(sides: Sides) -> None:
    """Of two at the same time one copies, and what was removed from the target since is not brought back."""
    await sides.plan()
    both = await asyncio.gather(sides.copy(1), sides.copy(1, run="second"))
    await sides.target.execute('delete from "Odd ""name"')

    assert sorted(both) == [(10, False), (10, True)]
    assert await sides.copy(1) == (10, True)
    assert await sides.rows(sides.target) == []


async def test_a_copy_that_breaks_off_leaves_nothing(sides: Sides) -> None:
    """Cancelled while it waits for a row that somebody holds: neither rows nor note; the next attempt copies all."""
    await sides.plan()
    await sides.target.execute("begin")
    await sides.target.execute("""insert into "Odd ""name" ("the Key") values ('k0005')""")
    copying = asyncio.create_task(sides.copy(1))
    await _until_waiting(sides)
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    await sides.target.execute("rollback")

    assert await sides.rows(sides.target) == []
    assert await sides.copy(1) == (10, False)
    assert len(await sides.rows(sides.target)) == 10


async def _until_waiting(sides: Sides) -> None:
    """Return when the copy waits for the row that is held."""
    waiting = """
        select count(*) from pg_stat_activity where application_name = 'perdure-migration' and wait_event_type = 'Lock'
    """
    async with asyncio.timeout(60):
        while not await sides.source.fetchval(waiting):  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.01)


async def test_a_row_that_is_there_already_stays(sides: Sides) -> None:
    """Whoever wrote it into the target meant it."""
    await sides.target.execute("""insert into "Odd ""name" ("the Key", body) values ('k0003', 'mine')""")
    await sides.plan()
    await sides.copy(1)

    bodies = {row["the Key"]: row["body"] for row in await sides.rows(sides.target)}
    assert len(bodies) == 10
    assert bodies["k0003"] == "mine"


async def test_the_plan_goes_on_where_it_stopped_with_chunks_of_another_size(sides: Sides) -> None:
    """What is planned is done first, and is never cut anew: no row is left out or copied twice."""
    first = await sides.plan(chunk_rows=10, chunks=2)
    await sides.copy(1)
    again = await sides.plan(chunk_rows=50, chunks=2)
    await sides.copy(2)
    last = await sides.plan(chunk_rows=50, chunks=2)
    for chunk in last.chunks:
        await sides.copy(chunk.number)

    assert [chunk.number for chunk in first.chunks] == [1, 2]
    assert [chunk.number for chunk in again.chunks] == [2]
    assert [(chunk.number, chunk.rows) for chunk in last.chunks] == [(3, 50), (4, 25)]
    assert (again.copied_rows, last.copied_rows) == (10, 20)
    assert await sides.rows(sides.target) == await sides.rows(sides.source)


@pytest.mark.parametrize(
    ("name", "key", "complaint"),
    [
        ("nothing", "id", "The source has no table public.nothing with a column id"),
        ('Odd "name', "body", "is no key: expected NOT NULL and a unique index"),
        ('Odd "name', ["the Key", "n"], "the Key, n of table .* is no key"),
        ('Odd "name', ["the Key", "nowhere"], "with a column nowhere"),
        ("x; drop table y", "id", "no table public.x; drop table y"),
    ],
)
async def test_a_table_that_does_not_fit_is_refused(
    sides: Sides, name: str, key: str | list[str], complaint: str
) -> None:
    """Before anything is copied, and not tried again."""
    with pytest.raises(errors.NonRetryableError, match=complaint):
        await sides.plan(table=MigratedTable(name=name, key=key))


async def test_what_the_target_refuses_is_said_and_not_tried_again(sides: Sides) -> None:
    """A constraint of the target is named; the source goes on as if nothing had been."""
    await sides.target.execute('alter table "Odd ""name" add constraint short check (length(body) < 2)')
    await sides.plan()

    with pytest.raises(errors.NonRetryableError, match=r'CheckViolationError.*"short"') as caught:
        await sides.copy(1)

    assert not caught.value.retryable
    assert len(await sides.rows(sides.source)) == 95


async def test_rows_written_behind_what_was_copied_are_noticed(sides: Sides) -> None:
    """The count tells what no chunk can."""
    for chunk in (await sides.plan()).chunks:
        await sides.copy(chunk.number)
    await sides.source.execute("""insert into "Odd ""name" ("the Key") values ('a')""")

    with pytest.raises(errors.NonRetryableError, match="96 rows in the source and 95 in the target"):
        await sides.verify()


# --- keys of several columns -----------------------------------------------------------------------------------------

LINES = """
create table lines (
    shop text collate "C", "at it" timestamptz, number numeric, body text, primary key (number, shop, "at it")
)
"""
FILL_LINES = """
insert into lines
select format('s%s ""\', i % 3), timestamptz '2026-01-01 00:00:00.000001+02' + i % 2 * interval '1 us', i / 6 + 0.10, i
from generate_series(1, 95) as i
"""


async def test_a_key_of_several_columns_cuts_a_table_as_one_column_does(sides: Sides) -> None:
    """In the order that is asked for, whatever that of the index is: each row arrives once, with all of its digits."""
    table = MigratedTable(name="lines", key=["shop", "at it", "number"])
    for side in (sides.source, sides.target):
        await side.execute(LINES)
    await sides.source.execute(FILL_LINES)

    first = await sides.plan(chunk_rows=7, chunks=2, table=table)
    for chunk in first.chunks:
        await sides.copy(chunk.number, table=table)
    rest = await sides.plan(chunk_rows=20, table=table)
    await asyncio.gather(*(sides.copy(chunk.number, table=table) for chunk in rest.chunks))

    assert [chunk.rows for chunk in (*first.chunks, *rest.chunks)] == [7, 7, 20, 20, 20, 20, 1]
    both = [await side.fetch("table lines order by body") for side in (sides.source, sides.target)]
    assert both[0] == both[1]
    assert (await sides.verify(table)).copied == 95


async def test_the_next_chunk_is_found_by_the_index(sides: Sides) -> None:
    """A table of any size is cut from where it was left, and not read from its beginning each time."""
    for number, columns in enumerate((["the Key"], ["number", "shop", "at it"])):
        await sides.source.execute(LINES) if number else None
        names = {"schema": "public", "table": "lines" if number else ODD.name, "key": columns}
        await sides.source.execute("set enable_seqscan = off; set enable_sort = off")
        key = json.dumps({"the Key": "k0050", "number": 1, "shop": "s1", "at it": "2026-01-01"})

        async with sides.source.transaction():
            plan = await sides.source.fetch(f"explain {statement('migration_bounds', **names)}", key, 100, 10)

        assert "Index Cond: " in "\n".join(row[0] for row in plan)


# --- sequences -------------------------------------------------------------------------------------------------------

COUNTED = """
create sequence "Shared ""one" increment by -2;
create table counted (
    id serial primary key, n bigint generated by default as identity, s bigint default nextval('"Shared ""one"'),
    fixed bigint default 1
)
"""


async def test_the_next_row_of_the_target_takes_the_next_values(sides: Sides) -> None:
    """Serials, identities and sequences of one's own, rising or falling, go on where the source has come to."""
    table = MigratedTable(name="counted", key="id")
    for side in (sides.source, sides.target):
        await side.execute(COUNTED)
    await sides.source.execute(
        "insert into counted default values; insert into counted select from generate_series(1, 4)"
    )
    for chunk in (await sides.plan(table=table)).chunks:
        await sides.copy(chunk.number, table=table)

    counts = await sides.verify(table)
    again = await sides.verify(table)
    both = [
        await side.fetchrow("insert into counted default values returning *") for side in (sides.source, sides.target)
    ]

    assert (counts.sequences, again.sequences) == (
        ["public.counted_id_seq", "public.counted_n_seq", 'public.Shared "one'],
        [],
    )
    assert both[0] == both[1]


async def test_a_sequence_that_is_further_already_stays(sides: Sides) -> None:
    """Somebody writes to the target: no value is given out twice."""
    table = MigratedTable(name="counted", key="id")
    for side in (sides.source, sides.target):
        await side.execute(COUNTED)
    await sides.target.execute("insert into counted select from generate_series(1, 7)")
    await sides.plan(table=table)

    assert (await sides.verify(table)).sequences == []

    assert await sides.target.fetchval("insert into counted default values returning id") == 8

"""The tables of the inventory and the database they are in: made once, apart from all else, and away for a while."""

from __future__ import annotations

import asyncio
import itertools
import re
from importlib import resources
from urllib.parse import urlsplit

import pytest
import structlog

from activities.inventory import schema
from activities.inventory.release import release
from activities.inventory.reserve import reserve
from activities.types import (
    ReleaseInput,
    StateOutput,
)
from perdure import ActivityContext, ActivityInfo, Transaction, errors, migrations
from perdure._store import connect
from perdure._store.embedded import EmbeddedPostgres
from perdure._store.lending import LentDatabase
from tests.store.shelf import ORDERS, Shelf, lent

OWN_TABLES = """
    select relname || ' ' || n_tup_ins || ' ' || n_tup_upd || ' ' || n_tup_del
    from pg_stat_user_tables where schemaname = 'public' order by 1
"""
QUERIES = sorted(
    file.name for file in (resources.files("activities.inventory") / "queries").iterdir() if file.name.endswith(".sql")
)


async def test_many_workers_on_an_empty_database_make_the_tables_once(empty_dsn: str) -> None:
    """Whoever is first makes them, the others wait and find them."""
    databases = [lent(empty_dsn) for _ in range(6)]

    applied = await asyncio.gather(*(schema.migrate(database) for database in databases))

    for database in databases:
        await database.close()
    assert list(itertools.chain(*applied)) == [migration.name for migration in _series()]


async def test_everything_is_in_a_schema_of_its_own(shelf: Shelf) -> None:
    """Perdure's own tables are the same after as before, and none has come to them."""
    before = await shelf.fetch(OWN_TABLES)

    await shelf.do(reserve, ORDERS)
    await shelf.do(release, ReleaseInput(name="orders"))

    assert await shelf.fetch(OWN_TABLES) == before
    made = await shelf.fetch("select tablename from pg_tables where schemaname = 'inventory' order by 1")
    assert made == ["events", "health", "migrations", "servers"]


async def test_tables_of_a_newer_release_are_left_alone(shelf: Shelf) -> None:
    """An older worker does not guess what it does not know."""
    await schema.migrate(shelf.database)
    await shelf.fetch("insert into inventory.migrations values (9000, '9000_later.sql', 'x') returning 1")

    with pytest.raises(errors.SchemaNewerError, match="9000_later"):
        await shelf.do(reserve, ORDERS)


@pytest.mark.parametrize("name", QUERIES)
def test_a_statement_says_purpose_parameters_and_locks(name: str) -> None:
    """The head comment has all three, in this order, and speaks of every parameter the statement takes."""
    head = re.match(r"(--.*\n)+", schema.statement(name.removesuffix(".sql")))
    assert head is not None
    body = schema.statement(name.removesuffix(".sql"))[head.end() :]

    assert re.findall(r"^-- (Purpose|Parameters|Locks)\b", head.group(), re.MULTILINE) == [
        "Purpose",
        "Parameters",
        "Locks",
    ]
    assert set(re.findall(r"\$\d+", body)) <= set(re.findall(r"\$\d+", head.group()))


async def test_every_statement_is_understood_by_the_tables_and_used(shelf: Shelf) -> None:
    """Each one can be prepared: its tables, columns and types are those that the migrations make; none is left over."""
    await schema.migrate(shelf.database)
    connection = await connect.dedicated(shelf.dsn)
    for name in QUERIES:
        await connection.prepare(schema.statement(name.removesuffix(".sql")))
    await connection.close()

    folder = resources.files("activities.inventory")
    code = "".join(file.read_text() for file in folder.iterdir() if file.name.endswith(".py"))
    assert [name for name in QUERIES if f'statement("{name.removesuffix(".sql")}")' not in code] == []


def _series() -> list[migrations.Migration]:
    return migrations.read(resources.files("activities.inventory") / "migrations")


async def test_a_database_that_goes_away_fails_no_activity(crashable_postgres: EmbeddedPostgres) -> None:
    """What is to be kept is kept when the database is back, and once."""
    shelf = Shelf(crashable_postgres.dsn)
    await shelf.do(reserve, ORDERS)
    await asyncio.to_thread(crashable_postgres.crash)

    waiting = asyncio.create_task(shelf.state("running"))
    await _until_away(shelf.database)
    await asyncio.to_thread(crashable_postgres.restart)

    assert await waiting == StateOutput(state="running", changed=True)
    await shelf.database.close()


async def _until_away(database: LentDatabase) -> None:
    while database.availability.is_available:  # noqa: ASYNC110 - the activity tells nobody that it waits
        await asyncio.sleep(0.01)


async def test_a_database_that_refuses_says_so_without_the_password(crashable_postgres: EmbeddedPostgres) -> None:
    """A wrong password is an error at once, names the setting, and keeps what was tried to itself."""
    address = urlsplit(crashable_postgres.dsn)
    wrong = address._replace(netloc=f"{address.username}:hunter2@{address.hostname}:{address.port}").geturl()
    shelf = Shelf(wrong)

    with pytest.raises(errors.DatabaseRefusedError, match="PERDURE_INVENTORY_URL") as caught:
        await shelf.do(reserve, ORDERS)

    told: BaseException | None = caught.value
    while told is not None:
        assert "hunter2" not in f"{told}{told!r}"
        told = told.__cause__ or told.__context__


async def test_an_activity_that_fails_in_the_middle_leaves_nothing(shelf: Shelf) -> None:
    """What is done in one transaction counts whole or not at all."""
    await shelf.do(reserve, ORDERS)

    async def half(transaction: Transaction) -> None:
        await transaction.execute("update inventory.servers set version = '19'")
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        await shelf.database.transact(half)

    assert (await shelf.entry()).version == "18"


async def test_without_a_database_an_activity_says_what_is_missing() -> None:
    """A worker of one's own that lends none is told how to."""
    info = ActivityInfo("first", "test", 1, "test", 1, 1)

    with pytest.raises(errors.NoDatabaseError, match=r"WorkerSettings\.database"):
        _ = ActivityContext(info, structlog.get_logger()).database

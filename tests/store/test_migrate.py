"""Migrations: each file once, whoever else starts, and never a guess about what the schema is or who applied it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure import errors
from perdure._store import connect, migrate, statements
from perdure._store.connect import Connection
from perdure._store.embedded import EmbeddedPostgres

MIGRATE = """
import asyncio, pathlib, sys
from perdure._store import migrate
print(*asyncio.run(migrate.migrate(sys.argv[1], folder=pathlib.Path(sys.argv[2]))))
"""

WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Give a folder of three migrations that cannot be applied twice."""
    for number, name in enumerate(("alpha", "beta", "gamma"), start=1):
        (tmp_path / f"{number:04}_{name}.sql").write_text(f"create table {name} (id integer primary key);\n")
    return tmp_path


@pytest.fixture
async def connection(empty_dsn: str) -> AsyncIterator[Connection]:
    """Give a connection to an empty database."""
    connection = await connect.dedicated(empty_dsn)
    yield connection
    await connection.close()


async def test_six_processes_on_an_empty_database_migrate_once(
    empty_dsn: str, connection: Connection, series: Path
) -> None:
    """All six wait at the same lock and all succeed; every file was applied by exactly one of them."""
    async with connection.transaction():
        await connection.execute(statements.load().migrations_lock, migrate.LOCK_KEY)
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", MIGRATE, empty_dsn, str(series)), stdout=asyncio.subprocess.PIPE
            )
            for _ in range(6)
        ]
        while await connection.fetchval(WAITING) < 6:
            pass  # the database is asked again; each answer is a turn for everyone else

    outputs = [(await process.communicate())[0].decode().split() for process in processes]

    assert [process.returncode for process in processes] == [0] * 6
    applied = [name for names in outputs for name in names]
    assert sorted(applied) == ["0001_alpha.sql", "0002_beta.sql", "0003_gamma.sql"]
    await migrate.check(connection, folder=series)


async def test_a_second_call_applies_nothing_and_a_new_file_alone(empty_dsn: str, series: Path) -> None:
    """What is applied stays; only what is new is applied, and the names of what was applied are returned."""
    assert len(await migrate.migrate(empty_dsn, folder=series)) == 3
    assert await migrate.migrate(empty_dsn, folder=series) == []

    (series / "0004_delta.sql").write_text("create table delta (id integer)")

    assert await migrate.migrate(empty_dsn, folder=series) == ["0004_delta.sql"]


async def test_an_edited_migration_is_refused(connection: Connection, series: Path) -> None:
    """A file that differs from what was applied is named, with both checksums, and nothing new is applied."""
    await migrate.migrate(connection, folder=series)
    (series / "0002_beta.sql").write_text("create table beta (id bigint)")
    (series / "0004_delta.sql").write_text("create table delta (id integer)")

    with pytest.raises(errors.MigrationChangedError, match=r"0002_beta\.sql was edited"):
        await migrate.migrate(connection, folder=series)

    assert await connection.fetchval("select to_regclass('delta')") is None


async def test_line_ends_are_no_edit(connection: Connection, series: Path) -> None:
    """A checkout with other line ends is the same migration."""
    await migrate.migrate(connection, folder=series)
    file = series / "0001_alpha.sql"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))

    assert await migrate.migrate(connection, folder=series) == []


async def test_a_late_migration_is_refused(connection: Connection, series: Path) -> None:
    """Migrations go forward only: a file with a number below an applied one is refused."""
    await migrate.migrate(connection, folder=series)
    (series / "0000_before.sql").write_text("select 1")

    with pytest.raises(errors.MigrationChangedError, match=r"0000_before\.sql came after number 0003"):
        await migrate.migrate(connection, folder=series)


async def test_a_database_of_a_newer_perdure_is_refused(connection: Connection, series: Path) -> None:
    """Code that does not know what was applied does not touch the database, and says which migration it lacks."""
    await migrate.migrate(connection, folder=series)
    (series / "0003_gamma.sql").unlink()

    with pytest.raises(errors.SchemaNewerError, match=r"0003_gamma\.sql"):
        await migrate.migrate(connection, folder=series)
    with pytest.raises(errors.SchemaNewerError, match=r"newest migration is 0002_beta\.sql"):
        await migrate.check(connection, folder=series)


async def test_a_process_that_must_not_migrate_says_what_is_missing(connection: Connection, series: Path) -> None:
    """`check` changes nothing, not even on an empty database, and names every missing migration."""
    with pytest.raises(errors.SchemaOlderError, match=r"0001_alpha\.sql, 0002_beta\.sql, 0003_gamma\.sql"):
        await migrate.check(connection, folder=series)

    assert await connection.fetchval("select to_regclass('perdure_migrations')") is None


async def test_a_failing_migration_leaves_the_ones_before_it(connection: Connection, series: Path) -> None:
    """The error names file and line; nothing of the file was kept, everything before it was."""
    (series / "0004_delta.sql").write_text("create table delta (id integer);\n\nselect no_such_function();\n")

    with pytest.raises(errors.MigrationFailedError, match=r"0004_delta\.sql, line 3: .*no_such_function"):
        await migrate.migrate(connection, folder=series)

    assert await connection.fetchval("select to_regclass('delta')") is None
    assert await connection.fetchval("select max(number) from perdure_migrations") == 3


@pytest.mark.parametrize(
    ("name", "complaint"), [("0003_twice.sql", "same number"), ("4_delta.sql", "NNNN"), ("0004-delta.sql", "NNNN")]
)
def test_a_misnamed_file_is_refused(series: Path, name: str, complaint: str) -> None:
    """A file that does not fit the series is named before the database is touched."""
    (series / name).write_text("select 1")

    with pytest.raises(errors.MigrationFilesError, match=complaint) as refusal:
        migrate.files(series)

    assert name in str(refusal.value)


async def test_a_database_that_is_away_is_no_failed_migration(crashable_postgres: EmbeddedPostgres) -> None:
    """An outage gives the one retryable error, so that a process waits instead of giving up."""
    crashable_postgres.crash()

    with pytest.raises(errors.DatabaseUnavailableError) as refusal:
        await migrate.migrate(crashable_postgres.dsn)

    assert refusal.value.retryable


def test_the_series_of_the_store_has_no_gap() -> None:
    """The migrations of the store are numbered 1, 2, 3, ... so that two branches that add one collide in review."""
    numbers = [migration.number for migration in migrate.files()]

    assert numbers == list(range(1, len(numbers) + 1))


def test_the_lock_key_is_for_ever() -> None:
    """Releases of different age lock each other out: the key is the same number in all of them."""
    assert migrate.LOCK_KEY == 31636739377689189

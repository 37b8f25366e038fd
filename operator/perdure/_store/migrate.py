"""Bring a database to the schema this code needs, once, whoever else is trying at the same time.

It knows the files `migrations/NNNN_words.sql` and the table `perdure_migrations`; it must not know what the
migrations do.

Theory of operation. Each migration runs in a transaction of its own that first takes the migration lock, then reads
what is applied, then applies the next file and records it with its sha256. So any number of processes may start on an
empty database: they queue at the lock, one applies a file, the next one sees that and goes on with the one after. A
process that dies in the middle leaves whole migrations and no lock. The lock lives in the transaction and not in the
session, so a connection pooler in between does no harm.

Files go forward only and are never edited once released: a difference between a file and its record is refused, because
nobody can say any more what the schema is.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg

from perdure import errors, migrations
from perdure._store import connect, statements
from perdure.migrations import Migration
from perdure.passwords import Password

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from importlib.resources.abc import Traversable

    from perdure._store.connect import Connection

__all__ = ["LOCK_KEY", "check", "files", "migrate"]

LOCK_KEY = int.from_bytes(b"perdure")
"""Key of the advisory lock: the bytes of `perdure` as a number, 31,636,739,377,689,189. Never changes."""


def files(folder: Traversable | None = None) -> list[Migration]:
    """Return the migrations in order; those of the store when no folder is given. Raises `MigrationFilesError`."""
    return migrations.read(folder or resources.files(__package__) / "migrations")


async def migrate(
    target: str | Connection, *, folder: Traversable | None = None, password: Password | None = None
) -> list[str]:
    """Apply what is missing and return the names of what this call applied.

    `target` is a DSN, for which `password` is asked if given, or a connection outside a transaction. Waits, without
    limit, while another process migrates.

    Raises:
        MigrationChangedError: an applied file was edited, or one before it was added later.
        SchemaNewerError: the database is ahead of this code.
        MigrationFailedError: the database refused a file; earlier ones stay applied.
        DatabaseUnavailableError: the database cannot be reached; call again later.

    """
    series = files(folder)
    applied_here: list[str] = []
    with connect.translated():
        async with _connection(target, password) as connection:
            if not _pending(series, await _applied(connection)):
                return []
            while True:
                name = await _apply_next(connection, series)
                if name is None:
                    return applied_here
                applied_here.append(name)


async def check(connection: Connection, *, folder: Traversable | None = None) -> None:
    """Return when the database has exactly the schema this code needs; for processes that must not migrate.

    Raises:
        SchemaOlderError: migrations are missing; the message names them.
        SchemaNewerError, MigrationChangedError: as for `migrate`.

    """
    pending = _pending(files(folder), await _applied(connection))
    if pending:
        raise errors.SchemaOlderError(
            f"The database lacks {', '.join(migration.name for migration in pending)}. "
            "Run `perdure migrate` with a role that may change the schema, or start without PERDURE_MIGRATE=off."
        )


@asynccontextmanager
async def _connection(target: str | Connection, password: Password | None) -> AsyncIterator[Connection]:
    if not isinstance(target, str):
        yield target
        return
    connection = await connect.dedicated(
        target, application_name="perdure-migrate", statement_timeout="0", password=password
    )
    try:
        yield connection
    finally:
        await connection.close()


async def _applied(connection: Connection) -> Sequence[asyncpg.Record]:
    sql = statements.load()
    if not await connection.fetchval(sql.migrations_exist):
        return []
    return await connection.fetch(sql.migrations_applied)


async def _apply_next(connection: Connection, series: Sequence[Migration]) -> str | None:
    """Apply one migration under the lock and return its name, or None when there is no more."""
    sql = statements.load()
    async with connection.transaction():
        await connection.execute(sql.migrations_lock, LOCK_KEY)
        await connection.execute((resources.files(__package__) / "ledger.sql").read_text("utf-8"))
        pending = _pending(series, await connection.fetch(sql.migrations_applied))
        if not pending:
            return None
        migration = pending[0]
        try:
            await connection.execute(migration.text)
        except asyncpg.PostgresError as failure:
            if connect.is_transient(failure):
                raise
            raise errors.MigrationFailedError(_explained(migration, failure)) from failure
        await connection.execute(sql.migrations_record, migration.number, migration.name, migration.checksum)
        return migration.name


def _pending(series: Sequence[Migration], applied: Sequence[asyncpg.Record]) -> list[Migration]:
    return migrations.pending(series, {row["number"]: (row["name"], row["checksum"]) for row in applied})


def _explained(migration: Migration, failure: asyncpg.PostgresError) -> str:
    position = getattr(failure, "position", None)
    line = migration.text[: int(position)].count("\n") + 1 if position else None
    where = f"{migration.name}, line {line}" if line else migration.name
    detail = getattr(failure, "detail", None)
    return f"The database refused {where}: {failure}{f' ({detail})' if detail else ''}. Nothing of this file was kept."

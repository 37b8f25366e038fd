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

import hashlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg

from perdure import errors
from perdure._store import connect, statements
from perdure.passwords import Password

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from importlib.resources.abc import Traversable

    from perdure._store.connect import Connection

__all__ = ["LOCK_KEY", "Migration", "check", "files", "migrate"]

LOCK_KEY = int.from_bytes(b"perdure")
"""Key of the advisory lock: the bytes of `perdure` as a number, 31,636,739,377,689,189. Never changes."""

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the series."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """The sha256 of the text, hex; line ends do not count, as version control may change them."""
        return hashlib.sha256(self.text.replace("\r\n", "\n").encode()).hexdigest()


def files(folder: Traversable | None = None) -> list[Migration]:
    """Return the migrations in order; those of the store when no folder is given.

    Raises:
        MigrationFilesError: a name is not `NNNN_words.sql`, or a number is there twice.

    """
    found: dict[int, Migration] = {}
    for file in sorted((folder or resources.files(__package__) / "migrations").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise errors.MigrationFilesError(
                f"A migration is named {file.name}; expected NNNN_words.sql in small letters."
            )
        number = int(match.group(1))
        if number in found:
            raise errors.MigrationFilesError(
                f"{file.name} and {found[number].name} have the same number. Give the younger one the next free number."
            )
        found[number] = Migration(number, file.name, file.read_text("utf-8"))
    return list(found.values())


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
    """Return what is not applied yet; raise when what is applied does not fit the files."""
    ours = {migration.number: migration for migration in series}
    newest_applied = max((row["number"] for row in applied), default=-1)
    unknown = [row["name"] for row in applied if row["number"] not in ours]
    if unknown:
        raise errors.SchemaNewerError(
            f"The database has {', '.join(unknown)}, which this Perdure does not know; its newest migration is "
            f"{series[-1].name if series else '(none)'}. Run the Perdure that migrated the database, or a newer one."
        )
    for row in applied:
        file = ours[row["number"]]
        if row["checksum"] != file.checksum:
            raise errors.MigrationChangedError(
                f"{file.name} was edited after it was applied: recorded as {row['name']} with sha256 "
                f"{row['checksum'][:12]}, the file has {file.checksum[:12]}. "
                "Restore the file and put the change into a new one."
            )
    pending = [migration for migration in series if migration.number not in {row["number"] for row in applied}]
    late = [migration.name for migration in pending if migration.number < newest_applied]
    if late:
        raise errors.MigrationChangedError(
            f"{', '.join(late)} came after number {newest_applied:04} was applied. Migrations go "
            "forward only: give it the next free number."
        )
    return pending


def _explained(migration: Migration, failure: asyncpg.PostgresError) -> str:
    position = getattr(failure, "position", None)
    line = migration.text[: int(position)].count("\n") + 1 if position else None
    where = f"{migration.name}, line {line}" if line else migration.name
    detail = getattr(failure, "detail", None)
    return f"The database refused {where}: {failure}{f' ({detail})' if detail else ''}. Nothing of this file was kept."

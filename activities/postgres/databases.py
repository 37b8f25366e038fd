"""Two Postgres databases of somebody, and the statements that rows are moved with from one to the other.

The statements are files in `queries`. Values are their parameters; names of tables and columns, which no parameter can
be, stand in them as psql has them (`:"table"`) and are put in quoted, whatever they are. Which failures pass by
themselves is decided here, once: a server that is away does, a table that does not fit does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from typing import TypeAlias

import asyncpg

from activities.kubernetes.watching import BEAT_SECONDS
from activities.postgres.connection import credentials_of
from activities.types import MigratedTable, PostgresDatabase
from perdure import ActivityContext, NonRetryableError, errors

__all__ = ["Connection", "both", "columns_of", "key_of", "quoted", "split", "statement"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_SECONDS = 10.0
_NAME = re.compile(r':"(\w+)"')
_REFUSALS = (
    asyncpg.SyntaxOrAccessError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.FeatureNotSupportedError,
)


@contextlib.asynccontextmanager
async def both(
    ctx: ActivityContext, source: PostgresDatabase, *, target: PostgresDatabase
) -> AsyncIterator[tuple[Connection, Connection]]:
    """Give connections to both databases; a heartbeat goes out while they are used.

    Raises `CredentialsError`, `PostgresUnreachableError` (retryable) when one is away or goes away, and
    `NonRetryableError` for what one of them refuses.
    """
    beats = asyncio.create_task(_beat(ctx))
    where = f"{source.address} to {target.address}"
    try:
        async with _connected(ctx, source) as reader, _connected(ctx, target) as writer:
            yield reader, writer
    except _REFUSALS as error:
        message = f"From {where}, Postgres refuses: {type(error).__name__}: {error.args[0]}"
        raise NonRetryableError(message) from error
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
        raise errors.PostgresUnreachableError(where, str(error) or type(error).__name__) from error
    finally:
        beats.cancel()


@contextlib.asynccontextmanager
async def _connected(ctx: ActivityContext, database: PostgresDatabase) -> AsyncIterator[Connection]:
    secret = await ctx.kubernetes.get("v1", "Secret", database.secret_name)
    user, password = credentials_of(secret, database.secret_name)
    try:
        connection: Connection = await asyncpg.connect(
            host=database.host,
            port=database.port,
            database=database.database,
            user=user,
            password=password,
            timeout=CONNECT_SECONDS,
            server_settings={"application_name": "perdure-migration"},
        )
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        message = f"Postgres at {database.address} refuses user {user} with the password of {database.secret_name}."
        raise errors.CredentialsError(message) from error
    except asyncpg.InvalidCatalogNameError:
        raise
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise errors.PostgresUnreachableError(database.address, str(error) or type(error).__name__) from error
    try:
        yield connection
        await connection.close(timeout=CONNECT_SECONDS)
    finally:
        connection.terminate()


async def _beat(ctx: ActivityContext) -> None:
    while True:
        ctx.heartbeat()
        await asyncio.sleep(BEAT_SECONDS)


async def key_of(connection: Connection, table: MigratedTable, *, place: str) -> asyncpg.Record:
    """Give what is known of a table by its key. Raises `NonRetryableError` when its rows are not told apart by it."""
    schema, name = split(table)
    found = await connection.fetchrow(statement("migration_key"), schema, name, table.key_columns)
    missing = [each for each in table.key_columns if found is None or each not in (found["names"] or [])]
    if found is None or missing:
        raise NonRetryableError(f"The {place} has no table {schema}.{name} with a column {', '.join(missing)}.")
    if not found["is_key"]:
        message = (
            f"{', '.join(table.key_columns)} of table {schema}.{name} in the {place} is no key: expected NOT NULL and "
            "a unique index on exactly that, as a primary key has."
        )
        raise NonRetryableError(message)
    return found


async def columns_of(connection: Connection, table: MigratedTable) -> list[str]:
    """Name the columns of a table that can be written."""
    return [row["name"] for row in await connection.fetch(statement("migration_columns"), *split(table))]


def split(table: MigratedTable) -> tuple[str, str]:
    """Give schema and name of a table."""
    schema, dot, name = table.name.partition(".")
    return (schema, name) if dot else ("public", schema)


def statement(name: str, **names: str | Sequence[str]) -> str:
    """Give the text of `queries/{name}.sql` with these names in it, each quoted; of several, a list."""
    text = (resources.files(__package__) / "queries" / f"{name}.sql").read_text("utf-8")

    def named(found: re.Match[str]) -> str:
        given = names[found.group(1)]
        return quoted(given) if isinstance(given, str) else ", ".join(map(quoted, given))

    return _NAME.sub(named, text)


def quoted(name: str) -> str:
    """Give a name as SQL reads it back as exactly this name.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
    """
    return '"' + name.replace('"', '""') + '"'

"""The fixtures that other tests stand on: a database that is whole, and a server that comes back where it was."""

from __future__ import annotations

from perdure._store import connect, migrate
from perdure._store.embedded import EmbeddedPostgres


async def test_a_fresh_database_has_the_whole_schema(dsn: str) -> None:
    """`dsn` names a database to which every migration was applied."""
    connection = await connect.dedicated(dsn)

    await migrate.check(connection)

    await connection.close()


async def test_a_crashed_server_comes_back_at_the_same_address(crashable_postgres: EmbeddedPostgres) -> None:
    """After `crash()` nothing answers; after `restart()` the same DSN does, with what was committed."""
    before = crashable_postgres.dsn
    connection = await connect.dedicated(before)
    await connection.execute("comment on database postgres is 'kept'")

    crashable_postgres.crash()
    crashable_postgres.restart()

    connection = await connect.dedicated(before)
    kept = "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
    assert await connection.fetchval(kept) == "kept"
    await connection.close()

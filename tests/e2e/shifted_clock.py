"""A database whose clock a test moves: real operators then live through days in seconds.

It knows Postgres only. `prepare` is called on an empty database, before anybody migrates it: its own `now()` stands
before that of Postgres in the search path, so every statement and every default of the schema takes it for the time.
The clock goes on by itself; `advance` moves it ahead at once, for everybody.
"""

from __future__ import annotations

import datetime
from urllib.parse import urlsplit

from perdure._store import connect

__all__ = ["advance", "prepare"]

_CLOCK = """
create schema sim;
create table sim.clock (ahead interval not null);
insert into sim.clock values ('0');
create function sim.now() returns timestamptz language sql stable
    as $$ select pg_catalog.now() + ahead from sim.clock $$;
create function sim.clock_timestamp() returns timestamptz language sql volatile
    as $$ select pg_catalog.clock_timestamp() + ahead from sim.clock $$;
"""


async def prepare(dsn: str) -> None:
    """Give this database a clock of its own, for all connections that are made from now on."""
    connection = await connect.dedicated(dsn)
    await connection.execute(_CLOCK)
    name = urlsplit(dsn).path.removeprefix("/")
    await connection.execute(f'alter database "{name}" set search_path = public, sim, pg_catalog')
    await connection.close()


async def advance(database: connect.Pool, by: datetime.timedelta) -> datetime.datetime:
    """Move the clock of the database ahead, and give what it shows then."""
    await database.execute("update sim.clock set ahead = ahead + $1", by)
    moment: datetime.datetime = await database.fetchval("select now()")
    return moment

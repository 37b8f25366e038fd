"""The database that activities are lent: a few connections of their own, opened when the first one asks.

It knows connections and waiting; it must not know what activities keep there. Their connections are not those of the
engine: whatever they do, a commit never waits for one of them. A process whose activities keep nothing opens none.

The same rules hold as for the store: no session state, and a database that is away is waited for (I9), so that an
activity that records something fails no run for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import asyncpg

from perdure import errors
from perdure._core.activity import Transaction
from perdure._store import connect
from perdure.passwords import Password

__all__ = ["LentDatabase"]

T = TypeVar("T")

_MAX_CONNECTIONS = 4
"""What is kept is small and seldom written; more would only be taken from the engine's share of the server."""

_REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)


class LentDatabase:
    """A Postgres that activities may use (`perdure.Database`)."""

    def __init__(self, dsn: str, *, address: str, variable: str, password: Password | None = None) -> None:
        """Lend the database of `dsn`; nothing is opened yet.

        `address` is the same without its password, and `variable` the setting that it comes from: both are for errors.
        """
        self._dsn = dsn
        self._address = address
        self._variable = variable
        self._password = password
        self._pool: connect.Pool | None = None
        self._opening = asyncio.Lock()
        self.availability = connect.Availability()

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do the work in one transaction; see `perdure.Database`."""
        return await connect.retrying(
            lambda: self._once(work), doing="what activities keep", availability=self.availability
        )

    async def close(self) -> None:
        """Close all connections; what is under way is broken off."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def _once(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        try:
            pool = await self._opened()
            async with pool.acquire() as connection, connection.transaction():
                return await work(_Transaction(connection))
        except _REFUSALS as error:
            said = f"{type(error).__name__}: {error}"
            raise errors.DatabaseRefusedError(self._address, said, variable=self._variable) from error

    async def _opened(self) -> connect.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await connect.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=_MAX_CONNECTIONS,
                    application_name="perdure-activities",
                    password=self._password,
                )
            return self._pool


class _Transaction:
    """What the work is given (`perdure.Transaction`)."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        self._connection = connection

    async def fetch(self, statement: str, *arguments: object) -> Sequence[Mapping[str, object]]:
        """Run one statement and give its rows."""
        return [dict(row) for row in await self._connection.fetch(statement, *arguments)]

    async def execute(self, script: str) -> None:
        """Run statements that take no arguments."""
        await self._connection.execute(script)

"""A pool of connections whose small statements follow each other without giving back and taking again.

To give a connection back to asyncpg's pool and take it again is a task and three rounds of the event loop, half as long
as a small statement. It knows nothing of statements, or of what breaks a connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import asyncpg

__all__ = ["StorePool"]

_Pooled: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class StorePool(asyncpg.Pool):
    """A pool that keeps a connection at hand after `fetch`, unless somebody waits for one.

    Whatever else takes a connection takes one at hand first, and gives it back. Limits of a connection's age and use,
    and `expire_connections`, do not reach one that stays at hand.
    """

    __slots__ = ("_at_hand", "_waiting")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._at_hand: list[_Pooled] = []
        self._waiting = 0

    async def fetch(
        self, query: str, *args: object, timeout: float | None = None, record_class: Any = None
    ) -> list[Any]:
        """Run a statement, as `asyncpg.Pool.fetch` does."""
        connection = await self._acquire(None)
        is_kept = False
        try:
            rows: list[Any] = await connection.fetch(query, *args, timeout=timeout, record_class=record_class)
            is_kept = not (self._waiting or self.is_closing())
            if is_kept:
                self._at_hand.append(connection)
        finally:
            if not is_kept:
                await self.release(connection)
        return rows

    async def close(self) -> None:
        """Close all connections, once those in use are given back; break everything off when it is cancelled."""
        # As tasks these begin after the pool's own first step, from which on nothing is kept any more.
        giving = [asyncio.ensure_future(self.release(connection)) for connection in iter(self._take, None)]
        try:
            await super().close()
        finally:
            await asyncio.gather(*giving, return_exceptions=True)

    async def _acquire(self, timeout: float | None) -> _Pooled:
        """Do what `acquire` waits for: take one at hand, or wait for one as everybody does."""
        connection = self._take()
        if connection is None:
            self._waiting += 1
            try:
                connection = await super()._acquire(timeout)  # type: ignore[misc] # the stubs know what is public
            finally:
                self._waiting -= 1
        return connection

    def _take(self) -> _Pooled | None:
        """Take the connection that was used last. What has ended at hand is back in the pool already."""
        while self._at_hand:
            connection = self._at_hand.pop()
            if not _has_ended(connection):
                return connection
        return None


def _has_ended(connection: _Pooled) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True

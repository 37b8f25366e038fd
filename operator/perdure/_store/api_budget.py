"""The budget of requests to the API server, as the database keeps it for all processes.

It knows one statement and nothing of who asks for what. Raises what asyncpg raises: a process whose database is away
has to decide by itself how fast it goes on.
"""

from __future__ import annotations

import dataclasses

from perdure._core import limits
from perdure._store import statements
from perdure._store.connect import Pool

__all__ = ["ApiBudget", "Taken"]


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """How many tokens one got, when it is worth asking for another, and how many workers the budget is for."""

    granted: int
    again_seconds: float
    workers: int


class ApiBudget:
    """Tokens that gather at `per_second`, up to those of one second; one is one request."""

    def __init__(self, pool: Pool, *, per_second: float) -> None:
        """Ask over `pool`; processes with another rate share the same tokens."""
        self._pool = pool
        self._sql = statements.load()
        self.per_second = per_second

    async def take(self, wanted: int, *, pause_seconds: float = 0.0) -> Taken:
        """Take so many, or as many as there are; with a pause none, and nobody else gets any until it is over."""
        longest = limits.API_PAUSE_SECONDS
        pause = min(pause_seconds, longest)
        [row] = await self._pool.fetch(self._sql.api_budget_take, wanted, self.per_second, pause, longest)
        return Taken(row["granted"], row["again_seconds"], row["workers"])

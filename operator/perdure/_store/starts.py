"""Which sights of resources are about to start a run: asked before ingest, for many at once.

It knows one statement; what a start needs and what becomes of the sight is the caller's. The answer is of the moment it
was given: ingest decides again, and alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from perdure._core import desired
from perdure._store import statements
from perdure._store.connect import Pool

__all__ = ["Starts"]

_COLUMNS = ("uid", "namespace", "name", "request")


class Starts:
    """The question whether a sight needs a start."""

    def __init__(self, pool: Pool) -> None:
        """Ask over `pool`."""
        self._pool = pool
        self._sql = statements.load()

    async def due(self, sights: Sequence[desired.Seen]) -> set[UUID]:
        """Give the uids of those that may start a run, or tell one of a change. Raises what asyncpg raises."""
        columns: list[list[object]] = [[getattr(sight, field) for sight in sights] for field in _COLUMNS]
        columns.append([sight.earlier is not None for sight in sights])
        rows = await self._pool.fetch(self._sql.resource_unstarted, *columns, desired.CHANGED)
        return {row["uid"] for row in rows}

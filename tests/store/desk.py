"""A client at its desk: a fresh database, a client, and a look at the rows behind its back. No worker ever comes.

What a worker would do to a row (claim it, end it, give it a child) is done here in one statement, so that each test can
say in a line where its instances stand.
"""

from __future__ import annotations

import asyncio
import uuid

import asyncpg

from perdure.client import Client

__all__ = ["Desk"]


class Desk:
    """One database, one client, and one connection that only looks and arranges."""

    def __init__(self, dsn: str, client: Client, outside: asyncpg.Connection[asyncpg.Record]) -> None:
        """Begin with an empty database."""
        self.dsn = dsn
        self.client = client
        self.outside = outside

    async def start(self, *instance_ids: str, name: str = "flow") -> None:
        """Start instances that nobody takes."""
        await asyncio.gather(*(self.client.start_orchestration(instance_id, name) for instance_id in instance_ids))

    async def claimed(self, *instance_ids: str) -> uuid.UUID:
        """Let a worker own these, in the middle of their work; give its id."""
        worker_id = uuid.uuid4()
        await self.fetch(
            "insert into workers (worker_id, lease_until, description, orchestrations) "
            "values ($1, now() + interval '1 hour', 'test', '{flow@1.0.0}')",
            worker_id,
        )
        await self.fetch(
            "update instances set owner_id = $1, wake_at = null, phase = 'Running', version = '1.0.0', turn = 1, "
            "started_at = now() where instance_id = any($2)",
            worker_id,
            list(instance_ids),
        )
        return worker_id

    async def asleep(self, *instance_ids: str) -> None:
        """Let these wait for a message, owned by nobody, with one turn taken."""
        await self.fetch(
            "update instances set owner_id = null, wake_at = null, phase = 'Running', version = '1.0.0', turn = 1, "
            "started_at = now() where instance_id = any($1)",
            list(instance_ids),
        )

    async def ended(self, *instance_ids: str, phase: str = "Completed", seconds_ago: float = 0) -> None:
        """Let these have ended, so long ago."""
        await self.fetch(
            "update instances set owner_id = null, wake_at = null, phase = $2, turn = 2, is_suspended = false, "
            "finished_at = now() - make_interval(secs => $3) where instance_id = any($1)",
            list(instance_ids),
            phase,
            float(seconds_ago),
        )

    async def child(self, parent_id: str, *instance_ids: str) -> None:
        """Start children of an instance."""
        await self.start(*instance_ids)
        for seq, instance_id in enumerate(instance_ids, 1):
            await self.fetch(
                "update instances set parent_id = $1, parent_execution = 1, parent_seq = $2 where instance_id = $3",
                parent_id,
                seq,
                instance_id,
            )

    async def messages(self, instance_id: str) -> list[tuple[str, bytes]]:
        """Give kind and payload of what is on its way to an instance, in order."""
        rows = await self.fetch(
            "select kind, payload from inbox where instance_id = $1 order by message_id", instance_id
        )
        return [(row["kind"], row["payload"]) for row in rows]

    async def row(self, instance_id: str) -> asyncpg.Record:
        """Give the row of an instance, and whether it wakes now."""
        [row] = await self.fetch(
            "select *, wake_at <= now() as wakes from instances where instance_id = $1", instance_id
        )
        return row

    async def ids(self) -> set[str]:
        """Name the instances that are there."""
        return {row["instance_id"] for row in await self.fetch("select instance_id from instances")}

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask or arrange behind the client's back."""
        return await self.outside.fetch(sql, *arguments)

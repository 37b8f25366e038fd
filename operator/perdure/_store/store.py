"""The store: statements by name over a pool of connections, and the few transitions of more than one statement.

It knows SQL by file name and nothing of turns, activities or resources. Everything that reads or writes Postgres goes
through here or through `resources.py` (ADR 0006).
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Self

import asyncpg

from perdure._core.codec import Codec
from perdure._store import connect, statements
from perdure._store.sealing import Record, Sealing
from perdure.passwords import Password

__all__ = [
    "REFUSALS",
    "Availability",
    "Control",
    "Record",
    "Store",
    "explained",
    "is_of_data",
    "is_too_much",
    "is_transient",
    "retrying",
    "translated",
]

REFUSALS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, OverflowError)
"""What a statement raises that the database, or asyncpg before it, will not take as it is."""
Availability = connect.Availability
explained = connect.explained
is_transient = connect.is_transient
retrying = connect.retrying
translated = connect.translated


_DATA_CLASSES = ("22", "23", "54")  # values, constraints, program limits (Postgres manual, appendix A)
_TOO_MUCH_CODES = ("57014", "53200")  # the statement's time, the server's memory


def is_of_data(error: BaseException) -> bool:
    """Tell whether a refusal is the fault of the values that were sent, and of nothing else."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_DATA_CLASSES)
    return isinstance(error, ValueError | OverflowError)


def is_too_much(error: BaseException) -> bool:
    """Tell whether a statement may succeed with less in it."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _TOO_MUCH_CODES


class Control:
    """One connection of its own, for what must not wait behind others: a worker's lease and its wake-ups."""

    def __init__(self, connection: connect.Connection) -> None:
        """Speak over a connection that the caller keeps."""
        self._connection = connection
        self._statements = statements.load()

    async def fetchrow(self, name: str, *arguments: object) -> Record | None:
        """Run a statement by name; give its first row."""
        return await self._connection.fetchrow(self._statements[name], *arguments)

    async def listen(self, channel: str, callback: Callable[[], object]) -> None:
        """Call back, in the event loop, whenever somebody notifies `channel`."""

        def heard(*_: object) -> None:
            callback()

        await self._connection.add_listener(channel, heard)

    async def wait_ended(self) -> None:
        """Return when the connection is no more; a link whose other side is silent for long counts so, too."""
        ended = asyncio.Event()
        self._connection.add_termination_listener(lambda _: ended.set())
        if not self._connection.is_closed():
            await ended.wait()

    async def reap(self) -> list[str]:
        """Free the instances and tasks of all workers whose lease has ended; give the ids of the instances."""
        async with self._connection.transaction():
            dead = await self._connection.fetch(self._statements["reap_lock"])
            if not dead:
                return []
            worker_ids = [row["worker_id"] for row in dead]
            freed = await self._connection.fetch(self._statements["reap_free"], worker_ids)
            await self._connection.fetch(self._statements["reap_tasks"], worker_ids)
            await self._connection.fetch(self._statements["reap_delete"], worker_ids)
            return [row["instance_id"] for row in freed]


class Store:
    """Statements by name. One per event loop."""

    def __init__(
        self, pool: connect.Pool, dsn: str, codec: Codec | None = None, *, password: Password | None = None
    ) -> None:
        """Use `pool`; `dsn` and `password` are for the connections that stand apart from it, `codec` for payloads."""
        self._pool = pool
        self._dsn = dsn
        self._password = password
        self._statements = statements.load()
        self.sealing = Sealing(codec)
        self.availability = connect.Availability()

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        application_name: str = "perdure",
        max_connections: int = 4,
        codec: Codec | None = None,
        password: Password | None = None,
    ) -> Self:
        """Connect. Raises `DatabaseUnavailableError` while the database is away; the schema must be there.

        Payloads go through `codec`; without one they are stored as they are.
        """
        with connect.translated():
            pool = await connect.create_pool(
                dsn, max_size=max_connections, application_name=application_name, password=password
            )
        return cls(pool, dsn, codec, password=password)

    @property
    def pool(self) -> connect.Pool:
        """The pool, for the other modules of the store."""
        return self._pool

    @property
    def dsn(self) -> str:
        """The address it was opened with, which may hold a password."""
        return self._dsn

    async def close(self) -> None:
        """Close all connections; statements under way are broken off."""
        try:
            await self._pool.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()

    async def fetch(self, name: str, *arguments: object) -> list[Record]:
        """Run the statement `queries/{name}.sql`; give its rows. Raises what asyncpg raises.

        Payloads are given and taken as they are; what is stored of them is the codec's. One that cannot be opened
        raises `PayloadSealedError` where it is taken out of its row.
        """
        sealed = self.sealing.sealed(name, arguments)
        with connect.cancels_heard():
            rows = await self._pool.fetch(self._statements[name], *sealed)
        return self.sealing.opened(rows)

    async def fetch_patiently(self, name: str, *arguments: object) -> list[Record]:
        """Run a statement that may be run twice; while the database is away, wait for it (I9)."""
        return (await self.fetch_in_tries(name, *arguments))[0]

    async def fetch_in_tries(self, name: str, *arguments: object) -> tuple[list[Record], int]:
        """Do as `fetch_patiently`, and give how many tries it took: an earlier one, unanswered, may have done it."""
        tries = 0

        async def once() -> list[Record]:
            nonlocal tries
            tries += 1
            return await self.fetch(name, *arguments)

        rows = await connect.retrying(once, doing=name.replace("_", " "), availability=self.availability)
        return rows, tries

    async def leave(self, worker_id: uuid.UUID) -> None:
        """Take a worker off the list, and give back what it still owns; while the database is away, wait for it."""

        async def once() -> None:
            async with self._pool.acquire() as connection, connection.transaction():
                for name in ("worker_lock", "worker_free", "worker_unregister"):
                    await connection.fetch(self._statements[name], worker_id)

        await connect.retrying(once, doing="leave", availability=self.availability)

    @contextlib.asynccontextmanager
    async def control(self, application_name: str) -> AsyncIterator[Control]:
        """Lend a connection of its own."""
        connection = await connect.dedicated(self._dsn, application_name=application_name, password=self._password)
        try:
            with connect.cancels_heard():
                yield Control(connection)
        finally:
            connection.terminate()

    async def where(self, instance_ids: Sequence[str]) -> dict[str, tuple[uuid.UUID | None, int, bool]]:
        """Read back (owner, turn, finished) of instances after a commit of unknown outcome (I8)."""
        rows = await self.fetch_patiently("turns_where", list(instance_ids))
        return {row["instance_id"]: (row["owner_id"], row["turn"], row["is_finished"]) for row in rows}

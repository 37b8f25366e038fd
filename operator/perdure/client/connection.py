"""The way of a client to its database, and to a worker of the same process when there is one.

It knows the store by its name and must not know what is asked of it: each of the other modules of this package adds the
calls of one kind (starting, signalling, steering, deleting, looking, waiting), and the client is all of them.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, Self

from perdure import errors
from perdure._core.codec import Codec
from perdure._store import migrate as migration
from perdure._store.store import Record, Store, explained
from perdure.passwords import Password

__all__ = ["Connected", "LocalWorker"]


class LocalWorker(Protocol):
    """What a client needs of a worker in the same process."""

    def nudge(self) -> None:
        """There may be work."""

    def finished(self, instance_id: str) -> asyncio.Future[None]:
        """Give a future that is done when the instance has ended here."""


class Connected:
    """Use `async with await Client.connect(dsn) as client`, or close it yourself. Bound to one event loop."""

    def __init__(self, store: Store, worker: LocalWorker | None = None, *, owns_store: bool = False) -> None:
        """Speak over `store`; `worker` is one of the same process, if there is one."""
        self._store = store
        self._worker = worker
        self._owns_store = owns_store

    @classmethod
    async def connect(
        cls,
        dsn: str,
        migrate: bool = False,  # noqa: FBT001, FBT002 - fixed by the public interface
        *,
        codec: Codec | None = None,
        password: Password | None = None,
    ) -> Self:
        """Connect to the database of an installation; with `migrate` bring its schema up first.

        An installation that encrypts its payloads is read and written with a `codec` of the same keys
        (`perdure.encryption`); a `password` that changes is asked for each connection (`perdure.passwords`). Raises
        `DatabaseUnavailableError` when it cannot be reached now, `DatabaseRefusedError` for an address, a user or a
        database that is wrong; a payload whose key is missing raises `EncryptionKeyMissingError` where it is read.
        """
        try:
            if migrate:
                await migration.migrate(dsn, password=password)
            store = await Store.open(dsn, application_name="perdure-client", codec=codec, password=password)
        except errors.PerdureError:
            raise
        except Exception as error:  # a border: what the driver raises for a database that answers, but refuses
            from perdure.settings import masked  # noqa: PLC0415 - a library that most programs can do without

            raise errors.DatabaseRefusedError(masked(dsn), f"{type(error).__name__}: {error}") from error
        return cls(store, owns_store=True)

    async def __aenter__(self) -> Self:
        """Be closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close the connections that `connect` made."""
        if self._owns_store:
            await self._store.close()

    async def _fetch(self, name: str, *arguments: object) -> list[Record]:
        """Run a statement; a database that is away is `DatabaseUnavailableError`, and the call may be made again.

        One that lacks our tables is `SchemaOlderError`.
        """
        with explained():
            return await self._store.fetch(name, *arguments)

    def _nudge(self) -> None:
        """Tell the worker of this process, which need not wait for the NOTIFY, that there is work."""
        if self._worker is not None:
            self._worker.nudge()

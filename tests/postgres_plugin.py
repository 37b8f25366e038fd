"""Postgres for tests: one server a session, a fresh migrated database a test.

`postgres`             the server of the session: embedded, not durable; or the one of $PERDURE_TEST_DATABASE_URL
`dsn`                  the address (str) of a fresh database with the schema of the store, dropped after the test
`empty_dsn`            the same without any schema, for tests of migration itself
`crashable_postgres`   a durable server of the test's own, on TCP, migrated, with `crash()` and `restart()`

A fresh database is a copy of a migrated template, so tests share nothing but the server. That is a thousand files, and
they go with the test. In memory, where there is room, that takes some 20 ms; on a disk it may be a third of a second
(ext4 without a journal looks past all that went in the last minute). Nothing here may know what the tests are about.
The fixtures are plain functions: they work for async and sync tests, in any loop.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pytest

from perdure._store import connect, migrate
from perdure._store.embedded import EmbeddedPostgres

T = TypeVar("T")

_numbers = itertools.count(1)
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Server:
    """The server that the tests of this session use; `embedded` is None when somebody else runs it."""

    dsn: str
    embedded: EmbeddedPostgres | None

    def dsn_of(self, database: str) -> str:
        """Return the address of another database of this server."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    @contextmanager
    def database(self, template: str) -> Iterator[str]:
        """Make a database from the template, give its address, drop it whoever is still connected."""
        name = f"perdure_test_{os.getpid()}_{next(_numbers)}"
        self.run(f"create database {name} template {template}")
        try:
            yield self.dsn_of(name)
        finally:
            self.run(f"drop database {name} with (force)")

    def run(self, sql: str) -> None:
        """Run one statement outside a transaction."""

        async def statement() -> None:
            connection = await connect.dedicated(self.dsn)
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        run(statement())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, also where a loop is running already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@contextmanager
def data_folder(*, is_durable: bool = True) -> Iterator[Path]:
    """Give a folder with a short path, which a unix socket fits into, and remove it; in memory if that may be."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-test-", dir=None if is_durable else _memory_or_none()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def forgetful_postgres(*, port: int | None = None) -> Iterator[EmbeddedPostgres]:
    """Run a server that keeps little, and nothing for long; with a `port` as `EmbeddedPostgres` takes it."""
    with (
        data_folder(is_durable=False) as folder,
        EmbeddedPostgres(folder, durable=False, in_pod=True, port=port, settings={"max_wal_size": "256MB"}) as server,
    ):
        yield server


def _memory_or_none() -> Path | None:
    """Give the file system that is memory, when there is one with room for the servers of all processes."""
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    return _MEMORY if has_room else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Run one server for the whole session."""
    url = os.environ.get("PERDURE_TEST_DATABASE_URL")
    if url:
        yield Server(url, None)
        return
    with forgetful_postgres() as embedded:
        yield Server(embedded.dsn, embedded)


@pytest.fixture(scope="session")
def _migrated_template(postgres: Server) -> Iterator[str]:
    with postgres.database("template0") as dsn:
        run(migrate.migrate(dsn))
        yield urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
def dsn(postgres: Server, _migrated_template: str) -> Iterator[str]:
    """Give the address of a fresh database with the schema of the store."""
    with postgres.database(_migrated_template) as address:
        yield address


@pytest.fixture
def empty_dsn(postgres: Server) -> Iterator[str]:
    """Give the address of a fresh database with nothing in it."""
    with postgres.database("template0") as address:
        yield address


@pytest.fixture
def crashable_postgres() -> Iterator[EmbeddedPostgres]:
    """Run a durable, migrated server for one test; `dsn`, `crash()`, `restart()` and the same address afterwards."""
    with data_folder() as folder, EmbeddedPostgres(folder, port=0, in_pod=True) as server:
        run(migrate.migrate(server.dsn))
        yield server

"""Connections: what they are told, what counts as "the database is away", and how one waits until it is back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from perdure import errors
from perdure._store import connect
from perdure._store.connect import Availability
from perdure._store.embedded import EmbeddedPostgres

AWAY = [
    ConnectionRefusedError(111, "refused"),
    FileNotFoundError(2, "no socket"),
    TimeoutError(),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InterfaceError("cannot perform operation: connection was closed in the middle of operation"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
    asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    asyncpg.DiskFullError("could not extend file"),
    asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
    asyncpg.SerializationError("could not serialize access"),
    asyncpg.DeadlockDetectedError("deadlock detected"),
    asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
    asyncpg.InvalidCachedStatementError("cached statement plan is invalid"),
    asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
    asyncpg.InternalClientError("PoolConnectionHolder.release() called on a free connection holder"),
    asyncpg.TargetServerAttributeNotMatched("no primary among the hosts"),
    errors.DatabaseUnavailableError(),
]

HERE = [
    asyncpg.UniqueViolationError("duplicate key"),
    asyncpg.UndefinedTableError("relation does not exist"),
    asyncpg.InvalidPasswordError("password authentication failed"),
    asyncpg.InvalidCatalogNameError("database does not exist"),
    asyncpg.FeatureNotSupportedError("not supported"),
    asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
    asyncpg.InterfaceError("pool is closed"),
    asyncpg.InternalClientError("cannot switch to state 12; another operation (11) is in progress"),
    errors.SchemaOlderError(),
    ValueError("a bug"),
    asyncio.CancelledError(),
]


BACKEND = "select pg_backend_pid() as pid"
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"


def name(error: BaseException) -> str:
    """Name a case by its error."""
    return f"{type(error).__name__}-{error}"[:60]


@pytest.mark.parametrize("error", AWAY, ids=name)
def test_an_error_after_which_the_same_call_may_succeed_is_transient(error: BaseException) -> None:
    """Outages, failovers, overload and lost races pass: the call is repeated and nobody is told."""
    assert connect.is_transient(error)


@pytest.mark.parametrize("error", HERE, ids=name)
def test_an_error_that_stays_is_not_transient(error: BaseException) -> None:
    """Wrong statements, wrong passwords, bugs and cancellation do not get better by waiting."""
    assert not connect.is_transient(error)


async def test_a_connection_has_the_settings_of_the_store(dsn: str) -> None:
    """Sessions are bounded in time and can be told apart in `pg_stat_activity`."""
    connection = await connect.dedicated(dsn, application_name="perdure-test")
    names = ("jit", "statement_timeout", "idle_in_transaction_session_timeout", "application_name")

    settings = [await connection.fetchval("select current_setting($1)", setting) for setting in names]

    await connection.close()
    assert settings == ["off", "30s", "15s", "perdure-test"]


async def test_a_link_to_a_far_database_is_watched(crashable_postgres: EmbeddedPostgres) -> None:
    """A TCP link is probed by the kernel, so that a peer that vanished is noticed in half a minute, not in hours."""
    connection = await connect.dedicated(crashable_postgres.dsn)

    link = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined] # noqa: SLF001 - no public way

    assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    await connection.close()


async def test_a_connection_given_back_takes_its_open_transaction_with_it(dsn: str) -> None:
    """Without a reset query, an abandoned transaction is still rolled back before the next one gets the connection."""
    pool = await connect.create_pool(dsn, max_size=1)
    async with pool.acquire() as connection:
        await connection.execute("begin")
        await connection.execute("select lo_create(4711)")

    async with pool.acquire() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("select count(*) from pg_largeobject_metadata") == 0
    await pool.close()


@pytest.mark.parametrize("size", [1, 2])
async def test_a_statement_that_fails_or_is_broken_off_leaves_the_next_a_good_connection(dsn: str, size: int) -> None:
    """Nothing of a refused statement, of one that nobody waits for any more, or of a lost connection stays behind."""
    pool = await connect.create_pool(dsn, max_size=size)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.fetch("select 1 / 0")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pool.fetch("select pg_sleep(60)"), 0.05)
    assert [tuple(row) for row in await pool.fetch("select 42")] == [(42,)]
    (lost,) = await pool.fetch("select pg_backend_pid() as pid")
    other = await connect.dedicated(dsn)
    await other.execute("select pg_terminate_backend($1, 5000)", lost["pid"])
    await other.close()
    answer = await connect.retrying(lambda: pool.fetch("select 43"), doing="ask", availability=Availability())

    assert [tuple(row) for row in answer] == [(43,)]
    await pool.close()


async def test_one_statement_after_the_other_takes_the_connection_at_hand(dsn: str) -> None:
    """It is not given back between two statements, and whoever wants one for longer gets it first, and all others."""
    pool = await connect.create_pool(dsn, max_size=3)

    pids = [await pool.fetchval(BACKEND)] + [(await pool.fetch(BACKEND))[0]["pid"] for _ in range(3)]

    assert len(set(pids)) == 1
    assert pool.get_size() - pool.get_idle_size() == 1
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        acquired = [await stack.enter_async_context(pool.acquire()) for _ in range(3)]
        assert await acquired[0].fetchval(BACKEND) == pids[0]
        assert len({await connection.fetchval(BACKEND) for connection in acquired}) == 3
    await pool.close()


@pytest.mark.parametrize("size", [1, 2])
async def test_who_waits_for_a_connection_gets_it_although_statements_go_on(dsn: str, size: int) -> None:
    """A statement that would go on with the connection of the last one gives it away when somebody waits."""
    pool = await connect.create_pool(dsn, max_size=size)

    async def ask() -> None:
        while True:
            await pool.fetch(BACKEND)

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    try:
        async with asyncio.timeout(30):  # who is passed over waits for ever
            for _ in range(20):
                async with pool.acquire() as connection:
                    await connection.fetchval(BACKEND)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    await pool.close()


@contextlib.asynccontextmanager
async def busy_pool(dsn: str) -> AsyncIterator[tuple[connect.Pool, list[asyncio.Task[int]], asyncpg.Connection[Any]]]:
    """Give a pool with a connection at hand, two statements under way in it, and who can let them go on."""
    gate = await asyncpg.connect(dsn)
    pool = await connect.create_pool(dsn, max_size=3)
    async with asyncio.timeout(60):
        async with pool.acquire(), pool.acquire(), pool.acquire():
            await gate.execute("select pg_advisory_lock(1)")
        passing = [asyncio.create_task(passed(pool)) for _ in range(2)]
        while await gate.fetchval(WAITING) < 2:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        await pool.fetch(BACKEND)
        yield pool, passing, gate
    await gate.close()


async def passed(pool: connect.Pool) -> int:
    """Wait until the gate is open, by a statement."""
    return len(await pool.fetch("select pg_advisory_xact_lock_shared(1)"))


async def test_a_pool_is_closed_whatever_is_at_hand_or_under_way(dsn: str) -> None:
    """What ends while the pool is being closed is not kept, and nothing is taken afterwards."""
    async with busy_pool(dsn) as (pool, passing, gate):
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        await gate.execute("select pg_advisory_unlock(1)")
        await closing

        assert await asyncio.gather(*passing) == [1, 1]
        assert pool.get_size() == 0
        with pytest.raises(asyncpg.InterfaceError, match="closed"):
            await pool.fetch(BACKEND)


async def test_a_pool_whose_closing_is_cancelled_breaks_everything_off(dsn: str) -> None:
    """Nothing is left open, neither what was at hand nor what is under way."""
    async with busy_pool(dsn) as (pool, passing, _):
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        closing.cancel()

        with pytest.raises(asyncio.CancelledError):
            await closing
        broken = await asyncio.gather(*passing, return_exceptions=True)

    assert pool.get_size() == 0
    assert all(isinstance(error, Exception) and connect.is_transient(error) for error in broken)


async def test_a_call_waits_out_an_outage_and_says_so_once(crashable_postgres: EmbeddedPostgres) -> None:
    """However many attempts fail, the log has one line when the database goes and one when it is back."""
    pool = await connect.create_pool(crashable_postgres.dsn, max_size=1)
    availability = Availability()
    attempts = 0
    failed_twice = asyncio.Event()

    async def ask() -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            failed_twice.set()
        return int(await pool.fetchval("select 42"))

    with capture_logs() as logs:
        crashable_postgres.crash()
        waiting = asyncio.create_task(connect.retrying(ask, doing="ask", availability=availability))
        await failed_twice.wait()
        assert availability.error is not None
        await asyncio.to_thread(crashable_postgres.restart)
        assert await waiting == 42

    assert availability.is_available
    assert availability.outages == 1
    assert [line["event"] for line in logs] == ["database away, waiting for it", "database back"]
    await pool.close()


async def test_a_cancel_is_heard_although_the_connection_breaks_with_it(dsn: str) -> None:
    """To roll back fails then, and that error comes in place of the cancel: it is no outage to be waited out."""
    pool = await connect.create_pool(dsn, max_size=1)
    attempts = 0
    is_under_way = asyncio.Event()

    async def ask() -> None:
        nonlocal attempts
        attempts += 1
        async with pool.acquire() as connection, connection.transaction():
            is_under_way.set()
            try:
                await asyncio.sleep(60 if attempts == 1 else 0)
            except asyncio.CancelledError:
                connection.terminate()
                raise

    asking = asyncio.create_task(connect.retrying(ask, doing="ask", availability=Availability()))
    await is_under_way.wait()
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert attempts == 1
    await pool.close()


async def test_an_error_that_stays_reaches_the_caller_at_once(dsn: str) -> None:
    """Waiting is for outages only: a wrong statement is raised by its first attempt."""
    connection = await connect.dedicated(dsn)

    with pytest.raises(asyncpg.UndefinedTableError):
        await connect.retrying(
            lambda: connection.fetchval("select 1 from no_such_table"), doing="ask", availability=Availability()
        )

    await connection.close()


def test_an_outage_has_one_name_for_those_who_do_not_wait() -> None:
    """`translated` turns every transient error into the retryable `DatabaseUnavailableError`, and no other."""
    with pytest.raises(errors.DatabaseUnavailableError, match="refused"), connect.translated():
        raise ConnectionRefusedError(111, "refused")
    with pytest.raises(ValueError, match="a bug"), connect.translated():
        raise ValueError("a bug")

"""Connections to Postgres: how they are made, what breaks them, and the one way to wait for a database that is away.

It knows asyncpg and error codes; it must not know statements or tables. A database outage of any length fails no
instance (I9): whoever needs the database calls it through `retrying`, and shares one `Availability` with all others
of the process, so that an outage is one line in the log when it begins and one when it ends.

Pooled connections are given back without a reset (a round trip of its own, 60 % of the time of a small statement), or
not at all between two statements (`pool.py`), which is why nothing here or above may leave a trace in a session: no SET
but SET LOCAL, no BEGIN as a statement of its own, no session advisory lock, no LISTEN on a pooled connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import socket
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg
import structlog

from perdure import errors
from perdure._store.pool import StorePool
from perdure.passwords import Password

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

__all__ = [
    "Availability",
    "Connection",
    "Pool",
    "StoreConnection",
    "cancels_heard",
    "create_pool",
    "dedicated",
    "explained",
    "is_transient",
    "retrying",
    "translated",
]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
T = TypeVar("T")

_log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 10.0
_COMMAND_SECONDS = 40.0  # above statement_timeout: the server gives up first and says why
_KEEPALIVE_IDLE_SECONDS = 10
_KEEPALIVE_INTERVAL_SECONDS = 5
_KEEPALIVE_PROBES = 3
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

_SERVER_SETTINGS = {
    "jit": "off",
    # Every statement finds its rows by key, and its plan is made once and kept. Made while a table was empty, a plan
    # that reads it whole, or hashes it, would still be used when it has a million rows, until somebody analyses it.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "15s",
    # The server's side of the same question: rows stay locked as long as it believes in a client that is gone.
    "tcp_keepalives_idle": str(_KEEPALIVE_IDLE_SECONDS),
    "tcp_keepalives_interval": str(_KEEPALIVE_INTERVAL_SECONDS),
    "tcp_keepalives_count": str(_KEEPALIVE_PROBES),
}

# SQLSTATE classes and codes after which the same call may succeed (Postgres manual, appendix A).
_TRANSIENT_CLASSES = (
    "08",  # connection exceptions
    "53",  # too many connections, out of memory, disk full
    "58",  # I/O errors of the system under Postgres
)
_TRANSIENT_CODES = frozenset(
    {
        "25006",  # read-only transaction: the old primary after a failover
        "25P03",  # idle in transaction too long: this process was stopped or starved
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # lock not available
        "57014",  # statement timeout: a slow database is a kind of away
        "57P01",  # shut down by the administrator
        "57P02",  # crash of another backend
        "57P03",  # starting up, shutting down, recovering
        "57P05",  # idle session timeout
    }
)

_NO_SCHEMA = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError)

# What asyncpg says of a connection that the server has just ended: it is still reading why, and gives an idle one out
# once more (its protocol is in state 1, failed, or 2, taking in an error), or it was about to take it back.
_ENDED_UNNOTICED = (
    "another operation (1) is in progress",
    "another operation (2) is in progress",
    "called on a free connection holder",
)


class StoreConnection(asyncpg.Connection):
    """A connection that is given back without a reset and notices a peer that is gone."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        _keep_alive(transport.get_extra_info("socket"))

    def get_reset_query(self) -> str:
        """Return no statement: there is nothing to reset, see the head of this module."""
        return ""


def _keep_alive(link: socket.socket | None) -> None:
    """Find a half-open link in 25 s; asyncpg sets nothing of this, and the kernel's own default is two hours."""
    if link is None or link.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPALIVE", _KEEPALIVE_IDLE_SECONDS),  # the same on macOS
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", 1000 * (_KEEPALIVE_IDLE_SECONDS + _KEEPALIVE_INTERVAL_SECONDS * _KEEPALIVE_PROBES)),
    ):
        if hasattr(socket, name):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _arguments(application_name: str, statement_timeout: str) -> dict[str, Any]:
    return {
        "connection_class": StoreConnection,
        "timeout": _CONNECT_SECONDS,
        "max_cached_statement_lifetime": 0,  # the statements are constant: prepare once per connection
        "server_settings": _SERVER_SETTINGS
        | {"application_name": application_name, "statement_timeout": statement_timeout},
    }


async def _connect(dsn: str, *, password: Password | None, **arguments: Any) -> Connection:
    """Connect once. A password that may be another one a moment later makes its refusal something that passes."""
    try:
        return await asyncpg.connect(dsn, password=password, **arguments)
    except asyncpg.InvalidAuthorizationSpecificationError as refusal:  # InvalidPasswordError is one
        if password is None:
            raise
        raise errors.DatabaseUnavailableError(
            f"The database refuses the password that was just read: {refusal}. It is read again at the next attempt: "
            "when it stays so, compare PERDURE_DATABASE_PASSWORD_FILE or _COMMAND with the role in the database."
        ) from refusal


async def dedicated(
    dsn: str, *, application_name: str = "perdure", statement_timeout: str = "30s", password: Password | None = None
) -> Connection:
    """Open one connection of our own; the caller closes it. Raises what asyncpg raises.

    `statement_timeout` is in Postgres' words, "0" for none; the client's own time limit follows it. `password` is asked
    in place of what the address says.
    """
    command_timeout = None if statement_timeout == "0" else _COMMAND_SECONDS
    arguments = _arguments(application_name, statement_timeout)
    return await _connect(dsn, password=password, command_timeout=command_timeout, **arguments)


async def create_pool(
    dsn: str,
    *,
    min_size: int = 1,
    max_size: int = 4,
    application_name: str = "perdure",
    init: Any = None,
    password: Password | None = None,
) -> Pool:
    """Open a pool for short statements, with at least one connection made; the caller closes it.

    A connection is never replaced for its age or use: preparing again costs more than it frees. `password` is asked for
    each new one. Raises what asyncpg raises when the database is away now; later outages surface at each call.
    """
    return await StorePool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        max_queries=10**9,
        max_inactive_connection_lifetime=0,
        command_timeout=_COMMAND_SECONDS,
        init=init,
        loop=None,
        record_class=asyncpg.Record,
        connect=functools.partial(_connect, password=password),
        **_arguments(application_name, "30s"),
    )


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call may succeed later, without anybody changing code, data or settings."""
    match error:
        case errors.DatabaseUnavailableError() | asyncpg.TargetServerAttributeNotMatched():
            return True
        case asyncpg.InvalidCachedStatementError():
            return True  # somebody migrated below us; asyncpg prepares again
        case asyncpg.PostgresError():
            code = error.sqlstate or ""
            return code in _TRANSIENT_CODES or code.startswith(_TRANSIENT_CLASSES)
        case asyncpg.InterfaceError():
            return "connection is closed" in str(error) or "connection was closed" in str(error)
        case asyncpg.InternalClientError():
            return str(error).endswith(_ENDED_UNNOTICED)
        case OSError() | asyncio.TimeoutError():
            return True  # refused, reset, no such socket, no such host (yet), too slow
        case _:
            return False


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what means "the database is away" into `DatabaseUnavailableError`, for callers who do not wait for it."""
    try:
        yield
    except errors.PerdureError:
        raise
    except Exception as failure:  # is_transient names them; everything else passes through
        if not is_transient(failure):
            raise
        raise errors.DatabaseUnavailableError(
            f"The database cannot be reached or cannot answer now: {type(failure).__name__}: {failure}. "
            "The same call may work later; check PERDURE_DATABASE_URL and that the server runs when it does not."
        ) from failure


class cancels_heard:  # noqa: N801 - read as a statement: `with cancels_heard():`
    """Let a cancel of this task out of the block although an error has come in its place.

    It does when the connection breaks while a transaction is rolled back, or the connection given back, for the cancel;
    taken for an outage, it would be waited out by somebody who was asked to end. (A class, since it stands around every
    statement twice, and a generator takes three times as long.)
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _cancels()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and _cancels() > self._before:
            raise asyncio.CancelledError from error


def _cancels() -> int:
    """Count by how many, a timeout or whoever, the current task was asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Do as `translated`, and say in our words what a program has done wrong.

    A table that is not there is `SchemaOlderError`, a value of the wrong type or out of range `DefinitionError`.
    """
    with translated():
        try:
            yield
        except _NO_SCHEMA as failure:
            raise errors.SchemaOlderError(
                f"The database has not the schema of this Perdure: {failure}. Run `perdure migrate`, start an operator "
                "of this release, or connect with migrate=True."
            ) from failure
        except asyncpg.DataError as failure:
            message = f"The call holds a value that the database does not take: {failure}."
            raise errors.DefinitionError(message) from failure


class Availability:
    """Whether the database answers, as the last calls of this process found it.

    `since` is the event loop's time of the last change, `error` what the database said when it went away, `outages` how
    often it did.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.since: float | None = None
        self.outages = 0

    @property
    def is_available(self) -> bool:
        """Whether the last call reached the database; true before the first."""
        return self.error is None

    def lost(self, error: BaseException, doing: str) -> None:
        """Note a transient error; the first of an outage is logged."""
        if self.is_available:
            self.since = asyncio.get_running_loop().time()
            self.outages += 1
            _log.warning("database away, waiting for it", doing=doing, error=f"{type(error).__name__}: {error}")
        self.error = error

    def regained(self) -> None:
        """Note a success; the first after an outage is logged."""
        if self.is_available:
            return
        now = asyncio.get_running_loop().time()
        _log.info("database back", away_seconds=round(now - (self.since or now), 1))
        self.error = None
        self.since = now


async def retrying(operation: Callable[[], Awaitable[T]], *, doing: str, availability: Availability) -> T:
    """Call until the database answers, however long that takes; the way out is to cancel the task.

    Only transient errors are waited out (`is_transient`), with pauses of 0.1 to 5 s; all others are the caller's. The
    operation may have happened although it raised (a commit whose answer was lost), so it must be safe to repeat.
    `doing` says in the log what had to wait.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            with cancels_heard():
                result = await operation()
        except Exception as failure:  # is_transient names them; everything else passes through
            if not is_transient(failure):
                raise
            availability.lost(failure, doing)
        else:
            availability.regained()
            return result
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads workers, guards nothing
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

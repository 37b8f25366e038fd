"""The one real thing of the simulated world: a Postgres, whose clock the world sets.

It knows connections, locks and the clock; it must not know who asks or what a statement means.

Theory of operation. The database is made with `search_path = public, sim, pg_catalog`, and `sim` holds a `now()` and a
`clock_timestamp()` of its own, which read the setting `sim.now`. So every statement of the store and every default of
the schema takes the world's time for the time.

A statement is a plain call: asyncpg runs on a private event loop until the answer is there, while the world stands
still. That makes one order of all statements, the one the world chose. Statements that overlap are still possible:
`begin` opens a transaction whose locks others meet. Who meets one is `Blocked`, which is asked of Postgres and not
guessed from the time it takes, and is answered after the commit or rollback that lets it go.

Every connection listens to what it notifies itself: Postgres delivers that before the answer, so which channels a
statement woke is as certain as its rows.

Postgres promises no order of rows that a statement does not ask for. The same seed meets the same one all the same:
tables begin as new files, nobody vacuums or analyzes them, and plans do not depend on what was planned before.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uvloop

from perdure._engine.guard import outside_tasks
from perdure._store import connect, migrate

__all__ = ["BEGIN", "Blocked", "Database", "Lane", "Outcome", "create"]

T = TypeVar("T")
BEGIN = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
CHANNELS = ("perdure_wake", "perdure_finished")
_LANES = 12
_LOOK_SECONDS = 0.003

_CLOCK = """
create schema sim;
create function sim.now() returns timestamptz language sql stable
    as $$ select current_setting('sim.now')::timestamptz $$;
create function sim.clock_timestamp() returns timestamptz language sql volatile
    as $$ select current_setting('sim.now')::timestamptz $$;
"""
_LEAVE_ALONE = """
do $$
declare
    tables text[] := array(select format('%I', tablename) from pg_tables where schemaname = 'public');
    name text;
begin
    foreach name in array tables loop
        execute 'alter table ' || name || ' set (autovacuum_enabled = off)';
    end loop;
end $$
"""
_EMPTY = """
do $$
begin
    execute (
        select 'truncate ' || string_agg(format('%I', tablename), ', ') || ' restart identity'
        from pg_tables where schemaname = 'public' and tablename <> 'perdure_migrations'
    );
end $$
"""
_SET_NOW = "select set_config('sim.now', $1, false)"
_BREAK_OFF = "select pg_cancel_backend($1)"
_IS_BLOCKED = "select cardinality(pg_blocking_pids($1)) > 0"


@dataclasses.dataclass(slots=True, eq=False)
class Lane:
    """A connection of the world's, and what was notified on it since somebody looked."""

    connection: connect.Connection
    pid: int
    heard: list[str] = dataclasses.field(default_factory=list)
    now: datetime.datetime | None = None

    def take_heard(self) -> list[str]:
        """Give the channels that the last statement or commit notified, each once."""
        heard, self.heard = self.heard, []
        return list(dict.fromkeys(heard))


@dataclasses.dataclass(slots=True, eq=False)
class Outcome:
    """What came of a statement: rows, or an error; and the channels that it notified when it was committed."""

    rows: list[asyncpg.Record] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    heard: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, eq=False)
class Blocked:
    """A statement that waits for a lock; `then` is called with its outcome."""

    task: asyncio.Task[Outcome]
    lane: Lane
    is_alone: bool
    then: Callable[[Outcome], None] = lambda _: None


def create(server: str, name: str) -> str:
    """Make a migrated database with a clock of the world's on the server of this address; give its own."""
    parts = urlsplit(server)
    address = urlunsplit(parts._replace(path=f"/{name}"))

    async def make() -> None:
        connection = await connect.dedicated(server)
        await connection.execute(f"create database {name} template template0")
        await connection.execute(f"alter database {name} set search_path = public, sim, pg_catalog")
        await connection.execute(f"alter database {name} set sim.now = '{BEGIN.isoformat()}'")
        await connection.execute(f"alter database {name} set deadlock_timeout = '20ms'")
        await connection.execute(f"alter database {name} set plan_cache_mode = force_generic_plan")
        await connection.close()
        connection = await connect.dedicated(address)
        await connection.execute(_CLOCK)
        await connection.close()
        await migrate.migrate(address)
        connection = await connect.dedicated(address)
        await connection.execute(_LEAVE_ALONE)
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(make())
    return address


class Database:
    """A database made by `create`, and the connections to it. One for many seeds."""

    def __init__(self, dsn: str) -> None:
        """Connect."""
        self._dsn = dsn
        self._loop = uvloop.new_event_loop()
        self._lanes = [self._run(self._open()) for _ in range(_LANES)]
        self._free = list(self._lanes)
        self._monitor = self._run(self._open())
        self._blocked: list[Blocked] = []
        self._open_count = 0
        self.statements = 0

    def close(self) -> None:
        """Disconnect."""
        for lane in (*self._lanes, self._monitor):
            lane.connection.terminate()
        self._run(asyncio.sleep(0))
        self._loop.close()

    def reset(self) -> None:
        """Empty all tables of the house, down to their files, as after a migration."""
        if not self.is_quiet:  # a world was stopped in the middle
            for lane in self._lanes:
                lane.connection.terminate()
            self._lanes = [self._run(self._open()) for _ in range(_LANES)]
            self._open_count = 0
        self._blocked.clear()
        self._free = list(self._lanes)
        self._run(self._monitor.connection.execute(_EMPTY))

    # What the world's processes ask.

    def statement(self, sql: str, arguments: Sequence[object], *, now: datetime.datetime) -> Outcome | Blocked:
        """Run a statement in a transaction of its own."""
        return self._answer(self._take(now if _asks_the_time(sql) else None), sql, arguments, is_alone=True)

    def begin(self, now: datetime.datetime) -> Lane:
        """Open a transaction; `now` is its time. At most a few at once: see `has_room`."""
        lane = self._take(now)
        self._run(lane.connection.fetch("begin"))
        self._open_count += 1
        return lane

    def inside(self, lane: Lane, sql: str, arguments: Sequence[object]) -> Outcome | Blocked:
        """Run a statement in an open transaction."""
        return self._answer(lane, sql, arguments, is_alone=False)

    def end(self, lane: Lane, *, commits: bool) -> Outcome:
        """Commit or roll back; whoever waited for its locks is answered.

        A statement on it that itself waits for a lock is broken off first, as when its client goes away.
        """
        for blocked in [blocked for blocked in self._blocked if blocked.lane is lane]:
            self._blocked.remove(blocked)
            self._run(self._monitor.connection.fetchval(_BREAK_OFF, lane.pid))
            self._run(_wait(blocked.task, None))
            blocked.then(Outcome(error=asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")))
        outcome = self._run(_outcome(lane.connection, "commit" if commits else "rollback", ()))
        outcome.heard = lane.take_heard()
        lane.now = None  # a rollback takes set_config with it
        self._open_count -= 1
        self._free.append(lane)
        self._settle_blocked()
        return outcome

    @property
    def has_room(self) -> bool:
        """Whether another transaction may be left open without starving the rest."""
        return len(self._free) > _LANES // 2

    @property
    def is_quiet(self) -> bool:
        """Whether no transaction is open and nobody waits for a lock."""
        return not (self._open_count or self._blocked)

    # What the world itself asks.

    def look(self, sql: str, *arguments: object, now: datetime.datetime | None = None) -> list[asyncpg.Record]:
        """Read what is committed, behind everybody's back; `now` is for queries that ask for the time."""
        if now is not None:
            self._set_time(self._monitor, now)
        return self._run(self._monitor.connection.fetch(sql, *arguments))

    # Inside.

    async def _open(self) -> Lane:
        connection = await connect.dedicated(self._dsn, application_name="perdure-simulation")
        lane = Lane(connection, connection.get_server_pid())

        def heard(_: object, pid: int, channel: str, __: object) -> None:
            if pid == lane.pid:
                lane.heard.append(channel)

        for channel in CHANNELS:
            await connection.add_listener(channel, heard)
        return lane

    def _take(self, now: datetime.datetime | None) -> Lane:
        if not self._free:
            self._lanes.append(self._run(self._open()))
            self._free.append(self._lanes[-1])
        lane = self._free.pop()
        if now is not None:
            self._set_time(lane, now)
        return lane

    def _set_time(self, lane: Lane, now: datetime.datetime) -> None:
        if lane.now != now:
            self._run(lane.connection.fetch(_SET_NOW, now.isoformat()))
            lane.now = now

    def _answer(self, lane: Lane, sql: str, arguments: Sequence[object], *, is_alone: bool) -> Outcome | Blocked:
        self.statements += 1
        if not self._open_count:
            return self._answered(lane, self._run(_outcome(lane.connection, sql, arguments)), is_alone=is_alone)
        task = self._loop.create_task(_outcome(lane.connection, sql, arguments))
        if self._is_answered(task, lane):
            return self._answered(lane, task.result(), is_alone=is_alone)
        self._blocked.append(Blocked(task, lane, is_alone))
        return self._blocked[-1]

    def _answered(self, lane: Lane, outcome: Outcome, *, is_alone: bool) -> Outcome:
        if is_alone:
            outcome.heard = lane.take_heard()
            self._free.append(lane)
        return outcome

    def _is_answered(self, task: asyncio.Task[Outcome], lane: Lane) -> bool:
        """Wait until a statement is done (true) or waits for a lock (false)."""
        while not task.done():
            self._run(_wait(task, _LOOK_SECONDS))
            if not task.done() and self._run(self._monitor.connection.fetchval(_IS_BLOCKED, lane.pid)):
                return False
        return True

    def _settle_blocked(self) -> None:
        """Answer those whose lock has come; an answer may be the end of another wait, so look until nothing moves."""
        waiting, self._blocked = self._blocked, []
        for blocked in waiting:
            if self._is_answered(blocked.task, blocked.lane):
                blocked.then(self._answered(blocked.lane, blocked.task.result(), is_alone=blocked.is_alone))
            else:
                self._blocked.append(blocked)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the private loop, whatever loop or task this is called from."""
        running = asyncio._get_running_loop()  # noqa: SLF001 - asyncio offers both to those who implement loops
        if running is None:
            return self._loop.run_until_complete(work)
        with outside_tasks():
            asyncio._set_running_loop(None)  # noqa: SLF001 - see above
            try:
                return self._loop.run_until_complete(work)
            finally:
                asyncio._set_running_loop(running)  # noqa: SLF001 - see above


@functools.cache
def _asks_the_time(sql: str) -> bool:
    """Say whether the time matters to a statement: it asks for it, or it makes rows, whose defaults may."""
    return any(word in sql.lower() for word in ("now()", "clock_timestamp", "insert"))


async def _outcome(connection: connect.Connection, sql: str, arguments: Sequence[object]) -> Outcome:
    try:
        return Outcome(rows=await connection.fetch(sql, *arguments))
    except Exception as error:  # noqa: BLE001 - handed on to whoever asked
        return Outcome(error=error)


async def _wait(task: asyncio.Task[Outcome], seconds: float | None) -> None:
    await asyncio.wait({task}, timeout=seconds)

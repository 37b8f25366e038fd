"""The way of one process to the database: what its `Store` is given instead of a pool and of connections.

It knows how a statement travels (sent, arrived, done, answered) and lets happen on the way what the weather says. It
must not know what a statement means; the names in the trace are the first line of its text.

A `Wire` is a connection of its own, with transactions and listeners; a pool is a wire for each call. The rest of the
store is the real one: its statements, its retries, its `Control`.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import asyncpg

from perdure._store import connect
from perdure._store.store import Control, Store
from tests.simulation import weather
from tests.simulation.database import Blocked, Lane, Outcome
from tests.simulation.weather import Fate, Kind, Point

if TYPE_CHECKING:
    from tests.simulation.loop import Actor
    from tests.simulation.world import World

__all__ = ["Link", "Request", "Rewrites", "SimulatedStore", "Wire", "name_of"]

Rewrites = Mapping[str, Callable[[str], str]]
"""Statements by name that are changed on their way: how a mutant is made without touching the house."""

_MOMENT_OF_TRUTH = 3.0  # a commit is struck more often than what only reads or asks
_SILENCE_SECONDS = 40.0  # what `connect.py` gives a statement
_CONNECT_SECONDS = 10.0  # what it gives the making of a connection


def name_of(sql: str) -> str:
    """Give the name of a statement: the store writes it into its first line."""
    head, _, rest = sql.partition("\n")
    return head.removeprefix("-- ").removesuffix(".sql") if rest else sql


class SimulatedStore(Store):
    """The store of one process of the world."""

    def __init__(self, link: Link) -> None:
        """Speak over a link."""
        super().__init__(cast("connect.Pool", link), "")
        self._link = link

    @contextlib.asynccontextmanager
    async def control(self, application_name: str) -> AsyncIterator[Control]:  # noqa: ARG002 - the store's signature
        """Lend a connection of its own."""
        wire = await self._link.connect()
        try:
            yield Control(cast("connect.Connection", wire))
        finally:
            wire.terminate()


class Link:
    """All connections of one process. It can stand in for a pool."""

    def __init__(self, world: World, actor: Actor, rewrites: Rewrites) -> None:
        """Connect `actor` with the database of `world`."""
        self.world = world
        self.actor = actor
        self.rewrites = rewrites
        self.wires: list[Wire] = []

    async def connect(self) -> Wire:
        """Open a connection of its own."""
        wire = Wire(self)
        await wire.say("connect")
        self.wires.append(wire)
        return wire

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement on whichever connection is free."""
        return await Wire(self).fetch(sql, *arguments)

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[Wire]:
        """Lend a connection for several statements."""
        wire = Wire(self)
        self.wires.append(wire)
        try:
            yield wire
        finally:
            wire.terminate()

    async def close(self) -> None:
        """Close nothing: what is open ends with the process."""

    def break_all(self) -> None:
        """Break every connection: the process is dead, or the database gone."""
        for wire in list(self.wires):
            wire.terminate()


class Wire:
    """One connection: statements one after the other, a transaction, listeners. Broken once, it stays so."""

    def __init__(self, link: Link) -> None:
        """Stand ready."""
        self.link = link
        self.world = link.world
        self.listeners: list[tuple[str, Callable[[], object]]] = []
        self.lane: Lane | None = None
        self.is_broken = False
        self._arrives_at = 0.0

    # What asyncpg's connection offers, as far as the store uses it.

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement; give its rows."""
        name = name_of(sql)
        if name in self.link.rewrites:
            sql = self.link.rewrites[name](sql)
        return await self.say(name, sql, arguments)

    async def fetchrow(self, sql: str, *arguments: object) -> asyncpg.Record | None:
        """Run a statement; give its first row."""
        rows = await self.fetch(sql, *arguments)
        return rows[0] if rows else None

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Run statements in one transaction."""
        await self.say("begin")
        try:
            yield
        except BaseException:
            if not self.is_broken:
                await self.say("rollback")
            raise
        await self.say("commit")

    async def add_listener(self, channel: str, callback: Callable[..., object]) -> None:
        """Call back when `channel` is notified, as long as this connection stands."""
        await self.say(f"listen {channel}")
        self.listeners.append((channel, lambda: callback(self, 0, channel, "")))

    def terminate(self) -> None:
        """Break the connection; what it had not committed is undone."""
        self.is_broken = True
        self.listeners.clear()
        if self in self.link.wires:
            self.link.wires.remove(self)
        if self.lane is not None:
            lane, self.lane = self.lane, None
            self.world.database.end(lane, commits=False)

    # On the way there, in the process that asks.

    async def say(self, name: str, sql: str = "", arguments: Sequence[object] = ()) -> list[asyncpg.Record]:
        """Send something to the database and wait for its answer, through all kinds of weather."""
        world = self.world
        fate = world.weather.fate(weight=_MOMENT_OF_TRUTH if name.startswith("commit_turn") else 1.0)
        if self.is_broken:
            raise weather.lost(world.weather.dice)
        if world.is_over:
            raise asyncio.CancelledError
        world.note(self.link.actor, name, fate)
        await self._may_be_struck(fate, Point.BEFORE)
        answer: asyncio.Future[Outcome] = world.loop.create_future()
        self._arrives_at = max(self._arrives_at, world.loop.now + fate.there)  # nothing overtakes on one connection
        request = Request(self, name, sql, arguments, fate, answer)
        world.later(self._arrives_at - world.loop.now, request.arrive)
        outcome = await answer
        await self._may_be_struck(fate, Point.AFTER)
        if outcome.error is not None:
            raise outcome.error
        return outcome.rows

    async def _may_be_struck(self, fate: Fate, point: Point) -> None:
        if fate.strike is not None and fate.strike.point is point:
            self.world.strike(self.link.actor, fate.strike)
            await asyncio.sleep(0)  # from which it does not come back, or not soon


class Request:
    """A statement at the server."""

    def __init__(
        self,
        wire: Wire,
        name: str,
        sql: str,
        arguments: Sequence[object],
        fate: Fate,
        answer: asyncio.Future[Outcome],
    ) -> None:
        self.wire = wire
        self.world = wire.world
        self.name = name
        self.sql = sql
        self.arguments = arguments
        self.fate = fate
        self.answer = answer
        self.owners: Mapping[str, uuid.UUID | None] = {}

    def arrive(self) -> None:
        """The statement is at the server: let happen what is to happen."""
        fate, world = self.fate, self.world
        world.has_overlapped = world.has_overlapped or fate.kind in {Kind.HELD, Kind.LATE}
        if self.answer.cancelled() and self.wire.lane is None and world.weather.dice.random() < 0.5:
            return  # whoever asked has gone away, and the server heard of it in time
        if world.is_away or self.wire.is_broken:  # perhaps since it was sent
            self._break(weather.lost(world.weather.dice))
            return
        match fate.kind:
            case Kind.LOST:
                self._break(weather.lost(world.weather.dice))
            case Kind.REFUSED if self.wire.lane is None:
                self._reply(Outcome(error=weather.refused(world.weather.dice)))
            case Kind.LATE if self.wire.lane is None and self.sql:
                self._break(weather.lost(world.weather.dice))
                world.later(fate.seconds, self._execute, lambda _: None)
            case Kind.UNANSWERED:
                self._execute(lambda _: self._break(weather.lost(world.weather.dice)))
            case Kind.SILENT:
                seconds = _CONNECT_SECONDS if self.name == "connect" else _SILENCE_SECONDS
                self._execute(lambda _: world.later(seconds, self._break, TimeoutError()))
            case Kind.HELD if self.wire.lane is None and self.sql and world.database.has_room:
                self._hold()
            case _:
                self._execute(self._reply)
        if fate.strike is not None and fate.strike.point is Point.INSIDE:
            world.strike(self.wire.link.actor, fate.strike)

    def _execute(self, then: Callable[[Outcome], None]) -> None:
        """Do it, now; `then` is called at once, or when the lock that it waits for is free."""
        world, database, wire = self.world, self.world.database, self.wire
        now = world.now()
        match self.name:
            case "begin":
                wire.lane = database.begin(now)
                then(Outcome())
            case "commit" | "rollback":
                if wire.lane is None:
                    self._break(weather.lost(world.weather.dice))
                    return
                lane, wire.lane = wire.lane, None
                self._done(database.end(lane, commits=self.name == "commit"), then)
            case _ if not self.sql:
                then(Outcome())
            case _ if wire.lane is not None:
                self._when_done(database.inside(wire.lane, self.sql, self.arguments), then)
            case _:
                self.owners = world.checks.owners(self.name)
                self._when_done(database.statement(self.sql, self.arguments, now=now), then)

    def _hold(self) -> None:
        """Do it in a transaction that stays open for a while, holding its locks."""
        database = self.world.database
        lane = database.begin(self.world.now())
        self.owners = self.world.checks.owners(self.name)

        def commit(outcome: Outcome) -> None:
            outcome.heard = database.end(lane, commits=outcome.error is None).heard
            self._done(outcome, self._reply)

        def done(outcome: Outcome) -> None:
            self.world.later(self.fate.seconds, commit, outcome)

        self._when_done(database.inside(lane, self.sql, self.arguments), done, is_committed=False)

    def _when_done(
        self, result: Outcome | Blocked, then: Callable[[Outcome], None], *, is_committed: bool = True
    ) -> None:
        def done(outcome: Outcome) -> None:
            if is_committed and self.wire.lane is None:
                self._done(outcome, then)
            else:
                then(outcome)

        if isinstance(result, Blocked):
            self.world.note(self.wire.link.actor, f"{self.name} waits for a lock")
            self.world.has_overlapped = True
            self.owners = {}
            result.then = done
        else:
            done(result)

    def _done(self, outcome: Outcome, then: Callable[[Outcome], None]) -> None:
        """It is committed: whoever listens is told, and the invariants are looked at."""
        for channel in outcome.heard:
            self.world.broadcast(channel)
        if self.owners:
            self.world.checks.committed(self.owners, self.arguments[0], outcome.rows)
        then(outcome)
        self.world.executed(self, outcome)

    # On the way back.

    def _reply(self, outcome: Outcome) -> None:
        self.world.later(self.fate.back, self._resolve, outcome)

    def _break(self, error: Exception) -> None:
        """Let the connection break; its owner finds out when the news is there."""
        self.wire.terminate()
        self._reply(Outcome(error=error))

    def _resolve(self, outcome: Outcome) -> None:
        if not self.answer.done():
            self.answer.set_result(outcome)

"""Schedules as the store knows them: what they ask for, how far their ticks are decided, and the runs that came of it.

It knows the tables of `0009_schedules.sql`; it must not know cron, policies, Kubernetes, or how a status looks. All
methods raise what asyncpg raises: whoever calls decides whether to wait for the database (`connect.retrying`).

Theory of operation. `decided_until` only grows, and whoever decides names the one that was looked at: of two
controllers one is refused. What is decided to run is a row of `schedule_ticks` before anything is created, so that a
crash leaves either nothing, or a tick whose Orchestration is to be created still; its name is the tick's, so that the
API server refuses a second one. Every change that may have to be shown raises `changes`.

Nothing here is sealed: a spec stands in the API server for everybody who may read the resource.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from perdure._core import sights
from perdure._store import statements
from perdure._store.connect import Pool
from perdure._store.resources import Known
from perdure._store.sealing import Record

__all__ = [
    "Decided",
    "Due",
    "Facts",
    "Look",
    "Lost",
    "MissedTicks",
    "News",
    "Problem",
    "Schedules",
    "SeenSchedule",
    "Tick",
    "TickKey",
    "Uncreated",
]


@dataclasses.dataclass(frozen=True, slots=True)
class SeenSchedule:
    """One sight of a schedule, ready for the store; `gone` says that it is no more.

    `spec` is JSON; `timing` is what of it says when: another one counts from now on. `instead_of` is the generation
    that was known before this one was read (`sights.py`).
    """

    uid: UUID
    namespace: str
    name: str
    generation: int = 0
    spec: bytes | None = None
    timing: str = ""
    deleting: bool = False
    gone: bool = False
    instead_of: int | None = None


_COLUMNS = tuple(field.name for field in dataclasses.fields(SeenSchedule) if field.name != "instead_of")


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a schedule; `is_same`: with the spec of the sight that it is compared with."""

    generation: int
    deleting: bool
    gone: bool
    is_same: bool


@dataclasses.dataclass(frozen=True, slots=True)
class News:
    """A sight that changed something."""

    uid: UUID
    is_gone: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What there is to do. `due_in_seconds` is negative for what is late, None when nothing is to come."""

    due_in_seconds: float | None
    has_uncreated: bool
    has_open: bool
    has_ended: bool
    has_lost: bool
    has_unshown: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """A schedule that somebody has to decide about; `now` is the database's time."""

    uid: UUID
    namespace: str
    name: str
    generation: int
    spec: bytes
    decided_until: datetime
    now: datetime
    unfinished: int


@dataclasses.dataclass(frozen=True, slots=True)
class MissedTicks:
    """Ticks that are not run: how many, the latest of them, and why."""

    count: int
    latest: datetime
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of the ticks of a schedule: `run` gives those that are run, with the names of the Orchestrations."""

    due: Due
    decided_until: datetime
    next_at: datetime | None
    run: Sequence[tuple[datetime, str]] = ()
    missed: MissedTicks | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TickKey:
    """Which tick of which schedule."""

    schedule_uid: UUID
    tick_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Uncreated:
    """A tick whose Orchestration is not known to be there; `seen_uid` is that of one whose run has begun."""

    schedule_uid: UUID
    tick_at: datetime
    orchestration: str
    namespace: str
    name: str
    spec: bytes
    now: datetime
    seen_uid: UUID | None

    @property
    def key(self) -> TickKey:
        """Which tick it is."""
        return TickKey(self.schedule_uid, self.tick_at)


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """An Orchestration that was created and that nobody has seen since."""

    schedule_uid: UUID
    tick_at: datetime
    namespace: str
    orchestration: str
    orchestration_uid: UUID

    @property
    def key(self) -> TickKey:
        """Which tick it is of."""
        return TickKey(self.schedule_uid, self.tick_at)


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Why an Orchestration could not be created: `reason` for programs, `message` for people."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Tick:
    """A tick that was run, as long as its Orchestration is there; `outcome` is None while the run is unfinished."""

    at: datetime
    name: str
    orchestration_uid: UUID | None
    outcome: str | None
    is_gone: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What a status is made of, and what is to be tidied up. `status` is what was last written."""

    uid: UUID
    namespace: str
    name: str
    generation: int
    spec: bytes
    decided_until: datetime
    last_tick_at: datetime | None
    last_successful_at: datetime | None
    missed: int
    missed_tick_at: datetime | None
    missed_reason: str
    missed_message: str
    problem_reason: str
    problem_message: str
    changes: int
    status: bytes | None
    status_resource_version: int | None
    now: datetime
    ticks: tuple[Tick, ...] = ()


class Schedules:
    """The statements about schedules."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = statements.load()

    async def ingest(self, batch: Sequence[SeenSchedule]) -> list[News]:
        """Take in what was seen and tell what changed; repeating a batch changes nothing.

        A uid may be in a batch once.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(self._sql.sight_lock, "schedules")
            rows = await connection.fetch(self._sql.schedule_read, [seen.uid for seen in batch])
            known = {row["uid"]: row for row in rows}
            news = [seen for seen in batch if sights.is_news(seen, _known(known.get(seen.uid), seen))]
            if news:
                columns = [[getattr(seen, column) for seen in news] for column in _COLUMNS]
                await connection.execute(self._sql.schedule_ingest, *columns)
        return [News(seen.uid, seen.gone) for seen in news]

    async def known(self, namespaces: Sequence[str]) -> dict[UUID, Known]:
        """Give all schedules believed to live; no namespaces means all."""
        rows = await self._pool.fetch(self._sql.schedule_known, namespaces)
        return {row["uid"]: Known(row["namespace"], row["name"], row["generation"], row["deleting"]) for row in rows}

    async def forget(self, *, older_than_seconds: float) -> None:
        """Forget schedules that were found deleted longer ago than this."""
        await self._pool.execute(self._sql.schedule_forget, older_than_seconds)

    async def look(self, namespaces: Sequence[str], *, lost_after_seconds: float) -> Look:
        """Tell what there is to do."""
        [row] = await self._pool.fetch(self._sql.schedule_look, namespaces, lost_after_seconds)
        return Look(**row)

    async def due(self, namespaces: Sequence[str], *, at_most: int = 200) -> list[Due]:
        """Give the schedules that have to be decided about."""
        return [Due(**row) for row in await self._pool.fetch(self._sql.schedule_due, namespaces, at_most)]

    async def decide(self, decisions: Sequence[Decided]) -> set[UUID]:
        """Write decisions down; give the schedules of which nobody had decided or changed anything meanwhile."""
        ticks = [(one.due.uid, *tick) for one in decisions for tick in one.run]
        rows = await self._pool.fetch(
            self._sql.schedule_decide,
            [one.due.uid for one in decisions],
            [one.due.decided_until for one in decisions],
            [one.due.generation for one in decisions],
            [one.decided_until for one in decisions],
            [one.next_at for one in decisions],
            [max((at for at, _ in one.run), default=None) for one in decisions],
            [one.missed.count if one.missed else 0 for one in decisions],
            [one.missed.latest if one.missed else None for one in decisions],
            [one.missed.reason if one.missed else "" for one in decisions],
            [one.missed.message if one.missed else "" for one in decisions],
            *([tick[at] for tick in ticks] for at in range(3)),
        )
        return {row["uid"] for row in rows}

    async def uncreated(
        self, namespaces: Sequence[str], *, without: Sequence[UUID] = (), at_most: int = 200
    ) -> list[Uncreated]:
        """Give the ticks whose Orchestration is not known to be there, the longest decided first."""
        rows = await self._pool.fetch(self._sql.schedule_uncreated, namespaces, without, at_most)
        return [Uncreated(**row) for row in rows]

    async def replaced(self, tick: TickKey) -> list[tuple[str, UUID]]:
        """Give name and uid of the Orchestrations of earlier ticks that nobody has asked to end yet."""
        rows = await self._pool.fetch(self._sql.schedule_replaced, tick.schedule_uid, tick.tick_at)
        return [(row["name"], row["orchestration_uid"]) for row in rows]

    async def created(self, made: Sequence[tuple[TickKey, UUID]]) -> None:
        """Remember the uids of Orchestrations that are there; repeating it changes nothing."""
        await self._pool.fetch(
            self._sql.schedule_created,
            [tick.schedule_uid for tick, _ in made],
            [tick.tick_at for tick, _ in made],
            [uid for _, uid in made],
        )

    async def troubled(self, tick: TickKey, problem: Problem, *, is_given_up: bool, is_lasting: bool) -> None:
        """Remember why an Orchestration could not be created; a tick that is given up counts as missed.

        A lasting problem is the schedule's until an Orchestration can be created again. Repeating it changes nothing.
        """
        await self._pool.fetch(
            self._sql.schedule_troubled,
            *(tick.schedule_uid, tick.tick_at, is_given_up, problem.reason, problem.message, is_lasting),
        )

    async def ended(self, namespaces: Sequence[str]) -> None:
        """Note how runs have ended."""
        await self._pool.fetch(self._sql.schedule_ended, namespaces)

    async def lost(self, namespaces: Sequence[str], *, after_seconds: float) -> list[Lost]:
        """Give the Orchestrations that were created longer ago than this and were not seen since."""
        rows = await self._pool.fetch(self._sql.schedule_lost, namespaces, after_seconds)
        return [Lost(**row) for row in rows]

    async def gone(self, tick: TickKey) -> None:
        """Note that the Orchestration of a tick is no more and never began a run."""
        await self._pool.fetch(self._sql.schedule_gone, tick.schedule_uid, tick.tick_at)

    async def facts(
        self, namespaces: Sequence[str], *, without: Sequence[UUID] = (), at_most: int = 100
    ) -> list[Facts]:
        """Give the schedules that have something to show or to tidy up."""
        rows = await self._pool.fetch(self._sql.schedule_facts, namespaces, without, at_most)
        return [_facts(row) for row in rows]

    async def tidied(self, ticks: Sequence[TickKey]) -> None:
        """Forget ticks whose Orchestrations are gone."""
        uids, moments = [tick.schedule_uid for tick in ticks], [tick.tick_at for tick in ticks]
        await self._pool.fetch(self._sql.schedule_tidied, uids, moments)

    async def shown(self, facts: Facts, status: bytes, *, resource_version: int) -> None:
        """Remember the status that the API server took for these facts."""
        await self._pool.fetch(
            self._sql.schedule_shown,
            *(facts.uid, status, facts.changes, resource_version, facts.status_resource_version),
        )


def _known(row: Record | None, seen: SeenSchedule) -> _Known | None:
    if row is None:
        return None
    return _Known(row["generation"], row["deleting"], row["gone"], row["spec"] == seen.spec)


_FACT_COLUMNS = tuple(field.name for field in dataclasses.fields(Facts) if field.name != "ticks")


def _facts(row: Record) -> Facts:
    columns = [row[column] or [] for column in ("ticks", "names", "orchestration_uids", "outcomes", "are_gone")]
    ticks = tuple(Tick(*values) for values in zip(*columns, strict=True))
    return Facts(**{column: row[column] for column in _FACT_COLUMNS}, ticks=ticks)

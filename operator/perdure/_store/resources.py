"""Resources as the store knows them: what was asked for, which run it got, what was last written into its status.

It knows the tables of `0002_resources.sql` and that a run is asked for by inserting an instance; it must not know
Kubernetes, conditions or how a status looks. All methods raise what asyncpg raises: whoever calls decides whether to
wait for the database (`connect.retrying`).

Theory of operation. A resource is known by its uid; names come again, uids do not. Ingest is one transaction under one
advisory lock, so that two controllers (a rolling update, or a mistake) give the same run numbers as one: it reads what
is known, locks the runs, lets `desired.decide` decide, and carries all decisions out in one statement (`intake.py`). It
may be repeated at will: what brings no news writes nothing. `gone` is final, so that a late answer of the API server
cannot revive what was deleted meanwhile; only what was read after its end was known lives again (`restored`).
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from perdure import errors
from perdure._core.desired import Earlier, Policies, Seen
from perdure._store import intake, statements
from perdure._store.connect import Pool
from perdure._store.sealing import Record, Sealing

__all__ = ["Chore", "Earlier", "Fact", "Known", "News", "Policies", "Resources", "Retry", "Seen", "TurnRow", "Wrote"]


@dataclasses.dataclass(frozen=True, slots=True)
class News:
    """What a sight changed. `has_chores` says that something is to be done to the resource itself.

    `is_of_earlier_life`: its status names a run that the database did not know.
    """

    uid: UUID
    instance_id: str | None
    is_gone: bool
    starts: bool
    cancels: bool
    has_chores: bool = False
    is_of_earlier_life: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A resource that is believed to live. Its resource version is the last one that is known, 0 when none is."""

    namespace: str
    name: str
    generation: int
    deleting: bool
    resource_version: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Chore:
    """What is due to be done for a resource, in the words of `resource_due.sql`; without a uid it is about none."""

    chore: str
    uid: UUID | None
    namespace: str
    name: str
    generation: int


@dataclasses.dataclass(frozen=True, slots=True)
class Retry:
    """An activity with failed attempts, or one that a queue has.

    `next_at` is None once the next attempt is due; `is_taken` says that a worker of its queue has it, `is_served` that
    some live worker serves that queue. Of those without a queue both are true.
    """

    seq: int
    failed_attempts: int
    next_at: datetime | None
    last_error: bytes | None
    is_taken: bool = True
    is_served: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """What a status is made of, but for the history. The fields from `orchestration` on are None when there is no run.

    `status` is what was last written, the fields beside it what it was made of. What cannot be opened is None, and
    `sealed` says why.
    """

    uid: UUID
    namespace: str
    name: str
    generation: int
    refusal: bytes | None
    cancel_reason: str | None
    instance_id: str | None
    status: bytes | None
    status_turn: int | None
    status_phase: str | None
    status_generation: int | None
    status_resource_version: int | None
    orchestration: str | None
    version: str | None
    phase: str | None
    execution: int | None
    turn: int | None
    is_owned: bool | None
    hold_reason: str | None
    output: bytes | None
    error: bytes | None
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    retries: tuple[Retry, ...]
    sealed: errors.PayloadSealedError | None = None
    deleting: bool = False
    has_finalizer: bool = False
    wants_finalizer: bool = False
    waiting: str = ""
    ready_when: str = "Completed"
    is_archived: bool = False
    suspend_reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TurnRow:
    """A row of history; of one that cannot be opened `body` is empty, and `sealed` says why."""

    instance_id: str
    execution: int
    turn: int
    at: datetime
    body: bytes
    sealed: errors.PayloadSealedError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Wrote:
    """A status that the API server took, and what it was made of.

    `seen_resource_version` is what the facts said was remembered before. Without a `turn` the status is looked at again
    by each sweep: it says of a run what may end without a turn.
    """

    uid: UUID
    status: bytes
    turn: int | None
    phase: str | None
    generation: int
    resource_version: int
    is_final: bool
    seen_resource_version: int | None = None


_LOWEST = UUID(int=0)


class Resources:
    """The statements about resources."""

    def __init__(self, pool: Pool, sealing: Sealing | None = None) -> None:
        """Use `pool`; payloads go through `sealing`, without one they are plain."""
        self._pool = pool
        self._sql = statements.load()
        self._sealing = sealing or Sealing()
        self._untold: list[intake.Taken] = []

    async def ingest(self, batch: Sequence[Seen]) -> list[News]:
        """Take in what was seen and tell what changed; repeating a batch changes nothing.

        A uid may be in a batch once. What a call had found when it broke off is told by the next one, also to those who
        act on it: it may stand in the database already, and is then no news there.
        """
        untold, self._untold = self._untold, []
        try:
            async with self._pool.acquire() as connection:
                async with connection.transaction():
                    untold += await intake.take_in(connection, batch, sealing=self._sealing)
                if any(one.acts for one in untold):
                    await connection.execute(self._sql.resource_notify)
        except BaseException:  # a cancel, too
            self._untold += untold
            raise
        return [_news(one) for one in untold]

    async def facts(self, uids: Sequence[UUID]) -> list[Fact]:
        """Give the facts of those of these resources that live."""
        rows = await self._pool.fetch(self._sql.resource_facts, uids)
        return [_fact(row) for row in self._sealing.opened(rows)]

    async def turns(self, known: Mapping[str, tuple[int, int]]) -> list[TurnRow]:
        """Give the turns of these instances after the known (execution, turn), in order; (0, -1) for all of them."""
        rows = await self._pool.fetch(
            self._sql.resource_history,
            list(known),
            [execution for execution, _ in known.values()],
            [turn for _, turn in known.values()],
        )
        return [_turn(row) for row in self._sealing.opened(rows)]

    async def offers(self) -> list[list[str]]:
        """Give what each live worker can run, as name@version."""
        rows = await self._pool.fetch(self._sql.resource_offers)
        return [list(row["orchestrations"]) for row in rows]

    async def remember(self, writes: Sequence[Wrote]) -> set[UUID]:
        """Remember what was written; give those that somebody else wrote later, or that are gone."""
        columns = [[getattr(write, field.name) for write in writes] for field in dataclasses.fields(Wrote)]
        rows = await self._pool.fetch(self._sql.resource_wrote, *self._sealing.sealed("resource_wrote", columns))
        return {write.uid for write in writes} - {row["uid"] for row in rows}

    async def stale(self, namespaces: Sequence[str], *, after: UUID = _LOWEST, at_most: int = 1_000) -> list[UUID]:
        """Give a page of the resources whose status may not show their run, by uid; no namespaces means all."""
        rows = await self._pool.fetch(self._sql.resource_stale, namespaces, after, at_most)
        return [row["uid"] for row in rows]

    async def known(self, namespaces: Sequence[str]) -> dict[UUID, Known]:
        """Give all resources believed to live; no namespaces means all."""
        rows = await self._pool.fetch(self._sql.resource_known, namespaces)
        return {row["uid"]: _known(row, row["status_resource_version"] or 0) for row in rows}

    async def restored(self, found: Mapping[UUID, int]) -> dict[UUID, Known]:
        """Give those that were read in an older state than was known, an end included, as they were known.

        `found` are resource versions. The status of those is written again, and those that were gone live.
        """
        rows = await self._pool.fetch(self._sql.resource_restored, list(found), list(found.values()))
        return {row["uid"]: _known(row) for row in rows}

    async def due(self, namespaces: Sequence[str], *, grace_seconds: float, at_most: int = 200) -> list[Chore]:
        """Give what is due by the clock, or since runs have ended; no namespaces means all."""
        rows = await self._pool.fetch(self._sql.resource_due, namespaces, grace_seconds, at_most)
        return [Chore(**row) for row in rows]

    async def bury(self, uid: UUID) -> bool:
        """Put up a tombstone for a resource that is about to be deleted; tell whether it still is."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(self._sql.sight_lock, "resources")  # an ingest under way may change it
            return bool(await connection.fetch(self._sql.resource_bury, [uid]))

    async def forget(self, *, older_than_seconds: float) -> None:
        """Forget resources that were found deleted longer ago than this."""
        await self._pool.execute(self._sql.resource_forget, older_than_seconds)


def _news(one: intake.Taken) -> News:
    return News(
        one.seen.uid,
        one.instance_id,
        one.seen.gone,
        one.starts,
        one.decision.cancels,
        one.has_chores,
        one.is_of_earlier_life,
    )


def _known(row: Record, resource_version: int = 0) -> Known:
    return Known(row["namespace"], row["name"], row["generation"], row["deleting"], resource_version)


def _fact(row: Record) -> Fact:
    """Make a fact of a row; what cannot be opened is told with it, and stops none of the others."""
    values: dict[str, Any] = {column: row[column] for column in _FACT_COLUMNS}
    values |= {**dict.fromkeys(_FACT_PAYLOADS), "retries": ()}
    for column, read in _FACT_PAYLOADS.items():
        try:
            values[column] = read(row)
        except errors.PayloadSealedError as sealed:
            values["sealed"] = sealed
    return Fact(**values)


def _turn(row: Record) -> TurnRow:
    where = row["instance_id"], row["execution"], row["turn"], row["at"]
    try:
        return TurnRow(*where, row["body"])
    except errors.PayloadSealedError as sealed:
        return TurnRow(*where, b"", sealed)


def _retries(row: Record) -> tuple[Retry, ...]:
    names = ("seqs", "failed_attempts", "next_at", "last_errors", "are_taken", "are_served")
    columns = [row[column] or [] for column in names]
    return tuple(Retry(*values) for values in zip(*columns, strict=True))


_FACT_PAYLOADS: Mapping[str, Callable[[Record], object]] = {
    "status": operator.itemgetter("status"),
    "output": operator.itemgetter("output"),
    "error": operator.itemgetter("error"),
    "retries": _retries,
}
_FACT_COLUMNS = {field.name for field in dataclasses.fields(Fact)} - {*_FACT_PAYLOADS, "sealed"}

"""Signals that were asked for by a resource: taken in, delivered to the current run, and remembered.

It knows the table of `0008_signal_resources.sql`, the run that a name has in `resources`, and that a signal is sent by
`signal_send.sql`; it must not know Kubernetes, conditions or how a status looks. All methods raise what asyncpg raises.

Theory of operation. Delivery is one transaction: the resources are locked, their runs are looked up, the messages go
into the inbox, and the fate of each is written down. So a signal is delivered to one run or to none, whoever dies, and
two controllers at once deliver it once: the second finds the row locked or decided. The uid is the dedupe key besides.
A fate once written is final, also when the run is removed later, or another one takes its name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, cast
from uuid import UUID

from perdure import errors
from perdure._core import limits, sights
from perdure._store import statements
from perdure._store.connect import Pool
from perdure._store.resources import Known
from perdure._store.sealing import Record, Sealing

__all__ = ["Body", "Due", "Fate", "Round", "SeenSignal", "Shown", "SignalFact", "SignalResources", "Unread", "Waiting"]

_LOWEST: Final = UUID(int=0)

_Sending = list[tuple[Record, bytes]]
"""What goes into the inbox: the row of each, and its message as it is stored."""

Phase = Literal["Pending", "Delivered", "Failed"]


@dataclasses.dataclass(frozen=True, slots=True)
class SeenSignal:
    """One sight of a signal resource, ready for the store; `gone` says that it is no more, and the rest counts nothing.

    `message` is the JSON of the event, None when its payload stands under `config_key` of `config_map`. A `refusal` is
    why it can never be sent. `instead_of` is the generation that was known before this one was read (`sights.py`).
    """

    uid: UUID
    namespace: str
    name: str
    generation: int = 0
    deleting: bool = False
    gone: bool = False
    target: str = ""
    message: bytes | None = None
    config_map: str | None = None
    config_key: str | None = None
    ttl_seconds: int | None = None
    refusal: str | None = None
    refusal_detail: str | None = None
    created_at: datetime | None = None
    signal: str = ""
    instead_of: int | None = None


_COLUMNS = tuple(field.name for field in dataclasses.fields(SeenSignal) if field.name != "instead_of")


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a signal; its spec never changes."""

    generation: int
    deleting: bool
    gone: bool
    is_same: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A signal that waits for delivery, or does so no more; its place among others, and how much its message weighs."""

    uid: UUID
    created_at: datetime
    namespace: str
    name: str
    size_bytes: int
    waits: bool = True

    @property
    def place(self) -> tuple[datetime, str, str, UUID]:
        """Order signals: the older first, those of one second by their names; as in `signal_resource_take.sql`."""
        return self.created_at, self.namespace, self.name, self.uid


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """What there is to do: signals that may get further, others to show or delete; or more of both when time passed."""

    may_go: bool
    is_behind: bool
    has_more: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """A signal whose payload has to be read first, as whom its run acts as."""

    uid: UUID
    signal: str
    namespace: str
    config_map: str
    config_key: str
    instance_id: str
    run_as: str


@dataclasses.dataclass(frozen=True, slots=True)
class Body:
    """A message that was read for one run, or why it could not be; good for that run alone."""

    instance_id: str
    message: bytes | None
    reason: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Fate:
    """What became of a signal, or what it waits for. `phase` is Pending, Delivered or Failed."""

    uid: UUID
    phase: Phase
    reason: str
    detail: str = ""
    instance_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """What one attempt at delivery came to; `again` are those whose run ended in the moment between."""

    fates: list[Fate]
    unread: list[Unread]
    again: list[UUID]


@dataclasses.dataclass(frozen=True, slots=True)
class SignalFact:
    """What a status is made of. `status` is what was last written, None when it cannot be opened."""

    uid: UUID
    namespace: str
    name: str
    generation: int
    target: str
    phase: Phase
    reason: str
    detail: str
    instance_id: str | None
    observed_at: datetime
    decided_at: datetime | None
    revision: int
    status: bytes | None


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A status that the API server took."""

    uid: UUID
    revision: int
    status: bytes


class SignalResources:
    """The statements about signal resources."""

    def __init__(self, pool: Pool, sealing: Sealing | None = None) -> None:
        """Use `pool`; payloads go through `sealing`, without one they are plain."""
        self._pool = pool
        self._sql = statements.load()
        self._sealing = sealing or Sealing()

    async def ingest(self, batch: Sequence[SeenSignal]) -> list[Waiting]:
        """Take in what was seen, and give those that brought news; repeating a batch changes nothing."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(self._sql.sight_lock, "signal_resources")
            rows = await connection.fetch(self._sql.signal_resource_read, [seen.uid for seen in batch])
            known = {row["uid"]: _Known(row["generation"], row["deleting"], row["gone"]) for row in rows}
            news = [seen for seen in batch if sights.is_news(seen, known.get(seen.uid))]
            if not news:
                return []
            columns = [[getattr(seen, column) for seen in news] for column in _COLUMNS]
            sealed = self._sealing.sealed("signal_resource_ingest", columns)
            rows = await connection.fetch(self._sql.signal_resource_ingest, *sealed)
        return [Waiting(**row) for row in rows]

    async def deliver(self, uids: Sequence[UUID], bodies: Mapping[UUID, Body] | None = None) -> Round:
        """Deliver what can be delivered of these, each once, ever; `bodies` are payloads that were read for them."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(self._sql.signal_resource_take, list(uids))
            round_ = Round([], [], [])
            sending: _Sending = []
            for row in rows:
                self._sort(row, (bodies or {}).get(row["uid"]), round_=round_, sending=sending)
            if sending:
                sent = await connection.fetch(
                    self._sql.signal_send,
                    [row["instance_id"] for row, _ in sending],
                    [message for _, message in sending],  # as they stand in the database, sealed or not
                    [str(row["uid"]) for row, _ in sending],
                    limits.UNCONSUMED_SIGNALS,
                )
                _judge(sending, sent, round_=round_)
            if round_.fates:
                columns = [[getattr(fate, field.name) for fate in round_.fates] for field in dataclasses.fields(Fate)]
                await connection.execute(self._sql.signal_resource_decide, *columns)
        return round_

    def _sort(self, row: Record, body: Body | None, *, round_: Round, sending: _Sending) -> None:
        """Put a signal where it belongs: decided without a look, to be sent, or to have its payload read."""
        uid, instance_id = row["uid"], row["instance_id"]
        if instance_id is None:
            round_.fates.append(Fate(uid, "Pending", "RunMissing"))
        elif not row["is_there"] or row["is_finished"]:
            reason = "RunFinished" if row["is_there"] else "RunRemoved"
            round_.fates.append(Fate(uid, "Failed", reason, instance_id=instance_id))
        elif row["is_behind"]:
            round_.fates.append(Fate(uid, "Pending", "SignalsFull", instance_id=instance_id))
        elif row["config_map"] is None:
            sending.append((row, row["payload"]))
        elif body is None or body.instance_id != instance_id:
            fields = [field.name for field in dataclasses.fields(Unread)]
            round_.unread.append(Unread(*(row[field] for field in fields)))
        elif body.message is None:
            phase: Phase = "Failed" if body.reason == "PayloadInvalid" else "Pending"
            round_.fates.append(Fate(uid, phase, body.reason, body.detail, instance_id))
        else:
            sending.append((row, self._sealed(body.message)))

    def _sealed(self, message: bytes) -> bytes:
        """Seal a message as that of `signal_send.sql`, whose second parameter it is."""
        _, messages = self._sealing.sealed("signal_send", (None, [message]))
        return bytes(cast("list[bytes]", messages)[0])

    async def due(self, namespaces: Sequence[str]) -> Due:
        """Say whether any signal may get further now, is to be shown or deleted, or will when time has passed."""
        [row] = await self._pool.fetch(self._sql.signal_resource_due, namespaces)
        return Due(**row)

    async def for_runs(self, instance_ids: Sequence[str]) -> list[Waiting]:
        """Give the signals that wait for these runs."""
        rows = await self._pool.fetch(self._sql.signal_resource_pending, instance_ids)
        return [Waiting(**row) for row in rows]

    async def waiting(self, namespaces: Sequence[str], *, after: UUID = _LOWEST, at_most: int = 1_000) -> list[Waiting]:
        """Give a page of the signals that may get further now, by uid; no namespaces means all."""
        rows = await self._pool.fetch(self._sql.signal_resource_waiting, namespaces, after, at_most)
        return [Waiting(**row) for row in rows]

    async def unshown(
        self, namespaces: Sequence[str], *, after: UUID = _LOWEST, at_most: int = 200
    ) -> list[SignalFact]:
        """Give a page of the signals whose status does not show what became of them, by uid."""
        rows = await self._pool.fetch(self._sql.signal_resource_unshown, namespaces, after, at_most)
        return [_fact(row) for row in self._sealing.opened(rows)]

    async def shown(self, writes: Sequence[Shown]) -> None:
        """Remember what was written."""
        columns = [[getattr(write, field.name) for write in writes] for field in dataclasses.fields(Shown)]
        sealed = self._sealing.sealed("signal_resource_shown", columns)
        await self._pool.execute(self._sql.signal_resource_shown, *sealed)

    async def expired(self, namespaces: Sequence[str], *, at_most: int = 100) -> list[tuple[UUID, str, str]]:
        """Give uid, namespace and name of those that asked to be deleted by now."""
        rows = await self._pool.fetch(self._sql.signal_resource_expired, namespaces, at_most)
        return [(row["uid"], row["namespace"], row["name"]) for row in rows]

    async def known(self, namespaces: Sequence[str]) -> dict[UUID, Known]:
        """Give all signal resources believed to live; no namespaces means all."""
        rows = await self._pool.fetch(self._sql.signal_resource_known, namespaces)
        return {row["uid"]: Known(row["namespace"], row["name"], row["generation"], row["deleting"]) for row in rows}

    async def forget(self, *, older_than_seconds: float) -> None:
        """Forget signal resources that were found deleted longer ago than this."""
        await self._pool.execute(self._sql.signal_resource_forget, older_than_seconds)


def _judge(sending: _Sending, sent: Sequence[Record], *, round_: Round) -> None:
    """Read what became of those that were sent."""
    fates = {row["position"]: row["fate"] for row in sent}
    for position, (row, _) in enumerate(sending, 1):
        uid, instance_id = row["uid"], row["instance_id"]
        match fates.get(position):
            case "Sent" | "Known":
                round_.fates.append(Fate(uid, "Delivered", "Delivered", instance_id=instance_id))
            case "Full":
                round_.fates.append(Fate(uid, "Pending", "SignalsFull", instance_id=instance_id))
            case _:  # it was under way a moment ago: perhaps the next run has begun
                round_.again.append(uid)


def _fact(row: Record) -> SignalFact:
    """Make a fact of a row; a status that cannot be opened is as good as none."""
    values: dict[str, Any] = {field.name: row[field.name] for field in dataclasses.fields(SignalFact)[:-1]}
    try:
        status = row["status"]
    except errors.PayloadSealedError:
        status = None
    return SignalFact(**values, status=status)

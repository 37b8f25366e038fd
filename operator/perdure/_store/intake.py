"""Takes sights of resources in: reads what is known of them, has it decided, carries the decisions out.

It knows the rows of resources and runs, and which statement reads or writes them; what a sight means is decided in
`desired.py`, and it must not know better. The caller gives a connection with a transaction begun; when that is
committed, everything has happened, and before, nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import asyncpg
import asyncpg.pool
import msgspec

from perdure._core import desired, history, lifecycle
from perdure._core.desired import Decision, Remembered, Run, Seen, Tombstone
from perdure._store import connect, statements
from perdure._store.sealing import Sealing

__all__ = ["Taken", "take_in"]

Connection: TypeAlias = "connect.Connection | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_encode = msgspec.json.Encoder().encode


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A sight with news, what was decided, and the run that the resource has from now on."""

    seen: Seen
    known: Remembered | None
    decision: Decision
    run: int | None
    instance_id: str | None
    is_archived: bool

    @property
    def starts(self) -> bool:
        """Whether a run begins."""
        return self.decision.begins == "Start"

    @property
    def is_of_earlier_life(self) -> bool:
        """Whether the run is one that only the status of the resource knows."""
        return self.decision.begins == "Adopt" and self.known is None and self.seen.earlier is not None

    @property
    def acts(self) -> bool:
        """Whether a worker may have something to do, or somebody who waits for an end."""
        return self.starts or self.decision.steering is not None

    @property
    def has_chores(self) -> bool:
        """Whether its finalizer is not as it should be or keeps a deletion waiting, or a change waits for its turn."""
        if self.seen.gone:
            return False
        is_kept = self.seen.deleting and self.seen.has_finalizer
        return self.decision.waiting != "" or is_kept or self.seen.has_finalizer != self.decision.wants_finalizer


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """What is known of the resource of a sight."""

    seen: Seen
    known: Remembered | None
    tombstone: Tombstone | None
    last_run: int


async def take_in(connection: Connection, batch: Sequence[Seen], *, sealing: Sealing) -> list[Taken]:
    """Take in a batch within a transaction; give what brought news. A uid may be in it once."""
    sql = statements.load()
    await connection.execute(sql.sight_lock, "resources")
    found = await _read(connection, batch)
    news = [one for one in found if desired.is_news(one.seen, one.known)]
    if not news:
        return []
    runs = await _lock_runs(connection, news)
    taken = _decide(news, runs)
    adopted = [one.instance_id for one in taken if one.decision.begins == "Adopt"]
    if adopted:
        await connection.execute(sql.resource_release, adopted)
    await connection.execute(sql.resource_apply, *sealing.sealed("resource_apply", _arguments(taken)))
    over = _not_buried(news, taken)
    if over:
        await connection.execute(sql.resource_exhume, *map(list, zip(*over, strict=True)))
    return taken


async def _read(connection: Connection, batch: Sequence[Seen]) -> list[_Found]:
    columns = [[getattr(seen, field) for seen in batch] for field in ("uid", "namespace", "name")]
    rows = await connection.fetch(statements.load().resource_read, *columns)
    return [
        _Found(seen, _known(row, seen), _tombstone(row), row["last_run"] or 0)
        for seen, row in zip(batch, rows, strict=True)
    ]


async def _lock_runs(connection: Connection, news: Sequence[_Found]) -> Mapping[str, asyncpg.Record]:
    """Lock the runs that there are, and those that may be adopted."""
    wanted = {one.known.instance_id for one in news if one.known is not None}
    wanted |= {one.tombstone.instance_id for one in news if one.tombstone is not None}
    wanted |= {one.seen.earlier.instance_id for one in news if one.known is None and one.seen.earlier is not None}
    ids = sorted(instance_id for instance_id in wanted if instance_id is not None)
    if not ids:
        return {}
    rows = await connection.fetch(statements.load().resource_lock_runs, ids)
    return {row["instance_id"]: row for row in rows}


def _decide(news: Sequence[_Found], runs: Mapping[str, asyncpg.Record]) -> list[Taken]:
    """Decide in the order of arrival: runs that begin get their numbers in it, and only the first one adopts."""
    numbers: dict[tuple[str, str], int] = {}
    adopted: set[str] = set()
    taken = []
    for one in news:
        seen, known, tombstone = one.seen, one.known, desired.remains(one.seen, one.known, buried=one.tombstone)
        if tombstone is not None and tombstone.instance_id in adopted:
            tombstone = None
        row = runs.get(known.instance_id) if known is not None and known.instance_id is not None else None
        run = _run(row) if row is not None and row["resource_uid"] == seen.uid else None
        decision = desired.decide(seen, known, run=run, tombstone=tombstone)
        number, instance_id = (None, None) if known is None else (known.run, known.instance_id)
        is_archived = False
        name = (seen.namespace, seen.name)
        if (earlier_run := _earlier_run(seen, known)) is not None:
            numbers[name] = max(earlier_run, numbers.get(name, one.last_run))
        match decision.begins:
            case "Start":
                number = numbers[name] = numbers.get(name, one.last_run) + 1
                instance_id = f"{seen.namespace}/{seen.name}:{number}"
            case "Adopt" if tombstone is not None:
                number, instance_id = tombstone.run, tombstone.instance_id
                numbers[name] = max(number, numbers.get(name, one.last_run))
                adopted.add(instance_id)
                is_archived = _is_archived(seen, tombstone, left=runs.get(instance_id))
            case _:
                pass
        taken.append(Taken(seen, known, decision, number, instance_id, is_archived))
    return taken


def _not_buried(news: Sequence[_Found], taken: Sequence[Taken]) -> set[tuple[str, str]]:
    """Name those of whom nothing is left to adopt: a run has begun, or was adopted, or they were not deleted."""
    begun = {(one.seen.namespace, one.seen.name) for one in taken if one.decision.begins}
    return {
        (one.seen.namespace, one.seen.name)
        for one in news
        if one.tombstone is not None and ((one.seen.namespace, one.seen.name) in begun or _lives_on(one))
    }


def _lives_on(found: _Found) -> bool:
    """Whether a resource with a tombstone was changed instead of deleted.

    An equal generation says nothing: a sight may be older than the deletion, which does not hit a newer one.
    """
    seen, known, tombstone = found.seen, found.known, found.tombstone
    is_its_own = known is not None and tombstone is not None and tombstone.uid == seen.uid
    return is_its_own and not seen.is_leaving and known is not None and seen.generation > known.generation


def _is_archived(seen: Seen, tombstone: Tombstone, *, left: asyncpg.Record | None) -> bool:
    """Tell whether of an adopted run nothing is left but its status. One that was open and is not there is missing."""
    if seen.earlier is not None and seen.earlier.instance_id == tombstone.instance_id:
        return left is None and seen.earlier.is_over
    return left is None or left["resource_uid"] != tombstone.uid


def _known(row: asyncpg.Record, seen: Seen) -> Remembered | None:
    if not row["is_known"]:
        return None
    digest = None if seen.spec is None else hashlib.sha256(seen.spec).hexdigest()
    return Remembered(
        generation=row["generation"],
        is_same=(row["spec_digest"], row["refusal"]) == (digest, seen.refusal),
        deleting=row["deleting"],
        gone=row["is_gone"],
        run=row["run"],
        instance_id=row["instance_id"],
        run_as=row["run_as"],
        request=row["request"],
        told=row["told"],
        waiting=row["waiting"],
        cancel_reason=row["cancel_reason"],
        timeout_seconds=row["timeout_seconds"],
        deletion=row["deletion_policy"],
        has_finalizer=row["has_finalizer"],
        is_adopted=row["is_adopted"],
    )


def _tombstone(row: asyncpg.Record) -> Tombstone | None:
    if row["buried_uid"] is None:
        return None
    return Tombstone(row["buried_request"], row["buried_run"], row["buried_instance_id"], row["buried_uid"])


def _run(row: asyncpg.Record) -> Run:
    return Run(**{field.name: row[field.name] for field in dataclasses.fields(Run)})


def _arguments(taken: Sequence[Taken]) -> list[object]:
    """Give the arguments of `resource_apply`."""
    return [
        _encode([_columns(one) for one in taken]).decode(),
        [one.seen.spec for one in taken],
        [one.seen.refusal for one in taken],
        [one.seen.input if one.starts else None for one in taken],
        [_signal(one) for one in taken],
        [one.seen.earlier.status if one.is_archived and one.seen.earlier is not None else None for one in taken],
        [_error(one) for one in taken],
    ]


def _columns(one: Taken) -> dict[str, Any]:
    seen, known, decision = one.seen, one.known, one.decision
    policies, steering = seen.policies, decision.steering
    keeps_request = known is not None and known.run is not None and not decision.begins
    columns: dict[str, Any] = {
        "uid": seen.uid,
        "namespace": seen.namespace,
        "name": seen.name,
        "generation": seen.generation,
        "deleting": seen.deleting,
        "gone": seen.gone,
        "run": one.run,
        "used_run": _used_run(one),
        "instance_id": one.instance_id,
        "run_as": cast("Remembered", known).run_as if keeps_request else seen.run_as,
        "request": _request(one),
        "told": decision.told,
        "waiting": decision.waiting,
        "cancel_reason": decision.cancel_reason,
        "timeout_seconds": policies.timeout_seconds,
        "old_timeout_seconds": None if known is None else known.timeout_seconds,
        "ttl_seconds": policies.ttl_seconds,
        "retention_seconds": policies.retention_seconds if steering is None else steering.retention_seconds,
        "deletion_policy": policies.deletion,
        "on_nondeterminism": policies.on_nondeterminism if steering is None else steering.on_nondeterminism,
        "ready_when": policies.ready_when,
        "has_finalizer": seen.has_finalizer,
        "wants_finalizer": decision.wants_finalizer,
        "is_adopted": decision.is_adopted,
        "is_archived": one.is_archived,
        "expires_at": decision.expires_at,
        "keeps_expiry": decision.keeps_expiry,
        "begins": decision.begins,
        "orchestration": seen.orchestration,
        "version": seen.version,
        "suspend_reason": desired.SUSPENDED_BY_SPEC if policies.suspend else "",
        "cancelled": decision.cancel_reason is not None,
        "steers": steering is not None,
    }
    if steering is not None:
        columns |= {
            "new_phase": steering.phase,
            "pauses": steering.is_suspended,
            "pause_reason": steering.suspend_reason,
            "ends": steering.ends,
            "wakes": steering.wakes,
            "cancel": steering.cancel,
            "tells": steering.tells,
            "clock": steering.clock,
        }
    return columns


def _request(one: Taken) -> str | None:
    """Give the digest of what the run was started with; of one of an earlier release that is what the spec says."""
    if one.decision.begins:
        return one.seen.request
    if one.run is None:
        return None
    return (one.known.request if one.known is not None else None) or one.seen.request or None


def _used_run(one: Taken) -> int | None:
    """Give the number that no other run of the name may have from now on; None when that is known."""
    used = [one.run if one.decision.begins else None, _earlier_run(one.seen, one.known)]
    return max((run for run in used if run is not None), default=None)


def _earlier_run(seen: Seen, known: Remembered | None) -> int | None:
    """Give the number of a run that only the status of a resource knows: it is used, whatever becomes of the sight."""
    return None if known is not None or seen.earlier is None else seen.earlier.run


def _error(one: Taken) -> bytes | None:
    """Give why a run is over that no worker ever had; None for every other."""
    decision = one.decision
    is_over = decision.begins == "Start" or (decision.steering is not None and decision.steering.ends)
    if not is_over or decision.cancel_reason is None:
        return None
    return lifecycle.error_of(history.CancelOrchestration(decision.cancel_reason))


def _signal(one: Taken) -> bytes | None:
    """Give the event that tells a run of its changed request."""
    if one.decision.steering is None or not one.decision.steering.tells:
        return None
    return history.encode_event(history.SignalReceived(desired.UPDATE_SIGNAL, msgspec.Raw(one.seen.input)))

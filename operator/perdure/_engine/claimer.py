"""Claiming instances and making residents of them; collecting news for those this worker has.

Theory of operation. One statement takes what is due and ownerless, up to this worker's room, and notes which owned
instances have messages. Claimed instances are rebuilt from history in portions, each by a few set-based reads (turns,
messages, tasks); between two replays everybody else gets a turn, the heartbeat above all. A NOTIFY or a local nudge
runs the loop at once; a poll stands behind both. When there is no room left, idle residents are put away first: the
database keeps them as cheaply as ever.

A claim whose answer was lost leaves instances that are ours and not here, and may have noted messages and pauses: the
first are given up (`doubts.py`), the marks and inboxes of all residents are read again. News of those who are leaving
are marked again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import TypeVar

import msgspec
import structlog

from perdure import errors
from perdure._core import history, limits, replay
from perdure._core.definition import AnyOrchestration, OrchestrationRegistry
from perdure._engine import inbox
from perdure._engine.activities import Known
from perdure._engine.children import child_taken, lost_children
from perdure._engine.doubts import LOOK_SECONDS, Doubts
from perdure._engine.guard import outside_tasks
from perdure._engine.resident import Parent, Resident
from perdure._engine.trials import TurnTrials, portions
from perdure._engine.watchdog import Watchdog
from perdure._store.store import Record, Store, is_transient

__all__ = ["Claimer", "Loaded", "offered"]

_log = structlog.get_logger(__name__)
T = TypeVar("T")
_CLAIM_SIZE = 500
_EVICT_SHARE = 20
_UNREADABLE = (errors.MessageUnreadableError, errors.PayloadSealedError)
"""A message that cannot be taken in, by anybody or by this process; it stays where it is, and holds its instance."""


class Loaded(msgspec.Struct, frozen=True):
    """A resident just rebuilt, what earlier owners left of its activities, and whether the last may have died of it."""

    resident: Resident
    known: dict[int, Known]
    is_suspect: bool


class Claimer:
    """Keeps this worker in work."""

    def __init__(
        self,
        store: Store,
        registry: OrchestrationRegistry,
        owner_id: uuid.UUID,
        *,
        residents: dict[str, Resident],
        max_instances: int,
        poll_seconds: float,
    ) -> None:
        """Take instances of `registry` into `residents`; what stands below is set by the worker.

        Those that are `leaving` at the moment are not taken: they may be given back already, and will be once more.
        """
        self._store = store
        self._registry = registry
        self._owner_id = owner_id
        self._residents = residents
        self._max_instances = max_instances
        self._poll_seconds = poll_seconds
        self._names, self._versions = offered(registry)
        self._nudged = asyncio.Event()
        self.doubts = Doubts(store, owner_id, is_here=self._is_here)
        self.leaving: Collection[str]
        self.watchdog: Watchdog
        self.trials: TurnTrials
        self.on_claimed: Callable[[datetime.datetime], None]
        self.on_loaded: Callable[[list[Loaded]], Awaitable[None]]
        self.on_news: Callable[[Resident], None]
        self.hasten: Callable[[Sequence[Resident]], Awaitable[None]]
        self.on_paused: Callable[[Resident], None]
        self.on_resumed: Callable[[Resident], None]
        self.hold: Callable[[Resident, Exception], Awaitable[None]]
        self.release: Callable[[Sequence[Resident]], Awaitable[None]]
        self.evict: Callable[[Resident], None]

    def nudge(self) -> None:
        """Look at once."""
        self._nudged.set()

    async def run(self) -> None:
        """Claim for ever."""
        while True:
            self._nudged.clear()
            room = await self._make_room()
            if self.doubts.are_due:
                await self._take_news(await self.doubts.look(self.leaving))
            try:
                size, leaving = min(room, _CLAIM_SIZE), list(self.leaving)
                rows = await self._store.fetch("claim", self._owner_id, self._names, self._versions, size, leaving)
                self._store.availability.regained()
            except Exception as error:
                if not is_transient(error):
                    raise
                self._store.availability.lost(error, "claim")
                self.doubts.note()
                await asyncio.sleep(min(LOOK_SECONDS, self._poll_seconds))
                continue
            claimed = [row for row in rows if row["is_claimed"]]
            if claimed:
                self.on_claimed(max(row["claimed_at"] for row in claimed))
            await self._load(claimed)
            news = [row for row in rows if not row["is_claimed"]]
            missed = [row["instance_id"] for row in news if not self._is_here(row["instance_id"])]
            await self._take_news(news)
            if missed:
                await self._return_news(missed)
            if len(claimed) < _CLAIM_SIZE or room <= len(claimed):
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(min(self._poll_seconds, self.doubts.seconds_until_look)):
                await self._nudged.wait()
        except TimeoutError:
            return

    async def _make_room(self) -> int:
        room = self._max_instances - len(self._residents)
        if room > 0:
            return room
        idle = [resident for resident in self._residents.values() if resident.is_idle and not resident.is_gone]
        await self.release(idle[: max(1, self._max_instances // _EVICT_SHARE)])
        return max(0, self._max_instances - len(self._residents))

    async def _take_news(self, rows: Sequence[Record]) -> None:
        """Notice who was suspended or resumed meanwhile, and bring the messages."""
        told = [(self._residents[row["instance_id"]], row) for row in rows if self._is_here(row["instance_id"])]
        for resident, row in told:
            if resident.is_suspended == row["is_suspended"]:
                continue
            resident.is_suspended = row["is_suspended"]
            changed = self.on_paused if resident.is_suspended else self.on_resumed
            changed(resident)
        await self.hasten([resident for resident, _ in told])
        await self._bring_news([row["instance_id"] for row in rows])

    async def _return_news(self, instance_ids: Sequence[str]) -> None:
        """Mark those again that have left, or are leaving: their next owner must hear of what the mark was for."""
        woken = await self._store.fetch_patiently("instances_wake", instance_ids)
        ours = [row["instance_id"] for row in woken if row["owner_id"] == self._owner_id]
        if any(instance_id not in self._residents for instance_id in ours):
            self.doubts.note()
        if len(ours) < len(woken):
            self.nudge()

    def _is_here(self, instance_id: str) -> bool:
        """Say whether it is in memory and not about to leave."""
        resident = self._residents.get(instance_id)
        return resident is not None and not resident.is_gone

    async def _bring_news(self, instance_ids: Sequence[str]) -> None:
        """Let residents take the turns that their messages ask for."""
        for portion in _portions(instance_ids, _CLAIM_SIZE):
            for resident in await self._read_inbox(portion):
                self.on_news(resident)

    async def _load(self, claimed: Sequence[Record]) -> None:
        """Rebuild claimed instances by replay and hand them over; what owners may have died of is tried."""
        self.trials.expect([row["instance_id"] for row in claimed if row["recoveries"]])
        for rows in portions(claimed, lambda row: row["recoveries"]):
            ids = [row["instance_id"] for row in rows]
            if rows[0]["recoveries"]:
                async with self.trials.of(ids):
                    loaded = await self._rebuild_all(rows)
            else:
                loaded = await self._rebuild_all(rows)
            await self._find_lost_children([item.resident for item in loaded])
            await self.on_loaded([item for item in loaded if not item.resident.is_gone])
            self.trials.expect_no_longer([item for item in ids if not self._has_turn_to_take(item)])

    def _has_turn_to_take(self, instance_id: str) -> bool:
        resident = self._residents.get(instance_id)
        return resident is not None and resident.is_queued

    async def _rebuild_all(self, rows: Sequence[Record]) -> list[Loaded]:
        """Bring instances into memory: their history, their activities, their messages."""
        ids = [row["instance_id"] for row in rows]
        for instance_id in ids:
            if instance_id in self._residents:  # of an instance that was removed: this one has its id and nothing else
                self.evict(self._residents[instance_id])
        begun = [row for row in rows if row["turn"] > 0 and not _is_poison(row)]
        keys = ([row["instance_id"] for row in begun], [row["execution"] for row in begun])
        turns: dict[str, list[Record]] = {}
        known: dict[str, dict[int, Known]] = {}
        sealed: dict[str, Exception] = {}
        if begun:
            history_rows = await self._store.fetch_patiently("history_load", *keys)
            turns = {key: list(group) for key, group in itertools.groupby(history_rows, lambda row: row["instance_id"])}
            for row in await self._store.fetch_patiently("tasks_load", *keys):
                try:
                    known.setdefault(row["instance_id"], {})[row["seq"]] = _known(row)
                except errors.PayloadSealedError as error:
                    sealed[row["instance_id"]] = error
        loaded = []
        for row in rows:
            instance_id = row["instance_id"]
            resident = await self._rebuild(row, turns.get(instance_id, []), sealed.get(instance_id))
            if resident is not None:
                self._residents[instance_id] = resident
                loaded.append(Loaded(resident, known.get(instance_id, {}), row["is_suspect"]))
            if instance_id in turns or row["carried"]:
                await asyncio.sleep(0)  # to read what there was may have taken long
        # Before the first turn: an earlier cancel must find nothing done.
        await self._read_inbox([row["instance_id"] for row in rows if row["has_messages"]], is_cold=True)
        return loaded

    async def _find_lost_children(self, residents: Sequence[Resident]) -> None:
        """Tell parents whose children are not there, which nobody may have told them before their last owner went."""
        waiting = {
            (resident.instance_id, seq): (resident, operation.command)
            for resident in residents
            for seq, operation in resident.execution.pending.items()
            if isinstance(operation.command, history.ScheduleSubOrchestration)
        }
        lost = await lost_children(self._store, [resident.child_key(child) for resident, child in waiting.values()])
        for key in lost:
            resident, child = waiting[key]
            resident.events.append(child_taken(child))

    async def _rebuild(self, row: Record, turns: Sequence[Record], trouble: Exception | None) -> Resident | None:
        """Replay one instance; one whose history does not fit the code is held, and the others are not touched.

        `trouble` is what came up before, in what else was read of it.
        """
        definition = self._definition(row["name"], row["version"])
        execution = replay.Execution(definition, replay.Identity(row["instance_id"], row["execution"]))
        resident = Resident(
            row["instance_id"],
            row["run_as"],
            row["resource_uid"],
            execution,
            turn=row["turn"],
            phase=row["phase"],
            parent=_parent_or_none(row),
            on_nondeterminism=row["on_nondeterminism"],
            recoveries=row["recoveries"],
            created_at=row["created_at"],
        )
        if _is_poison(row):
            return await self._end_or_hold(resident, turns, errors.InstancePoisonError(row["recoveries"]))
        if trouble is not None:
            return await self._end_or_hold(resident, turns, trouble)
        try:
            _check_whole(row, turns)
            if not turns:
                resident.events += _beginning(row, definition)
                return resident
            with outside_tasks():
                self.watchdog.step(resident.instance_id, _replay, execution, turns)
        except Exception as error:  # noqa: BLE001 - whatever one history does, the others go on
            return await self._end_or_hold(resident, turns, error)
        return resident

    async def _end_or_hold(self, resident: Resident, turns: Sequence[Record], error: Exception) -> Resident | None:
        """Hold an instance that this code cannot run; one that is to be cancelled or to fail ends without it.

        One that only waits for its key ends in no way: its code is right, and has to compensate when it is cancelled.
        """
        if isinstance(error, errors.PayloadSealedError):
            await self.hold(resident, error)
            return None
        resident.events = []
        for message in await self._store.fetch_patiently("inbox_load", [resident.instance_id]):
            with contextlib.suppress(*_UNREADABLE):
                inbox.take_in(resident, message)
        cancels = [*_cancels_of(turns), *(e for e in resident.events if isinstance(e, history.CancelRequested))]
        if not (cancels or resident.fails_on(error)):
            await self.hold(resident, error)
            return None
        children = await self._store.fetch_patiently("children_open", resident.instance_id)
        resident.orphans = [child["instance_id"] for child in children]
        if cancels:
            resident.end_by_force(cancels)
        else:
            resident.failure = error
        return resident

    def _definition(self, name: str, version: str) -> AnyOrchestration:
        found = self._registry.find_or_none(name, version) if version else self._registry.latest_or_none(name)
        if found is None:
            message = f"claimed {name} {version}, which is not registered here"
            raise LookupError(message)
        return found

    async def _read_inbox(self, instance_ids: Sequence[str], *, is_cold: bool = False) -> list[Resident]:
        """Bring messages to the residents and name those; each message enters one turn, whose commit deletes it.

        To one that was just rebuilt its timers come due in the same order of time as its messages. One with a message
        that cannot be read is held, unless it is to end.
        """
        if not instance_ids:
            return []
        readers = [self._residents[item] for item in instance_ids if item in self._residents]
        forgettable = [(resident, inbox.start_reading(resident)) for resident in readers]
        informed: list[Resident] = []
        confused: dict[str, tuple[Resident, errors.PerdureError]] = {}
        for row in await self._store.fetch_patiently("inbox_load", list(instance_ids)):
            resident = self._residents.get(row["instance_id"])
            if resident is None or resident.is_gone or row["message_id"] in resident.seen_messages:
                continue
            if is_cold:
                inbox.ring_before(resident, row["created_at"])
            try:
                inbox.take_in(resident, row)
            except _UNREADABLE as error:
                confused.setdefault(resident.instance_id, (resident, error))
            else:
                informed.append(resident)
        for resident, trouble in confused.values():
            if isinstance(trouble, errors.PayloadSealedError) or not resident.is_to_end:
                await self.hold(resident, trouble)
        for resident, ids in forgettable:
            resident.seen_messages -= ids
        return informed


def offered(registry: OrchestrationRegistry) -> tuple[list[str], list[str]]:
    """Give (names, versions) a worker can claim; version '' stands for instances that are not pinned yet."""
    pairs = [(definition.name, definition.version) for definition in registry]
    pairs += [(name, "") for name in registry.names()]
    return [name for name, _ in pairs], [version for _, version in pairs]


def _check_whole(row: Record, turns: Sequence[Record]) -> None:
    """Refuse a history with holes; of a later execution without any turn nobody can say whether it took one."""
    numbers = [turn["turn"] for turn in turns]
    first = 0 if row["execution"] == 1 else row["turn"] - len(turns)
    if numbers != list(range(first, row["turn"])):
        raise errors.HistoryMissingError(row["instance_id"], row["turn"])


def _beginning(row: Record, definition: AnyOrchestration) -> list[history.Event]:
    """Give what an execution without a turn begins with."""
    started = history.OrchestrationStarted(
        definition.name, definition.version, msgspec.Raw(row["input"]), history.PROTOCOL
    )
    return [started, *history.decode_carried(row["carried"])]


def _replay(execution: replay.Execution, turns: Sequence[Record]) -> None:
    for turn in turns:
        execution.replay(history.decode_turn(turn["at"], turn["body"]))


def _parent_or_none(row: Record) -> Parent | None:
    if row["parent_id"] is None:
        return None
    return Parent(row["parent_id"], row["parent_execution"], row["parent_seq"])


def _cancels_of(turns: Sequence[Record]) -> list[history.Event]:
    """Find the cancels that were taken in, in what can be read of a history."""
    found: list[history.Event] = []
    for turn in turns:
        with contextlib.suppress(msgspec.DecodeError, errors.PayloadSealedError):
            events = history.decode_turn(turn["at"], turn["body"]).events
            found += [event for event in events if isinstance(event, history.CancelRequested)]
    return found


def _is_poison(row: Record) -> bool:
    """Say whether so many owners died of it in a row that no other should try."""
    return bool(row["recoveries"] > limits.RECOVERIES)


def _portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _known(row: Record) -> Known:
    return Known(
        row["failed_attempts"],
        row["losses"],
        row["visible_at"],
        convictions=row["convictions"],
        trials=row["trials"],
        detail=row["detail"],
    )

"""Taking turns and committing them in groups.

Theory of operation. Residents with news queue here. While one commit is on its way the next batch gathers; there is no
artificial delay: a batch is what arrived meanwhile. Every resident of a batch takes its turn (pure code, microseconds),
all turns go out in one statement that fences, consumes, appends and updates, and gives back the ids it accepted (I3,
I4). Only then is anything allowed to happen: lines are logged, activities start, timers are set, clients are told (I2).
A batch that is full before it can go takes its turns meanwhile: then this process and the database work side by side.
What is taken ahead may be gone when it can go. It is dropped: held and resumed here, its row would not tell the turn
from the one that is taken anew.

What can go wrong. Database away: the same turns are sent again until it answers (I9). Answer lost: a turn that is now
refused is read back, and counts as ours when the row stands at the next turn under our name (I8). Refused: somebody
else owns the instance now; it is evicted. The statement fails for a reason of its own: the batch is halved until the
one bad instance stands alone. Only that one fails, when its data is at fault, or is held, when it is not.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence

import structlog

from perdure._core import history, limits
from perdure._core.definition import AnyOrchestration, OrchestrationRegistry
from perdure._engine import batch, crowding, intake
from perdure._engine.children import child_taken, lost_children
from perdure._engine.clock import Clock
from perdure._engine.departures import Departures
from perdure._engine.guard import outside_tasks
from perdure._engine.measures import Measures
from perdure._engine.resident import Resident
from perdure._engine.trials import TurnTrials, portions
from perdure._engine.turn import TakenTurn
from perdure._engine.watchdog import Watchdog
from perdure._store.store import REFUSALS, Record, Store, is_of_data, is_too_much, is_transient, retrying

__all__ = ["Committer"]

_log = structlog.get_logger(__name__)
_RETRY_SECONDS = 0.5

_Taken = tuple[list[TakenTurn], list[tuple[Resident, Exception]]]
"""The turns of a batch, and whose code broke or does not fit."""


class _TooMuchError(Exception):
    """The database cannot take so many turns in one statement."""


class _BrokenError(Exception):
    """Code that cannot go on, and whose instance is to be put on hold."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Committer:
    """The one lane on which this worker's turns reach Postgres."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        owner_id: uuid.UUID,
        *,
        registry: OrchestrationRegistry,
        keep_executions: int,
    ) -> None:
        """Commit for `owner_id`; what stands below is set by the life.

        `on_committed` lets effects happen, given which children could not be started; `on_lost` evicts;
        `departures` are the way out for who is to be held, or is paused and has nothing to do; `on_unread` is told of
        news that a claim may have missed.
        """
        self._store = store
        self._clock = clock
        self._owner_id = owner_id
        self._registry = registry
        self._keep_executions = keep_executions
        self.watchdog: Watchdog
        self.trials: TurnTrials
        self.on_committed: Callable[[TakenTurn], None]
        self.on_lost: Callable[[Resident], None]
        self.departures: Departures
        self.on_unread: Callable[[], None]
        self._queue: list[Resident] = []
        self._ahead: _Taken | None = None
        self._is_sending = False
        self._is_full = asyncio.Event()
        self._has_work = asyncio.Event()
        self._is_drained = asyncio.Event()
        self._is_drained.set()
        self._loop = asyncio.get_running_loop()
        self.measures = Measures()
        self.turns = 0
        self.commits = 0

    def mark(self, resident: Resident) -> None:
        """Queue a resident for its next turn."""
        if resident.takes_turns and not (resident.is_queued or resident.is_in_flight):
            resident.is_queued = True
            self._queue.append(resident)
            if resident.recoveries:
                self.trials.expect([resident.instance_id])
            self._has_work.set()
            self._is_drained.clear()
            if self._may_go_ahead:
                self._is_full.set()

    @property
    def has_turns(self) -> bool:
        """Whether a turn is to be taken, or on its way."""
        return not self._is_drained.is_set()

    async def drained(self) -> None:
        """Wait until no turn is to be taken and none is on its way."""
        await self._is_drained.wait()

    async def run(self) -> None:
        """Commit for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_ahead())
            await self._commit_batches()

    async def _commit_batches(self) -> None:
        while True:
            if self._queue or self._ahead:
                await asyncio.sleep(0)  # everybody who is ready in this round of the loop joins the batch
            else:
                self._has_work.clear()
                self._is_drained.set()
                await self._has_work.wait()  # and who wakes this task does so a round before it runs
            turns, broken = self._ahead or await self._turns_of(self._next_batch())
            self._ahead = None
            for resident, error in broken:
                if not resident.is_gone:
                    await self.departures.hold(resident, error, is_tried_again=False)
            await self._commit_all(turns)

    def _next_batch(self) -> list[Resident]:
        """Take those who came first out of the queue."""
        ready = self._queue[: limits.TURNS_PER_COMMIT]
        del self._queue[: limits.TURNS_PER_COMMIT]
        return ready

    @property
    def _may_go_ahead(self) -> bool:
        """Whether one batch is on its way, and the next is full."""
        return self._is_sending and self._ahead is None and len(self._queue) >= limits.TURNS_PER_COMMIT

    async def _take_ahead(self) -> None:
        """Take the turns of each batch that is full while one is on its way, unless somebody in it is to be tried.

        A batch with room waits: who is in it may get more news, and take that in with the same turn. This is a task, so
        that code is stepped in the context of the committer, not of whoever has news, and no error in it passes unseen.
        """
        while True:
            await self._is_full.wait()
            self._is_full.clear()
            is_innocent = not any(resident.recoveries for resident in self._queue[: limits.TURNS_PER_COMMIT])
            if self._may_go_ahead and is_innocent:
                self._ahead = self._take_turns(self._next_batch())

    async def _turns_of(self, residents: Sequence[Resident]) -> _Taken:
        """Take the turns of a batch; what owners may have died of is tried."""
        innocent = [resident for resident in residents if not resident.recoveries]
        turns, broken = self._take_turns(innocent)
        suspects = [] if len(innocent) == len(residents) else [item for item in residents if item.recoveries]
        for group in portions(suspects, lambda resident: resident.recoveries):
            ids = [resident.instance_id for resident in group]
            async with self.trials.of(ids):
                more_turns, more_broken = self._take_turns(group)
            self.trials.expect_no_longer(ids)
            turns += more_turns
            broken += more_broken
        return turns, broken

    def _take_turns(self, residents: Sequence[Resident]) -> _Taken:
        """Let everybody's code run to its next awaits; give the turns, and whose code broke or does not fit."""
        broken: list[tuple[Resident, Exception]] = []
        turns = []
        with outside_tasks():
            for resident in residents:
                try:
                    turn = self._take_turn(resident)
                except _BrokenError as error:
                    broken.append((resident, error.cause))
                else:
                    turns += [turn] if turn else []
        return turns, broken

    def _take_turn(self, resident: Resident) -> TakenTurn | None:
        """Let the code run to its next awaits; None when it may not. Raises `_BrokenError`."""
        resident.is_queued = False
        if not (resident.takes_turns and resident.has_news):
            return None
        resident.is_in_flight = True
        events, resident.events = intake.split(intake.ordered(resident.events))
        at = max(self._clock.now(), resident.execution.now, *resident.moments(events))
        if resident.is_terminated and resident.failure is None:
            resident.end_by_force([event for event in events if isinstance(event, history.CancelRequested)])
            events, resident.events = resident.events, []
        read, resident.messages = intake.split_messages(resident.messages, resident.events)
        ended, resident.over_tasks = intake.split_tasks(resident.over_tasks, resident.events)
        over_tasks = [*ended, *[event.seq for event in events if isinstance(event, history.ActivityFailed)]]
        messages = [message_id for message_id, _ in read]
        turn = TakenTurn(resident, at, events, messages, over_tasks, read=read, ended_tasks=ended)
        if resident.failure is not None:
            turn.fail(resident.failure, [])
            return turn
        try:
            turned = self.watchdog.step(resident.instance_id, resident.execution.advance, at, events)
        except Exception as error:  # noqa: BLE001 - one instance's trouble must not stop the others
            self._end(turn, error)
            return turn
        turn.note_turned(turned)
        if turn.continues is not None:
            turn.next_definition = self._definition_or_none(resident, turn.continues.version)
        turn.encode()
        return turn

    def _end(self, turn: TakenTurn, error: Exception) -> None:
        """Let code that breaks, or does not fit its history, end if it is to end anyway; else raise `_BrokenError`."""
        resident = turn.resident
        cancels = [event for event in turn.events if isinstance(event, history.CancelRequested)]
        if cancels or resident.execution.is_cancelling:
            resident.end_by_force([*cancels])
            turn.events, resident.events = resident.events, []
            turn.note_turned(resident.execution.advance(turn.at, turn.events))
            turn.encode()
        elif resident.fails_on(error):
            turn.fail(error, [])
        else:
            raise _BrokenError(error) from error

    async def _with_room(self, turns: list[TakenTurn]) -> list[TakenTurn]:
        """Give the turns that may be committed; one whose signals somebody has no room for is taken anew, told so."""
        refused = await crowding.refused(self._store, turns)
        if not refused:
            return turns
        recorded = await crowding.recorded(self._store, refused)
        for turn, full in refused.items():
            resident = turn.resident
            resident.is_in_flight = False
            if resident.is_gone:
                continue
            rows = recorded.get(resident.instance_id, [])
            try:
                with outside_tasks():
                    is_ours = self.watchdog.step(resident.instance_id, crowding.rewind, turn, rows)
            except Exception as error:  # noqa: BLE001 - one instance's trouble must not stop the others
                await self.departures.hold(resident, error, is_tried_again=False)
                continue
            if not is_ours:
                self.on_lost(resident)
                continue
            turn.give_back(full)
            self.mark(resident)
            self.departures.leave_if_suspended(resident)
        return [turn for turn in turns if turn not in refused]

    def _definition_or_none(self, resident: Resident, version: str) -> AnyOrchestration | None:
        """Give what the next execution runs: the version asked for, or the highest offered here."""
        name = resident.execution.definition.name
        return self._registry.find_or_none(name, version) if version else self._registry.latest_or_none(name)

    async def _commit_all(self, turns: list[TakenTurn]) -> None:
        """Commit a batch, without the turns of those that are gone; meanwhile the next may take its turns."""
        self._is_sending = True
        if self._may_go_ahead:
            self._is_full.set()
        try:
            for part in batch.parts(await self._with_room(turns)):
                if there := [turn for turn in part if not turn.resident.is_gone]:
                    await self._commit(there)
        finally:
            self._is_sending = False

    async def _commit(self, turns: list[TakenTurn]) -> None:
        began = self._loop.time()
        accepted = await self._send(turns)
        self.measures.commit_duration.observe(self._loop.time() - began)
        self.measures.commit_turns.observe(len(turns))
        stand = [turn for turn in turns if turn.resident.instance_id in accepted]
        await self._find_lost_children(stand)
        await self._wake_unseen(stand)
        self.commits += 1
        for turn in turns:
            turn.resident.is_in_flight = False
            if turn.resident.instance_id in accepted:
                self.turns += 1
                turn.resident.turn += 1
                turn.resident.recoveries = 0
                self.on_committed(turn)
            else:
                _log.warning("instance lost to another owner", instance=turn.resident.instance_id)
                self.on_lost(turn.resident)

    async def _send(self, turns: list[TakenTurn], *, is_unsure: bool = False, is_retried: bool = False) -> set[str]:
        """Write turns; give the ids of those that stand in the database as ours.

        `is_unsure` says that an earlier try may have written some of them, `is_retried` that it was refused.
        """

        async def send() -> list[Record]:
            nonlocal is_unsure
            self.measures.commit_tries += 1
            try:
                statement, arguments = batch.statement(turns, keep_executions=self._keep_executions)
                return await self._store.fetch(statement, self._owner_id, *arguments)
            except Exception as error:
                if len(turns) > 1 and is_too_much(error):
                    raise _TooMuchError from error
                is_unsure = is_unsure or is_transient(error)
                raise

        try:
            rows = await retrying(send, doing="commit turns", availability=self._store.availability)
        except _TooMuchError:
            return await self._send_halves(turns, is_unsure=is_unsure, is_retried=is_retried)
        except REFUSALS as error:
            if not (is_retried or is_of_data(error)):
                _log.warning("turns refused, trying once more", turns=len(turns), error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                return await self._send(turns, is_unsure=is_unsure, is_retried=True)
            if len(turns) > 1:
                return await self._send_halves(turns, is_unsure=is_unsure, is_retried=is_retried)
            return await self._refused(turns[0], error, is_unsure=is_unsure)
        accepted = {row["instance_id"] for row in rows if row["is_turn"]}
        started = {row["instance_id"]: (row["parent_id"], row["parent_seq"]) for row in rows if not row["is_turn"]}
        for turn in turns:
            turn.note_started(started)
        if is_unsure or any(row["has_news"] for row in rows):
            self.on_unread()
        if is_unsure and len(accepted) < len(turns):
            accepted |= await self._landed_before([t for t in turns if t.resident.instance_id not in accepted])
        return accepted

    async def _find_lost_children(self, turns: Sequence[TakenTurn]) -> None:
        """Tell parents of children that could not be started: their id belongs to somebody else."""
        doubtful = [(turn, child) for turn in turns for child in turn.unstarted_children]
        if not doubtful:
            return
        keys = [turn.resident.child_key(child) for turn, child in doubtful]
        lost = await lost_children(self._store, keys)
        for turn, child in doubtful:
            if (turn.resident.instance_id, child.seq) in lost:
                turn.resident.events.append(child_taken(child))

    async def _wake_unseen(self, turns: Sequence[TakenTurn]) -> None:
        """Wake who was sent a message while somebody else was starting it: the commit had no row to mark."""
        unstarted = {start.instance_id for turn in turns for start in turn.unstarted}
        unseen = {message.instance_id for turn in turns for message in turn.sent if message.instance_id in unstarted}
        if unseen:
            await self._store.fetch_patiently("instances_wake", list(unseen))

    async def _landed_before(self, turns: Sequence[TakenTurn]) -> set[str]:
        """Find which refused turns an earlier try had written although its answer was lost (I8)."""
        where = await self._store.where([turn.resident.instance_id for turn in turns])
        landed = set()
        for turn in turns:
            owner_id, number, is_finished = where.get(turn.resident.instance_id, (None, -1, False))
            is_ours = owner_id == self._owner_id or (is_finished and turn.is_last)
            if is_ours and number == turn.resident.turn + 1:
                landed.add(turn.resident.instance_id)
        return landed

    async def _send_halves(self, turns: list[TakenTurn], *, is_unsure: bool, is_retried: bool) -> set[str]:
        """Find the one turn that Postgres will not take, or what it can take at once; the others go through."""
        middle = len(turns) // 2
        first = await self._send(turns[:middle], is_unsure=is_unsure, is_retried=is_retried)
        return first | await self._send(turns[middle:], is_unsure=is_unsure, is_retried=is_retried)

    async def _refused(self, turn: TakenTurn, error: Exception, *, is_unsure: bool) -> set[str]:
        """Deal with the one turn that Postgres will not take.

        Bad data fails its instance; the failure is written without what came in, which may be what was refused. Refused
        again, or not for its data, it is not the turn's fault: the instance is put on hold.
        """
        _log.error("turn refused by the database", instance=turn.resident.instance_id, error=str(error))
        if not turn.events or not is_of_data(error):
            await self.departures.hold(turn.resident, error, reason="TurnRefused")
            return set()
        turn.fail(error, [])
        return await self._send([turn], is_unsure=is_unsure, is_retried=True)

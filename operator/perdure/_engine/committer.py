"""Taking turns and committing them in groups.

Theory of operation. Residents with news queue here. While one commit is on its way the next batch gathers; there is no
artificial delay: a batch is what arrived meanwhile. Every resident of a batch takes its turn (pure code, microseconds),
all turns go out in one statement that fences, consumes, appends and updates, and gives back the ids it accepted (I3,
I4). Only then is anything allowed to happen: lines are logged, activities start, timers are set, clients are told (I2).

What can go wrong. Database away: the same turns are sent again until it answers (I9). Answer lost: a turn that is now
refused is read back, and counts as ours when the row stands at the next turn under our name (I8). Refused: somebody
else owns the instance now; it is evicted. The statement fails for a reason of its own: the batch is halved until the
one bad instance stands alone. Only that one fails, when its data is at fault, or is held, when it is not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import uuid
from collections.abc import Callable, Iterator, Sequence

import structlog

from perdure import errors
from perdure._core import failure, history, lifecycle, limits, replay
from perdure._engine.clock import Clock
from perdure._engine.guard import outside_tasks
from perdure._engine.resident import Resident
from perdure._store.store import REFUSALS, Record, Store, is_of_data, is_too_much, is_transient, retrying

__all__ = ["Committer", "TakenTurn"]

_log = structlog.get_logger(__name__)
_POISON = "Poison"
_RETRY_SECONDS = 0.5


class _TooMuchError(Exception):
    """The database cannot take so many turns in one statement."""


@dataclasses.dataclass(slots=True, eq=False)
class TakenTurn:
    """A turn that was taken in memory and is to be committed; `body` is its row."""

    resident: Resident
    at: datetime.datetime
    events: list[history.Event]
    turned: replay.Turned
    messages: list[int]
    over_tasks: list[int]
    body: bytes = b""

    def encode(self) -> None:
        """Write the row; code that asks for too much at once, or for what cannot be written, has failed."""
        try:
            self.body = history.encode_turn(self.events, self.turned.commands)
        except Exception as error:  # noqa: BLE001 - one instance's trouble must not stop the others
            self.fail(error, [])
        else:
            if len(self.body) > limits.TURN_BYTES + limits.PAYLOAD_BYTES:
                self.fail(_too_large(len(self.body)), self.events)

    def fail(self, error: Exception, events: list[history.Event]) -> None:
        """End the instance here, without what its code asked for."""
        outcome = history.FailOrchestration(failure.of(error))
        self.events, self.turned = events, replay.Turned([outcome], [], outcome)
        self.resident.execution.outcome = outcome
        self.body = history.encode_turn(self.events, self.turned.commands)

    @property
    def phase(self) -> str:
        """The phase of the instance after this turn."""
        return lifecycle.phase_after(self.turned.outcome)


class Committer:
    """The one lane on which this worker's turns reach Postgres."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        owner_id: uuid.UUID,
        *,
        on_committed: Callable[[TakenTurn], None],
        on_lost: Callable[[Resident], None],
        on_held: Callable[[Resident, failure.Failure], None],
    ) -> None:
        """`on_committed` lets effects happen; `on_lost` evicts; `on_held` tells of an instance put on hold."""
        self._store = store
        self._clock = clock
        self._owner_id = owner_id
        self._on_committed = on_committed
        self._on_lost = on_lost
        self._on_held = on_held
        self._queue: list[Resident] = []
        self._has_work = asyncio.Event()
        self._is_drained = asyncio.Event()
        self._is_drained.set()
        self.turns = 0
        self.commits = 0

    def mark(self, resident: Resident) -> None:
        """Queue a resident for its next turn."""
        if not (resident.is_queued or resident.is_in_flight or resident.is_gone):
            resident.is_queued = True
            self._queue.append(resident)
            self._has_work.set()
            self._is_drained.clear()

    async def drained(self) -> None:
        """Wait until no turn is to be taken and none is on its way."""
        await self._is_drained.wait()

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            if not self._queue:
                self._has_work.clear()
                self._is_drained.set()
            await self._has_work.wait()
            await asyncio.sleep(0)  # everybody who is ready in this round of the loop joins the batch
            batch = self._queue[: limits.TURNS_PER_COMMIT]
            del self._queue[: limits.TURNS_PER_COMMIT]
            turns = [turn for resident in batch if (turn := await self._take_turn(resident))]
            for part in _parts(turns):
                await self._commit(part)

    async def _take_turn(self, resident: Resident) -> TakenTurn | None:
        """Let the code run to its next awaits; None when it may not or cannot."""
        resident.is_queued = False
        if resident.is_gone or not resident.events:
            return None
        resident.is_in_flight = True
        at = max(self._clock.now(), resident.execution.now)
        events, resident.events = _split(resident.events)
        messages, resident.messages = resident.messages, []
        over_tasks, resident.over_tasks = _split_tasks(resident.over_tasks, resident.events)
        try:
            with outside_tasks():
                turned = resident.execution.advance(at, events)
        except Exception as error:  # noqa: BLE001 - one instance's trouble must not stop the others
            cancels = [event for event in events if isinstance(event, history.CancelRequested)]
            if not (cancels or resident.execution.is_cancelling):
                await self.hold(resident, error, is_tried_again=False)
                return None
            resident.end_by_force([*cancels])
            events, resident.events = resident.events, []
            turned = resident.execution.advance(at, events)
        turn = TakenTurn(resident, at, events, turned, messages, over_tasks)
        turn.encode()
        return turn

    async def hold(
        self, resident: Resident, error: Exception, *, reason: str = "", is_tried_again: bool = True
    ) -> None:
        """Put an instance on hold with what was expected and what was found; a deploy of right code resumes it.

        It is looked at again now and then, unless that would only run its activities in vain.
        """
        failed = failure.of(error)
        reason = reason or _reason_of(error)
        _log.error("instance put on hold", instance=resident.instance_id, reason=reason, error=failed.message)
        await self._store.fetch_patiently(
            "hold",
            self._owner_id,
            resident.instance_id,
            resident.turn,
            reason,
            lifecycle.encode_failure(failed),
            limits.HOLD_RETRY_SECONDS if is_tried_again and reason != _POISON else None,
        )
        self._on_held(resident, failed)

    async def _commit(self, turns: list[TakenTurn]) -> None:
        accepted = await self._send(turns)
        self.commits += 1
        for turn in turns:
            turn.resident.is_in_flight = False
            if turn.resident.instance_id in accepted:
                self.turns += 1
                turn.resident.turn += 1
                self._on_committed(turn)
            else:
                _log.warning("instance lost to another owner", instance=turn.resident.instance_id)
                self._on_lost(turn.resident)

    async def _send(self, turns: list[TakenTurn], *, is_unsure: bool = False, is_retried: bool = False) -> set[str]:
        """Write turns; give the ids of those that stand in the database as ours.

        `is_unsure` says that an earlier try may have written some of them, `is_retried` that it was refused.
        """
        arguments = _columns(turns)

        async def send() -> list[Record]:
            nonlocal is_unsure
            try:
                return await self._store.fetch("commit_turns", self._owner_id, *arguments)
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
        accepted = {row["instance_id"] for row in rows}
        if is_unsure and len(accepted) < len(turns):
            accepted |= await self._landed_before([t for t in turns if t.resident.instance_id not in accepted])
        return accepted

    async def _landed_before(self, turns: Sequence[TakenTurn]) -> set[str]:
        """Find which refused turns an earlier try had written although its answer was lost (I8)."""
        where = await self._store.where([turn.resident.instance_id for turn in turns])
        landed = set()
        for turn in turns:
            owner_id, number, is_finished = where.get(turn.resident.instance_id, (None, -1, False))
            is_ours = owner_id == self._owner_id or (is_finished and turn.turned.outcome is not None)
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
            await self.hold(turn.resident, error, reason="TurnRefused")
            return set()
        turn.fail(error, [])
        return await self._send([turn], is_unsure=is_unsure, is_retried=True)


def _reason_of(error: Exception) -> str:
    match error:
        case errors.NondeterminismError():
            return "Nondeterministic"
        case errors.InstancePoisonError():
            return _POISON
        case _:
            return "ReplayFailed"


def _split(events: list[history.Event]) -> tuple[list[history.Event], list[history.Event]]:
    """Take what fits into one turn; results that do not, and nothing else, wait for the next.

    So a cancel enters the first turn, whose commit deletes its message: it can neither come twice nor get lost.
    """
    if len(events) * limits.PAYLOAD_BYTES <= limits.TURN_BYTES:
        return events, []
    now = [event for event in events if not isinstance(event, history.ActivityCompleted)]
    results = [event for event in events if isinstance(event, history.ActivityCompleted)]
    total = 0
    for index, event in enumerate(results):
        total += len(event.result)
        if total > limits.TURN_BYTES:
            return [*now, *results[:index]], [*results[index:]]
    return events, []


def _split_tasks(seqs: list[int], waiting: Sequence[history.Event]) -> tuple[list[int], list[int]]:
    """Keep the rows of activities whose results wait for the next turn."""
    kept = {event.seq for event in waiting if isinstance(event, history.ActivityCompleted)}
    return [seq for seq in seqs if seq not in kept], [seq for seq in seqs if seq in kept]


def _parts(turns: Sequence[TakenTurn]) -> Iterator[list[TakenTurn]]:
    """Cut a batch where its bytes would be too many for one statement; nearly always it is one part."""
    part: list[TakenTurn] = []
    total = 0
    for turn in turns:
        total += len(turn.body)
        if part and total > limits.TURN_BYTES:
            yield part
            part, total = [], len(turn.body)
        part.append(turn)
    if part:
        yield part


def _too_large(size: int) -> errors.PayloadTooLargeError:
    return errors.PayloadTooLargeError(
        f"The orchestration asks for {size} bytes in one turn, the limit is {limits.TURN_BYTES}. Ask for less at once "
        "(join in portions), or pass references instead of data."
    )


def _columns(turns: Sequence[TakenTurn]) -> list[list[object]]:
    """Give the arrays of the commit statement, one element a turn."""
    rows = [
        (
            turn.resident.instance_id,
            turn.resident.execution.identity.execution,
            turn.resident.turn,
            turn.at,
            turn.body,
            turn.phase,
            turn.resident.execution.definition.version,
            lifecycle.output_of(turn.turned.outcome),
            lifecycle.error_of(turn.turned.outcome),
            lifecycle.custom_status_of(turn.turned.commands),
            _array(turn.messages),
            _array(turn.over_tasks),
        )
        for turn in turns
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _array(numbers: Sequence[int]) -> str | None:
    """Give an array in Postgres' own text form: arrays of arrays of different lengths cannot be sent."""
    return "{" + ",".join(map(str, numbers)) + "}" if numbers else None

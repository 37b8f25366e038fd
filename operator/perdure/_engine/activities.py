"""Running the activities of this worker's own instances: from the turn that asked to the one result.

Theory of operation. An activity starts only after the turn that asked for it is committed (I2); unless it names a queue
it runs on the owner of its instance. A first attempt needs no row: if this worker dies, the next owner replays, finds
the activity without a result and runs it again. What must not be forgotten is written to `tasks` before it matters:
failed attempts before the next one is made, the last word of its heartbeats about once a second, the death of a worker
before its activities are run again (I10). The row is deleted by the turn that takes the final result.

Attempts are made elsewhere (`attempts.py`): here is what comes before them (slots, delays) and after (results, rows). A
lost worker is not an attempt.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

import msgspec
import structlog

from perdure._core import failure, history
from perdure._core.operation import Operation
from perdure._engine.attempt import Job
from perdure._engine.attempts import Attempts, poison_or_none
from perdure._engine.clock import Clock
from perdure._engine.heartbeats import Heartbeats
from perdure._engine.lanes import Lanes
from perdure._engine.resident import Resident
from perdure._engine.trials import ActivityTrials

__all__ = ["ActivityRunner", "Book", "FailedAttempt", "Known", "LocalJob"]

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of an activity that was found pending: a row of `tasks`."""

    failed_attempts: int
    losses: int
    visible_at: datetime.datetime
    convictions: int = 0
    trials: int = 0
    detail: bytes | None = None


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class LocalJob(Job):
    """An activity of an instance that this worker owns.

    Between two attempts it has a `pause_seconds`, and once the failed one is written down a `delay` of that length.
    """

    resident: Resident
    has_row: bool = False
    pause_seconds: float | None = None
    delay: asyncio.TimerHandle | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether its result is waited for here: nobody has cancelled it, and its instance is not on its way out."""
        return not (self.is_cancelled or self.resident.is_gone)


@dataclasses.dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A failed attempt that is to be remembered before the next."""

    job: LocalJob
    failed_attempts: int
    delay_seconds: float
    failure: failure.Failure


class Book(Protocol):
    """What is written down between two turns."""

    async def record(self, attempt: FailedAttempt) -> bool:
        """Write down a failed attempt before the next is made; False when the activity is not ours any more."""

    async def note(self, jobs: Sequence[LocalJob]) -> None:
        """Write down what heartbeats said last."""

    async def due(self, jobs: Sequence[LocalJob]) -> list[LocalJob]:
        """Give those of activities between two attempts whose time has come in the database."""


class ActivityRunner:
    """Brings the activities of this worker's residents to their results."""

    def __init__(
        self,
        attempts: Attempts,
        clock: Clock,
        *,
        trials: ActivityTrials,
        book: Book,
        deliver: Callable[[Resident, history.Event], None],
    ) -> None:
        """`book` is where it is written down what must not be forgotten; `deliver` gets results."""
        self._attempts = attempts
        self._clock = clock
        self._trials = trials
        self._book = book
        self._deliver = deliver
        self._lanes = Lanes(self._bring)
        self._heartbeats = Heartbeats(book.note)
        self._on_detail = cast("Callable[[Job], None]", self._has_said)
        self._put = cast("Callable[[Job], None]", self._lanes.put)
        self._jobs: set[LocalJob] = set()
        self._is_interrupted = False

    @property
    def running_count(self) -> int:
        """How many activities are on their way here, those that wait for a slot or a retry among them."""
        return len(self._jobs)

    def start(
        self, resident: Resident, operation: Operation, *, known: Known | None = None, is_found: bool = False
    ) -> None:
        """Bring an activity to its result; if it `is_found` pending, `known` is what an earlier owner left of it."""
        command = cast("history.ScheduleActivity", operation.command)
        execution = resident.execution
        job = LocalJob(
            resident.instance_id,
            execution.identity.execution,
            execution.definition.name,
            resident.run_as,
            command,
            operation.asked_at,
            on_detail=self._on_detail,
            is_found=is_found,
            resident=resident,
        )
        resident.jobs[command.seq] = job
        self._jobs.add(job)
        if known is None:
            self._ask(job)
            return
        job.failed_attempts, job.has_row, job.detail = known.failed_attempts, True, known.detail
        job.losses, job.convictions, job.trials = known.losses, known.convictions, known.trials
        if (poison := poison_or_none(job)) is not None:
            self._finish(job, history.ActivityFailed(command.seq, poison))
            return
        job.pause_seconds = self._clock.seconds_until(known.visible_at) if known.failed_attempts else 0.0
        self._pause(job)

    def cancel(self, resident: Resident, seq: int) -> None:
        """Nobody wants the result of this activity any more: tell it."""
        job = resident.jobs.pop(seq, None)
        if job is None:
            return
        if job.has_row:
            resident.over_tasks.append(seq)
        self._stop(job)

    def cancel_all(self, resident: Resident) -> None:
        """Tell all activities of an instance that has ended or belongs to somebody else."""
        for job in resident.jobs.values():
            self._stop(job)
        resident.jobs.clear()

    async def hasten(self, residents: Iterable[Resident]) -> None:
        """Make the next attempts of these at once whose time was brought forward: somebody has resumed the instance.

        A failure that is being written down at this moment is looked at too: a resume may have come right after it.
        """
        waiting = [job for item in residents for job in item.jobs.values() if job.pause_seconds is not None]
        if not waiting:
            return
        for job in await self._book.due(waiting):
            if job.pause_seconds is None:
                continue
            job.pause_seconds = 0.0
            if job.delay is not None:
                job.delay.cancel()
                self._ask(job)

    def interrupt(self) -> None:
        """Cancel what runs, and begin nothing more."""
        self._is_interrupted = True
        for job in self._jobs:
            if job.attempt is not None:
                job.attempt.is_unwanted = True
        self._lanes.interrupt()

    async def settle(self, grace_seconds: float) -> None:
        """Wait until what was cancelled has cleaned up, but not longer than that."""
        await self._lanes.settle(grace_seconds)

    async def flush(self) -> None:
        """Write what heartbeats have said."""
        await self._heartbeats.flush()

    def close(self) -> None:
        """Forget everything."""
        self._heartbeats.close()
        for job in self._jobs:
            if job.delay is not None:
                job.delay.cancel()

    # The way of a job: (delay) - slot - (trial) - attempt - result, or once more.

    def _pause(self, job: LocalJob) -> None:
        if not job.pause_seconds or job.pause_seconds < 0:
            self._ask(job)
            return
        job.delay = asyncio.get_running_loop().call_later(job.pause_seconds, self._ask, job)

    def _ask(self, job: LocalJob) -> None:
        job.pause_seconds = job.delay = None
        self._attempts.slots_of(job).ask(job.command.priority, functools.partial(self._granted, job))

    def _granted(self, job: LocalJob) -> bool:
        if self._is_interrupted or not job.is_wanted:
            return False
        self._trials.begin(job, self._put)
        return True

    async def _bring(self, job: LocalJob) -> None:
        """Make an attempt and see to what follows; a job that ended without an event would be waited for for ever."""
        try:
            event = await self._event_or_none(job)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is this activity's alone
            name = job.command.name
            failed = failure.of(error, activity=name, attempts=max(1, job.failed_attempts))
            _log.error("activity given up", instance=job.instance_id, activity=name, error=failed.message)
            event = history.ActivityFailed(job.command.seq, msgspec.structs.replace(failed, retryable=False))
        if event is not None:
            self._finish(job, event)

    async def _event_or_none(self, job: LocalJob) -> history.Event | None:
        """Attempt; give the final result, or None when there will be another attempt or it is no longer ours."""
        if not job.is_wanted:
            self._attempts.slots_of(job).give()
            if job.on_moved is not None:
                job.on_moved(job)  # no trial waits for who does not begin
            return None
        result = await self._attempts.make(job)
        if job.detail is not None:
            await self._heartbeats.settled(job)
        if isinstance(result, history.ActivityCompleted):
            return result
        then = self._attempts.after_failure(job, result)
        if isinstance(then, failure.Failure):
            return history.ActivityFailed(job.command.seq, then)
        job.losses = job.convictions = job.trials = 0  # it has come to its end, and killed nobody
        job.pause_seconds = then
        if await self._book.record(FailedAttempt(job, job.failed_attempts, then, result)):
            job.has_row = True
            self._pause(job)
        else:
            self._jobs.discard(job)
        return None

    def _finish(self, job: LocalJob, event: history.Event) -> None:
        self._jobs.discard(job)
        if not job.is_wanted:
            return
        job.resident.jobs.pop(job.command.seq, None)
        if job.has_row:
            job.resident.over_tasks.append(job.command.seq)
        self._deliver(job.resident, event)

    def _stop(self, job: LocalJob) -> None:
        self._jobs.discard(job)
        if job.delay is not None:
            job.delay.cancel()
        self._attempts.stop(job)

    def _has_said(self, job: LocalJob) -> None:
        """Have the last word of its heartbeats written; from now on it has a row that somebody must delete."""
        job.has_row = True
        self._heartbeats.note(job)

"""Serving queues: tasks that somebody else's instances asked for, from the claim to the report.

Theory of operation. An activity with a queue is a row of `tasks`, put there by the commit of the turn that asked for it
(I2). A worker that serves the queue takes it (`queue_claim.sql`: by priority, within its free slots and within the
limits of the queue), makes an attempt as it does for its own instances, and reports: a result deletes the row and is a
message to the instance, a failed attempt puts the row back until it is time for the next, made by whoever comes first.
`(worker_id, claims, asked_at)` of the row is the fence: a report of somebody who was taken for dead, or whose task was
cancelled or belongs to a removed instance whose id is used again, finds no row of its own and changes nothing (I10).

While tasks run here the database is asked about once a second which of them are still ours; the same statement writes
what their heartbeats said. A report waits for a database that is away, for as long as it takes. A stopping worker gives
everything back; a dead one's tasks are put back by whoever reaps it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
from collections.abc import Callable, Sequence
from typing import cast

import msgspec
import structlog

from perdure import errors
from perdure._core import failure, history, limits
from perdure._engine.attempt import Job
from perdure._engine.attempts import Attempts, poison_or_none
from perdure._engine.lanes import Lanes
from perdure._engine.reports import Key, QueuedJob, Report, Reports, fence, given_up
from perdure._engine.slots import Slots
from perdure._engine.trials import ActivityTrials
from perdure._store.store import Record, Store, is_transient

__all__ = ["QueueRunner"]

_log = structlog.get_logger(__name__)
_PORTION = 50
"""Slots that one claim may keep for what it finds: they are missing elsewhere until it has its answer."""

_AFTER_LOSS_SECONDS = 1.0
"""How soon to look again after the database was away, and for what a lost answer has taken, with or without a slot."""

_decode_command = msgspec.json.Decoder(history.ScheduleActivity).decode


class QueueRunner:
    """Takes tasks of the queues that this worker serves, and brings them to their end."""

    def __init__(
        self,
        store: Store,
        worker_id: uuid.UUID,
        *,
        attempts: Attempts,
        trials: ActivityTrials,
        queues: Sequence[str],
    ) -> None:
        """Serve `queues` in the slots of `attempts`, shared with this worker's own instances, as are the `trials`."""
        self._store = store
        self._worker_id = worker_id
        self._attempts = attempts
        self._trials = trials
        self._queues = sorted(set(queues))
        self._names = {
            is_async: [item.name for item in attempts.registry if item.signature.is_async is is_async]
            for is_async in (True, False)
        }
        self._slots: dict[bool, Slots] = {
            is_async: attempts.slots if is_async else attempts.thread_slots
            for is_async, names in self._names.items()
            if names
        }
        self._held = dict.fromkeys(self._slots, 0)
        self._asked: set[bool] = set()
        self._has_slot = asyncio.Event()
        self._nudged = asyncio.Event()
        self._jobs: dict[Key, QueuedJob] = {}
        self._has_jobs = asyncio.Event()
        self._said: dict[QueuedJob, None] = {}
        self._on_detail = cast("Callable[[Job], None]", self._has_said)
        self._lanes = Lanes(self._bring)
        self._put = cast("Callable[[Job], None]", self._lanes.put)
        self._reports = Reports(store, worker_id)
        self._telling: set[asyncio.Task[None]] = set()
        self._strays_until: float | None = None

    @property
    def running_count(self) -> int:
        """How many tasks are in this worker's hands."""
        return len(self._jobs)

    def nudge(self) -> None:
        """Look at once."""
        self._nudged.set()

    async def run(self) -> None:
        """Serve for ever; a worker that serves no queue, or has no activities, asks for nothing."""
        if not self._queues or not self._slots:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve())
            group.create_task(self._watch())

    def interrupt(self) -> None:
        """Cancel what runs, and begin nothing more."""
        for job in self._jobs.values():
            if job.attempt is not None:
                job.attempt.is_unwanted = True
        self._lanes.interrupt()

    async def settle(self, grace_seconds: float) -> None:
        """Wait until what was cancelled has cleaned up, but not longer than that."""
        await self._lanes.settle(grace_seconds)

    async def give_back(self, *, all_of_them: bool) -> None:
        """Report what is done, and give back what is not; what still runs is kept, unless it is `all_of_them`.

        The attempts that were broken off do not count.
        """
        if not self._queues:
            return
        while self._telling:
            await asyncio.wait(self._telling)
        await self._look_after_jobs()
        kept = [] if all_of_them else [key for key, job in self._jobs.items() if job.task is not None]
        await self._release(kept)
        self._jobs = {key: self._jobs[key] for key in kept}

    def close(self) -> None:
        """Report nothing more."""
        for task in self._telling:
            task.cancel()

    # Taking tasks.

    async def _serve(self) -> None:
        while True:
            await self._wait_for_room()
            self._nudged.clear()
            asked = sum(self._held.values())
            taken, again_seconds = await self._claim()
            if taken < asked and again_seconds != 0:
                await self._wait(again_seconds)

    async def _wait(self, again_seconds: float | None) -> None:
        """Wait until somebody tells of work, the lease's heartbeat at the latest, or it is worth another look."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(again_seconds):
                await self._nudged.wait()

    async def _wait_for_room(self) -> None:
        """Wait for a slot of either kind, in turn with this worker's own activities; take what else is free."""
        for is_async, slots in self._slots.items():
            if not self._held[is_async] and is_async not in self._asked:
                self._asked.add(is_async)
                slots.ask(0, functools.partial(self._granted, is_async))
        while not any(self._held.values()):
            self._has_slot.clear()
            try:
                async with asyncio.timeout(None if self._strays_until is None else _AFTER_LOSS_SECONDS):
                    await self._has_slot.wait()
            except TimeoutError:
                await self._give_up_strays()
        for is_async, held in self._held.items():
            if held:
                self._held[is_async] += self._slots[is_async].take(_PORTION - held)

    def _granted(self, is_async: bool) -> bool:  # noqa: FBT001 - a kind of slot, bound by name nowhere
        self._asked.discard(is_async)
        self._held[is_async] += 1
        self._has_slot.set()
        self._nudged.set()
        return True

    async def _claim(self) -> tuple[int, float | None]:
        """Take tasks into the slots that are held; give how many, and the seconds until it is worth another look."""
        held, self._held = self._held, dict.fromkeys(self._slots, 0)
        rows = await self._rows_for({is_async: count for is_async, count in held.items() if count})
        taken = [row for row in rows if row["instance_id"] is not None]
        for row in taken:
            self._attempts.epochs.note(row["claimed_at"])
            if job := self._job_or_none(row):
                held[self._attempts.slots_of(job) is self._attempts.slots] -= 1
                self._trials.begin(job, self._put)
        for is_async, count in held.items():
            self._slots[is_async].give(count)
        if self._strays_until is not None:
            return len(taken), _AFTER_LOSS_SECONDS
        return len(taken), rows[0]["again_seconds"]

    async def _rows_for(self, room: dict[bool, int]) -> list[Record]:
        """Claim what fits into `room`; nothing while the database is away."""
        offered = [(name, is_async) for is_async in room for name in self._names[is_async]]
        try:
            if self._strays_until is not None:
                await self._give_up_strays()
            rows = await self._store.fetch(
                "queue_claim",
                self._worker_id,
                self._queues,
                [name for name, _ in offered],
                [is_async for _, is_async in offered],
                list(room),
                list(room.values()),
            )
        except Exception as error:
            if not is_transient(error):
                raise
            self._store.availability.lost(error, "claim tasks")
            self._strays_until = self._attempts.time() + limits.LATE_LANDING_SECONDS
            return []
        self._store.availability.regained()
        return rows

    async def _give_up_strays(self) -> None:
        """Give back what a claim took whose answer was lost; only between two claims, when all that is ours is known.

        It is done again until a time at which no such claim can land any more, also while there is no room for another:
        the own activities that have it may run for days.
        """
        now = self._attempts.time()
        await self._release(list(self._jobs))
        if self._strays_until is not None and now >= self._strays_until:
            self._strays_until = None

    def _job_or_none(self, row: Record) -> QueuedJob | None:
        """Make a job of a row; one that no attempt can be made of is reported at once.

        One that only cannot be opened here is put back, for a worker that has the key: it was no attempt.
        """
        seq, broken, sealed, detail = row["seq"], None, None, None
        command = history.ScheduleActivity(seq, row["activity"], msgspec.Raw(b"null"))
        try:
            command, detail = _decode_command(row["command"]), row["detail"]
        except msgspec.DecodeError as error:
            broken = msgspec.structs.replace(failure.of(error, activity=row["activity"]), retryable=False)
        except errors.PayloadSealedError as error:
            sealed = failure.of(error, activity=row["activity"], attempts=row["failed_attempts"])
        job = QueuedJob(
            row["instance_id"],
            row["execution"],
            row["orchestration"],
            row["run_as"],
            command,
            row["asked_at"],
            failed_attempts=row["failed_attempts"],
            detail=detail,
            on_detail=self._on_detail,
            losses=row["losses"],
            convictions=row["convictions"],
            trials=row["trials"],
            is_found=row["claims"] > 1,
            claims=row["claims"],
        )
        if (former := self._jobs.get(job.key)) is not None:
            self._attempts.stop(former)  # its instance was removed and the id is used again, or it was given back
        self._jobs[job.key] = job
        self._has_jobs.set()
        broken = poison_or_none(job) or broken
        if broken is not None:
            self._report(Report(job, history.ActivityFailed(seq, broken)))
        elif sealed is not None:
            _log.error("task put back", instance=job.instance_id, activity=command.name, error=sealed.message)
            self._report(Report(job, sealed, limits.HOLD_RETRY_SECONDS))
        else:
            return job
        return None

    # Bringing them to their end.

    async def _bring(self, job: QueuedJob) -> None:
        """Make an attempt and have its outcome reported; a task without an outcome would be waited for for ever."""
        if job.is_cancelled:
            self._attempts.slots_of(job).give()
            return
        try:
            self._report(self._reported(job, await self._attempts.make(job)))
        except Exception as error:  # noqa: BLE001 - whatever it was, it is this activity's alone
            self._report(Report(job, given_up(job, error)))

    def _reported(self, job: QueuedJob, result: history.ActivityCompleted | failure.Failure) -> Report:
        """Say what is to be told of an attempt."""
        if isinstance(result, history.ActivityCompleted):
            return Report(job, result)
        then = self._attempts.after_failure(job, result)
        if isinstance(then, failure.Failure):
            return Report(job, history.ActivityFailed(job.command.seq, then))
        return Report(job, result, then)

    def _report(self, report: Report) -> None:
        """Tell the database, whatever happens to the lane that this was found out in."""
        if report.job.is_cancelled:
            return
        report.job.is_told = True
        self._said.pop(report.job, None)
        task = asyncio.get_running_loop().create_task(self._tell(report))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, report: Report) -> None:
        """Write a report, and see to what follows."""
        job = report.job
        is_ours = await self._reports.write(report)
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        if not is_ours:
            _log.info("task was no longer ours", instance=job.instance_id, activity=job.command.name)
        elif isinstance(report.outcome, failure.Failure):
            asyncio.get_running_loop().call_later(report.delay_seconds, self.nudge)

    # Looking after them.

    def _has_said(self, job: QueuedJob) -> None:
        self._said[job] = None

    async def _watch(self) -> None:
        """Find out which tasks are not ours any more, while there are any."""
        while True:
            await self._has_jobs.wait()
            await asyncio.sleep(limits.HEARTBEAT_WRITE_SECONDS)
            if self._jobs:
                await self._look_after_jobs()
            else:
                self._has_jobs.clear()

    async def _look_after_jobs(self) -> None:
        """Write what the heartbeats have said; stop whatever is no longer ours."""
        jobs = [job for job in self._jobs.values() if not job.is_told]
        said, self._said = list(self._said), {}
        rows = await self._store.fetch_patiently(
            "queue_watch", self._worker_id, *fence(said), [job.detail for job in said]
        )
        ours = {(row["instance_id"], row["execution"], row["seq"], row["claims"], row["asked_at"]) for row in rows}
        for job in jobs:
            if (*job.key, job.claims, job.asked_at) not in ours and not job.is_told and self._jobs.get(job.key) is job:
                _log.info("task is no longer wanted", instance=job.instance_id, activity=job.command.name)
                del self._jobs[job.key]
                self._attempts.stop(job)

    async def _release(self, kept: Sequence[Key]) -> None:
        """Give back all but these, also what was taken without our knowing."""
        columns = [list(column) for column in zip(*kept, strict=True)] or [[], [], []]
        await self._store.fetch_patiently("queue_release", self._worker_id, *columns)

"""What is written down of activities between two turns, so that it outlives this worker (I10).

Failed attempts before the next one is made, the last word of heartbeats, who is on trial, and, before they are run
again, that a worker may have died of them. It knows the statements and their columns; it must not know when an attempt
is made, nor what follows from what is written. What queues have is written by whoever serves them (`queued`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from perdure._core import lifecycle
from perdure._engine.activities import FailedAttempt, LocalJob
from perdure._engine.attempt import Job
from perdure._engine.claimer import Loaded
from perdure._engine.reports import QueuedJob
from perdure._engine.resident import Resident
from perdure._store.batching import Batcher
from perdure._store.store import Store

__all__ = ["Ledger"]


class Ledger:
    """The statements of one worker about its activities and its suspects. Each waits for a database that is away."""

    def __init__(self, store: Store, worker_id: uuid.UUID, *, on_changed: Callable[[Resident], None]) -> None:
        """Write as `worker_id`; `on_changed` is told whose attempts stand otherwise in the database."""
        self._store = store
        self.worker_id = worker_id
        self._on_changed = on_changed
        self._failures: Batcher[FailedAttempt, bool] = Batcher(self._write_failures)

    async def record(self, attempt: FailedAttempt) -> bool:
        """Write down a failed attempt, together with others of the moment; False when the activity is not ours."""
        is_ours = await self._failures.submit(attempt)
        if is_ours:
            self._on_changed(attempt.job.resident)
        return is_ours

    async def due(self, jobs: Sequence[LocalJob]) -> list[LocalJob]:
        """Give those of activities between two attempts whose time has come in the database."""
        waiting = {(job.instance_id, job.command.seq): job for job in jobs}
        keys = {job.instance_id: job.execution for job in jobs}
        rows = await self._store.fetch_patiently("tasks_due", list(keys), list(keys.values()))
        found = [(waiting.get((row["instance_id"], row["seq"])), row["failed_attempts"]) for row in rows]
        # One that was attempted meanwhile has failed once more, or does not wait.
        due = [job for job, failures in found if job is not None and job.failed_attempts == failures]
        for job in due:
            self._on_changed(job.resident)
        return due

    async def note(self, jobs: Sequence[LocalJob]) -> None:
        """Write down what heartbeats said last."""
        await self._store.fetch_patiently("tasks_note", self.worker_id, *_detail_columns(jobs))

    async def try_turns(self, instance_ids: Sequence[str]) -> None:
        """Put the code of these instances on trial, and acquit all others."""
        await self._store.fetch_patiently("worker_try", self.worker_id, instance_ids)

    async def try_activities(self, jobs: Sequence[Job]) -> list[Job]:
        """Put these on trial and acquit all others; give those that are still this worker's."""
        keys = {(job.instance_id, job.execution, job.command.seq): job for job in jobs}
        rows = [(*key, job.claims if isinstance(job, QueuedJob) else 0) for key, job in keys.items()]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
        tried = await self._store.fetch_patiently("tasks_try", self.worker_id, *columns)
        return [keys[row["instance_id"], row["execution"], row["seq"]] for row in tried]

    async def count_losses(self, suspects: Sequence[Loaded]) -> dict[tuple[str, int], int]:
        """Write down, before they are run again, that a worker may have died of these activities."""
        keys = [
            (item.resident.instance_id, item.resident.execution.identity.execution, operation.command.seq)
            for item in suspects
            for operation in item.resident.to_run
        ]
        if not keys:
            return {}
        columns = [list(column) for column in zip(*keys, strict=True)]
        rows = await self._store.fetch_patiently("tasks_count_loss", self.worker_id, *columns)
        return {(row["instance_id"], row["seq"]): row["losses"] for row in rows}

    async def _write_failures(self, attempts: list[FailedAttempt]) -> list[bool]:
        rows = await self._store.fetch_patiently("tasks_record_failure", self.worker_id, *_failure_columns(attempts))
        written = {(row["instance_id"], row["seq"]) for row in rows}
        return [(a.job.resident.instance_id, a.job.command.seq) in written for a in attempts]


def _failure_columns(attempts: Sequence[FailedAttempt]) -> list[list[object]]:
    """Give the arrays of the statement that remembers failed attempts, one element an attempt."""
    rows = [
        (
            attempt.job.instance_id,
            attempt.job.execution,
            attempt.job.command.seq,
            attempt.failed_attempts,
            attempt.delay_seconds,
            lifecycle.encode_failure(attempt.failure),
            attempt.job.detail,
            attempt.job.resident.created_at,
        )
        for attempt in attempts
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _detail_columns(jobs: Sequence[LocalJob]) -> list[list[object]]:
    """Give the arrays of the statement that remembers what heartbeats said, one element a job."""
    rows = [(job.instance_id, job.execution, job.command.seq, job.detail, job.resident.created_at) for job in jobs]
    return [list(column) for column in zip(*rows, strict=True)]

"""What is told of tasks: their results, and attempts that failed, many in one statement.

Each is written only while the task is this worker's: its key, and which claim of it is meant, are the fence. It must
not know how a task is run, nor when there is something to tell of it.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import msgspec
import structlog

from perdure._core import failure, history, lifecycle, limits
from perdure._engine.attempt import Job
from perdure._store.batching import Batcher
from perdure._store.store import Record, Store

__all__ = ["Key", "QueuedJob", "Report", "Reports", "fence", "given_up"]

_log = structlog.get_logger(__name__)


class Key(NamedTuple):
    """The primary key of a task."""

    instance_id: str
    execution: int
    seq: int


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class QueuedJob(Job):
    """A task that this worker has taken; with the worker's id, `claims` and `asked_at` are its fence."""

    claims: int
    is_told: bool = False

    @property
    def key(self) -> Key:
        """The task's key."""
        return Key(self.instance_id, self.execution, self.command.seq)


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What is to be told of a task: its result, or a failed attempt and the seconds until the next."""

    job: QueuedJob
    outcome: history.Event | failure.Failure
    delay_seconds: float = 0.0


def fence(jobs: Iterable[QueuedJob]) -> list[list[object]]:
    """Give the arrays that every statement about tasks begins with: the key, and which claim of it is meant."""
    rows = [(*job.key, job.claims, job.asked_at) for job in jobs]
    return [list(column) for column in zip(*rows, strict=True)] or [[], [], [], [], []]


def given_up(job: QueuedJob, error: Exception) -> history.ActivityFailed:
    """Fail a task for what is no fault of its activity's code, and not to be tried again."""
    failed = failure.of(error, activity=job.command.name, attempts=max(1, job.failed_attempts))
    _log.error("task given up", instance=job.instance_id, activity=job.command.name, error=failed.message)
    return history.ActivityFailed(job.command.seq, msgspec.structs.replace(failed, retryable=False))


class Reports:
    """Writes reports of the tasks of one worker."""

    def __init__(self, store: Store, worker_id: uuid.UUID) -> None:
        """Write for `worker_id`."""
        self._store = store
        self._worker_id = worker_id
        self._results: Batcher[Report, bool] = Batcher(self._write_results)
        self._failures: Batcher[Report, bool] = Batcher(self._write_failures)

    async def write(self, report: Report) -> bool:
        """Write a report; in place of one that the database will not take, that it will not.

        False when the task is no longer ours.
        """
        try:
            return await self._submit(report)
        except Exception as error:  # noqa: BLE001 - what is refused of one must not stop the others
            return await self._write_refusal(report.job, error)

    async def _submit(self, report: Report) -> bool:
        batcher = self._failures if isinstance(report.outcome, failure.Failure) else self._results
        return await batcher.submit(report)

    async def _write_refusal(self, job: QueuedJob, error: Exception) -> bool:
        """Fail a task whose outcome cannot be written; when that cannot either, it is not its fault: it is put back."""
        _log.error("report of a task refused", instance=job.instance_id, activity=job.command.name, error=str(error))
        try:
            return await self._submit(Report(job, given_up(job, error)))
        except Exception as again:  # noqa: BLE001 - see above
            failed = failure.of(again, activity=job.command.name, attempts=job.failed_attempts)
            return await self._submit(Report(job, failed, limits.HOLD_RETRY_SECONDS))

    async def _write_results(self, reports: list[Report]) -> list[bool]:
        events = [history.encode_event(cast("history.Event", report.outcome)) for report in reports]
        places = fence(report.job for report in reports)
        rows, tries = await self._store.fetch_in_tries("queue_finish", self._worker_id, *places, events)
        return _written(reports, rows, tries)

    async def _write_failures(self, reports: list[Report]) -> list[bool]:
        rows, tries = await self._store.fetch_in_tries(
            "queue_fail",
            self._worker_id,
            *fence(report.job for report in reports),
            [report.job.failed_attempts for report in reports],
            [report.delay_seconds for report in reports],
            [lifecycle.encode_failure(cast("failure.Failure", report.outcome)) for report in reports],
            [report.job.detail for report in reports],
        )
        return _written(reports, rows, tries)


def _written(reports: Sequence[Report], rows: Sequence[Record], tries: int) -> list[bool]:
    """Say of each report whether the task was still ours, for all we know: an earlier try may have written it."""
    written = {Key(row["instance_id"], row["execution"], row["seq"]) for row in rows}
    return [tries > 1 or report.job.key in written for report in reports]

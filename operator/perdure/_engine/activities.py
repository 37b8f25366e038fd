"""Running activities: attempts, timeouts, retries.

Theory of operation. An activity starts only after the turn that asked for it is committed (I2); it runs on the owner
of its instance. A first attempt needs no row: if this worker dies, the next owner replays, finds the activity without a
result and runs it again. What must not be forgotten is written to `tasks` before it matters: failed attempts before the
next one is made, the death of a worker before its activities are run again (I10). The row is deleted by the turn that
takes the final result.

Async functions run in the event loop, sync ones in a bounded pool of threads. A lost worker is not an attempt.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import datetime
import functools
import random
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
import structlog

from perdure import errors
from perdure._core import failure, history, lifecycle, limits, payload, retry
from perdure._core.activity import ActivityContext, ActivityInfo, KubernetesApi
from perdure._core.definition import ActivityRegistry, AnyActivity
from perdure._core.replay import Operation
from perdure._engine.clock import Clock
from perdure._engine.resident import Resident

__all__ = [
    "THREAD_NAME_PREFIX",
    "ActivityRunner",
    "Capacity",
    "FailedAttempt",
    "Job",
    "Known",
    "failure_columns",
    "out_of_time",
]

_log = structlog.get_logger(__name__)
THREAD_NAME_PREFIX = "perdure-activity"


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of an activity that was found pending: a row of `tasks`."""

    failed_attempts: int
    losses: int
    visible_at: datetime.datetime


@dataclasses.dataclass(slots=True, eq=False)
class Job:
    """One activity on its way to its one result."""

    resident: Resident
    command: history.ScheduleActivity
    asked_at: datetime.datetime
    failed_attempts: int = 0
    has_row: bool = False
    is_cancelled: bool = False
    task: asyncio.Task[None] | None = None
    thread: concurrent.futures.Future[object] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A failed attempt that is to be remembered before the next."""

    job: Job
    failed_attempts: int
    delay_seconds: float
    failure: failure.Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """How many attempts run at once, and how many threads sync functions share."""

    attempts: int
    threads: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Logger:
    """A logger that names its attempt in each line; binding one in advance would cost more than most activities."""

    of: ActivityInfo

    def info(self, event: str, **fields: object) -> None:
        _log.info(event, **{**fields, **self._who()})

    def warning(self, event: str, **fields: object) -> None:
        _log.warning(event, **{**fields, **self._who()})

    def error(self, event: str, **fields: object) -> None:
        _log.error(event, **{**fields, **self._who()})

    def _who(self) -> dict[str, object]:
        return {"instance": self.of.instance_id, "activity": self.of.activity, "attempt": self.of.attempt}


class ActivityRunner:
    """Runs the activities of this worker's residents, at most `capacity` at once."""

    def __init__(
        self,
        registry: ActivityRegistry,
        clock: Clock,
        *,
        capacity: Capacity,
        kubernetes: Callable[[str], KubernetesApi] | None,
        record: Callable[[FailedAttempt], Awaitable[bool]],
        deliver: Callable[[Resident, history.Event], None],
    ) -> None:
        """`record` writes a failed attempt (False: no longer ours); `deliver` takes the one final result."""
        self._registry = registry
        self._clock = clock
        self._slots = asyncio.Semaphore(capacity.attempts)
        self._thread_slots = asyncio.Semaphore(capacity.threads)
        self._threads = concurrent.futures.ThreadPoolExecutor(capacity.threads, thread_name_prefix=THREAD_NAME_PREFIX)
        self._kubernetes = kubernetes
        self._record = record
        self._deliver = deliver
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running_count(self) -> int:
        """How many activities are on their way here, those that wait for a slot or a retry among them."""
        return len(self._tasks)

    def start(self, resident: Resident, operation: Operation, *, known: Known | None = None) -> None:
        """Bring an activity to its result; `known` is what an earlier owner left of it."""
        command = cast("history.ScheduleActivity", operation.command)
        job = Job(resident, command, operation.asked_at)
        delay = 0.0
        if known is not None:
            job.failed_attempts, job.has_row = known.failed_attempts, True
            delay = max(0.0, self._clock.seconds_until(known.visible_at)) if known.failed_attempts else 0.0
        resident.jobs[command.seq] = job
        if known is not None and known.losses > limits.ACTIVITY_LOSSES:
            self._finish(job, history.ActivityFailed(command.seq, _poison(command, known)))
            return
        job.task = asyncio.create_task(self._run(job, delay))
        self._tasks.add(job.task)
        job.task.add_done_callback(self._tasks.discard)

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

    def interrupt(self) -> None:
        """Cancel what runs."""
        for task in self._tasks:
            task.cancel()

    async def settle(self, grace_seconds: float) -> None:
        """Wait until what was cancelled has cleaned up, but not longer than that."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace_seconds)

    def close(self) -> None:
        """Start no more sync functions; those that run end in their own time."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _stop(job: Job) -> None:
        job.is_cancelled = True
        if job.task is not None:
            job.task.cancel()

    def _finish(self, job: Job, event: history.Event) -> None:
        if job.is_cancelled or job.resident.is_gone:
            return
        job.resident.jobs.pop(job.command.seq, None)
        if job.has_row:
            job.resident.over_tasks.append(job.command.seq)
        self._deliver(job.resident, event)

    async def _run(self, job: Job, delay: float) -> None:
        """Bring a job to its end, whatever happens on the way: one that ends without an event waits for ever."""
        try:
            event = await self._event_or_none(job, delay)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is this activity's alone
            name = job.command.name
            failed = failure.of(error, activity=name, attempts=max(1, job.failed_attempts))
            _log.error("activity given up", instance=job.resident.instance_id, activity=name, error=failed.message)
            event = history.ActivityFailed(job.command.seq, msgspec.structs.replace(failed, retryable=False))
        if event is not None:
            self._finish(job, event)

    async def _event_or_none(self, job: Job, delay: float) -> history.Event | None:
        """Attempt until there is a final result; a failed attempt is recorded before the next. None: no longer ours."""
        seq, policy = job.command.seq, job.command.retry
        while True:
            if delay > 0:
                await asyncio.sleep(delay)
            result = await self._attempt_in_slot(job)
            if isinstance(result, history.ActivityCompleted):
                return result
            job.failed_attempts += 1
            delay = retry.delay_seconds(policy, job.failed_attempts, draw=random.random())  # noqa: S311 - jitter
            if (final := self._final_or_none(job, result, delay)) is not None:
                return history.ActivityFailed(seq, final)
            if not await self._record(FailedAttempt(job, job.failed_attempts, delay, result)):
                return None
            job.has_row = True

    async def _attempt_in_slot(self, job: Job) -> history.ActivityCompleted | failure.Failure:
        """Wait for a slot, where the time of the attempt does not run yet, and make it.

        A thread cannot be interrupted: its slot is free when it is, not when nobody waits for it any more.
        """
        definition = self._registry.find_or_none(job.command.name)
        if definition is None or definition.signature.is_async:
            async with self._slots:
                return await self._attempt(job)
        await self._thread_slots.acquire()
        try:
            return await self._attempt(job)
        finally:
            thread, job.thread = job.thread, None
            if thread is None:
                self._thread_slots.release()
            else:
                thread.add_done_callback(functools.partial(self._free_thread, asyncio.get_running_loop()))

    def _free_thread(self, loop: asyncio.AbstractEventLoop, _: object) -> None:
        """Called in the thread that has become free, perhaps long after the worker."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._thread_slots.release)

    def _final_or_none(self, job: Job, failed: failure.Failure, delay: float) -> failure.Failure | None:
        """Decide whether this failure is the last; the total timeout ends even a policy that would go on."""
        command = job.command
        if not failed.retryable or job.failed_attempts >= command.retry.max_attempts:
            return failed
        if command.total_timeout is None or self._remaining(job) > delay:
            return None
        message = (
            f"The total timeout of {command.total_timeout:g} s has no room for another attempt; "
            f"last error: {failed.message}"
        )
        return msgspec.structs.replace(failed, code=errors.ActivityTimeoutError.code, message=message)

    def _remaining(self, job: Job) -> float:
        total = cast("float", job.command.total_timeout)
        return self._clock.seconds_until(job.asked_at) + total

    def _timeout(self, job: Job) -> float | None:
        """Give what bounds this attempt: its own timeout or what is left of the total one."""
        bounds = [job.command.retry.timeout]
        if job.command.total_timeout is not None:
            bounds.append(max(0.0, self._remaining(job)))
        return min((bound for bound in bounds if bound is not None), default=None)

    async def _attempt(self, job: Job) -> history.ActivityCompleted | failure.Failure:
        """Make one attempt; give its result or what went wrong."""
        command, attempt = job.command, job.failed_attempts + 1
        seconds = self._timeout(job)
        scope = asyncio.timeout(seconds)
        try:
            definition = self._find(command.name)
            async with scope:
                result = await self._call(definition, job, attempt)
            data = payload.encode(result, f"result of activity {command.name}")
            return history.ActivityCompleted(command.seq, msgspec.Raw(data))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if job.is_cancelled or job.resident.is_gone or (task is not None and task.cancelling()):
                raise
            error: BaseException = errors.ActivityError("the activity cancelled itself", type="CancelledError")
        except TimeoutError as raised:
            error = raised
            if scope.expired():
                error = errors.ActivityTimeoutError(f"no result within {seconds:g} s", type="ActivityTimeoutError")
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as raised:  # noqa: BLE001 - the border to the activity's own code
            error = raised
        failed = failure.of(error, activity=command.name, attempts=attempt)
        _log.warning(
            "activity attempt failed",
            instance=job.resident.instance_id,
            activity=command.name,
            attempt=attempt,
            error=failed.message,
            error_type=failed.type,
            retryable=failed.retryable,
        )
        return failed

    def _find(self, name: str) -> AnyActivity:
        definition = self._registry.find_or_none(name)
        if definition is None:
            known = ", ".join(self._registry.names()) or "none"
            message = f"No activity {name!r} is registered on this worker. Known: {known}. Add it to a registry."
            raise errors.UnknownActivityError(message, retryable=False, activity=name)
        return definition

    async def _call(self, definition: AnyActivity, job: Job, attempt: int) -> object:
        context = self._context(job, attempt)
        signature = definition.signature
        arguments: list[object] = [context]
        if signature.takes_input:
            arguments.append(payload.decoder(signature.input_type)(bytes(job.command.input)))
        if signature.is_async:
            return await cast("Callable[..., Awaitable[object]]", definition.function)(*arguments)
        job.thread = self._threads.submit(_in_thread, definition.function, arguments)
        return await asyncio.wrap_future(job.thread)

    def _context(self, job: Job, attempt: int) -> ActivityContext:
        resident, command = job.resident, job.command
        info = ActivityInfo(
            instance_id=resident.instance_id,
            orchestration=resident.execution.definition.name,
            execution=resident.execution.identity.execution,
            activity=command.name,
            seq=command.seq,
            attempt=attempt,
            run_as=resident.run_as,
        )
        return ActivityContext(info, _Logger(info), self._kubernetes)


def _in_thread(function: Callable[..., object], arguments: list[object]) -> object:
    """Call a sync function; a future cannot hold a StopIteration, and a coroutine turns its own into the same."""
    try:
        return function(*arguments)
    except StopIteration as error:
        message = "activity raised StopIteration"
        raise RuntimeError(message) from error


def _poison(command: history.ScheduleActivity, known: Known) -> failure.Failure:
    message = (
        f"{known.losses} workers died while this activity ran; it is taken for their killer and not run again. "
        "Look at what it does to memory and to the process."
    )
    return failure.Failure(
        code=errors.ActivityPoisonError.code,
        type=errors.ActivityPoisonError.__name__,
        message=message,
        retryable=False,
        attempts=known.losses,
        activity=command.name,
    )


def out_of_time(command: history.ScheduleActivity) -> failure.Failure:
    """Say that an activity of a queue had no result within its total timeout, whoever was to run it."""
    message = (
        f"No result within the total timeout of {command.total_timeout:g} s from queue {command.queue!r}. Look whether "
        "a worker serves that queue and has the activity, and how much waits there."
    )
    return failure.Failure(
        code=errors.ActivityTimeoutError.code,
        type=errors.ActivityTimeoutError.__name__,
        message=message,
        activity=command.name,
    )


def failure_columns(attempts: list[FailedAttempt]) -> list[list[object]]:
    """Give the arrays of the statement that remembers failed attempts, one element an attempt."""
    rows = [
        (
            attempt.job.resident.instance_id,
            attempt.job.resident.execution.identity.execution,
            attempt.job.command.seq,
            attempt.failed_attempts,
            attempt.delay_seconds,
            lifecycle.encode_failure(attempt.failure),
        )
        for attempt in attempts
    ]
    return [list(column) for column in zip(*rows, strict=True)]

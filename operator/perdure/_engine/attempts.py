"""Attempts: one try of an activity, wherever it was asked for.

Theory of operation. A `Job` is an activity on its way to its one result; an `Attempt` is one try of it. `Attempts`
makes them, in a slot that the caller was granted: async functions in the event loop, sync ones in a bounded pool of
threads. It gives a result or a failure and decides what a failure means (another attempt, and after how long); it knows
nothing of who asked, of rows or of turns. So an activity behaves the same on the owner of its instance and on a worker
that serves a queue.

What ends an attempt early: its timeout, the total one, silence (no heartbeat for the time given), or a cancel. An async
function gets a `CancelledError`, and once more if it goes on for too long. A thread cannot be interrupted: it is told
by `ctx.is_cancelled`, and its slot is free when it is, not when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import dataclasses
import math
import random
import threading
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
import structlog

from perdure import errors
from perdure._core import failure, history, limits, payload, retry
from perdure._core.activity import ActivityContext, ActivityInfo, Database, KubernetesOf, current
from perdure._core.definition import ActivityRegistry, AnyActivity
from perdure._core.secret import Secrecy, Secrets
from perdure._engine.attempt import Attempt, Job, Logger
from perdure._engine.clock import Clock, Epochs
from perdure._engine.measures import Measures
from perdure._engine.slots import Slots

__all__ = ["THREAD_NAME_PREFIX", "Attempts", "Capacity", "out_of_time", "poison_or_none"]

_log = structlog.get_logger(__name__)
THREAD_NAME_PREFIX = "perdure-activity"

Result = history.ActivityCompleted | failure.Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """How many attempts run at once, and how many threads sync functions share."""

    attempts: int
    threads: int


class Attempts:
    """Makes attempts, at most `capacity` at once."""

    def __init__(
        self,
        registry: ActivityRegistry,
        clock: Clock,
        *,
        capacity: Capacity,
        kubernetes: KubernetesOf | None,
        secrets: Secrets | None = None,
        database: Database | None = None,
    ) -> None:
        """Know the activities of `registry`; `kubernetes` gives the API client of a run's identity.

        `secrets` is where secrets come from, None for the API server; `database` is lent to the activities.
        """
        self.registry = registry
        self.secrets = secrets
        self.measures = Measures()
        self.worker_id = ""
        self.is_certain: Callable[[], bool] = lambda: True
        self.slots = Slots(capacity.attempts)
        self.thread_slots = Slots(capacity.threads)
        self.epochs = Epochs(clock)
        self._clock = clock
        self._kubernetes = kubernetes
        self._database = database
        self._threads = concurrent.futures.ThreadPoolExecutor(capacity.threads, thread_name_prefix=THREAD_NAME_PREFIX)
        self._loop = asyncio.get_running_loop()
        self._own_thread = threading.get_ident()
        self.time = self._loop.time

    def slots_of(self, job: Job) -> Slots:
        """Give where the attempts of a job take their slot: sync functions from the threads, all others from all."""
        definition = self.registry.find_or_none(job.command.name)
        return self.slots if definition is None or definition.signature.is_async else self.thread_slots

    async def make(self, job: Job) -> Result:
        """Make one attempt in the slot that the caller was granted, and give that back; its result or what went wrong.

        Raises `CancelledError` when the job is cancelled or the worker is to stop, and nothing else.
        """
        attempt = job.attempt = Attempt(self, job)
        if not job.failed_attempts:
            self.measures.attempt_latency.observe(-self._clock.seconds_until(job.asked_at))
        if job.on_moved is not None:
            job.on_moved(job)
        try:
            result = await self._outcome(job, attempt)
            self.measures.attempts["completed" if isinstance(result, history.ActivityCompleted) else "failed"] += 1
            return result
        finally:
            attempt.is_over, job.attempt = True, None
            self._leave(job, attempt.thread)
            if job.on_moved is not None:
                job.on_moved(job)

    def stop(self, job: Job) -> None:
        """Tell a job that nobody wants its result; again, while it does not end."""
        job.is_cancelled = True
        if job.attempt is not None:
            job.attempt.is_unwanted = True
        if job.task is not None:
            self._press(job, job.task)
        if job.on_moved is not None:
            job.on_moved(job)

    def close(self) -> None:
        """Start no more sync functions; those that run end in their own time."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def after_failure(self, job: Job, failed: failure.Failure) -> float | failure.Failure:
        """Count a failed attempt; give the seconds until the next, or the failure that is the last.

        The total timeout ends even a policy that would go on.
        """
        job.failed_attempts += 1
        command = job.command
        delay = retry.delay_seconds(command.retry, job.failed_attempts, draw=random.random())  # noqa: S311 - jitter
        if not failed.retryable or job.failed_attempts >= command.retry.max_attempts:
            return failed
        if command.total_timeout is None or self._remaining(job) > delay:
            return delay
        message = (
            f"The total timeout of {command.total_timeout:g} s has no room for another attempt; "
            f"last error: {failed.message}"
        )
        return msgspec.structs.replace(failed, code=errors.ActivityTimeoutError.code, message=message)

    def in_loop(self, callback: Callable[[], None]) -> None:
        """Call back in the worker's thread: at once from there, else soon; in a thread that outlives it, never."""
        if threading.get_ident() == self._own_thread:
            callback()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback)

    # One attempt.

    async def _outcome(self, job: Job, attempt: Attempt) -> Result:
        """Call the activity; whatever it does becomes a result or a failure."""
        command = job.command
        seconds = self._timeout(job)
        try:
            if seconds is None and command.heartbeat_timeout is None:
                result = await self._call(job, attempt)
            else:
                result = await self._call_within(job, attempt, seconds)
            data = payload.encode(result, f"result of activity {command.name}")
            attempt.secrecy.refuse_in(data, f"result of activity {command.name}")
            return history.ActivityCompleted(command.seq, msgspec.Raw(data))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if job.is_cancelled or (task is not None and task.cancelling()):
                raise
            error: BaseException = errors.ActivityError("the activity cancelled itself", type="CancelledError")
        except GeneratorExit:
            raise
        # A KeyboardInterrupt too: a process that is to end hears of it through its loop, so the activity has raised it,
        # and would end worker after worker, each in good order.
        except BaseException as raised:  # noqa: BLE001 - the border to the activity's own code
            error = raised
            if isinstance(raised, TimeoutError) and attempt.scope is not None and attempt.scope.expired():
                error = _timed_out(attempt, seconds)
        return _failed(job, error, attempt.secrecy)

    async def _call_within(self, job: Job, attempt: Attempt, seconds: float | None) -> object:
        """Call the activity; `TimeoutError` when it takes too long or is silent for too long."""
        async with asyncio.timeout(seconds) as attempt.scope:
            if job.command.heartbeat_timeout is not None:
                self._listen(attempt, job.command.heartbeat_timeout)
            try:
                return await self._call(job, attempt)
            finally:
                if attempt.listener is not None:
                    attempt.listener.cancel()

    def _listen(self, attempt: Attempt, allowed: float) -> None:
        """End an attempt that has been silent for too long; else look again when it may have been."""
        left = attempt.beaten_at + allowed - self.time()
        if left > 0:
            attempt.listener = self._loop.call_later(left, self._listen, attempt, allowed)
        elif attempt.scope is not None:
            attempt.is_silent = True
            attempt.scope.reschedule(self.time())

    async def _call(self, job: Job, attempt: Attempt) -> object:
        definition = self._find(job.command.name)
        signature = definition.signature
        context = self._context(job, attempt)
        arguments: list[object] = [context]
        if signature.takes_input:
            arguments.append(definition.read_input(bytes(job.command.input)))
        token = current.set(context)
        try:
            if signature.is_async:
                return await cast("Callable[..., Awaitable[object]]", definition.function)(*arguments)
            here = contextvars.copy_context()
            attempt.thread = self._threads.submit(here.run, _in_thread, definition.function, arguments)
            return await asyncio.wrap_future(attempt.thread)
        finally:
            with contextlib.suppress(ValueError):  # who is thrown away ends in another context
                current.reset(token)

    def _find(self, name: str) -> AnyActivity:
        definition = self.registry.find_or_none(name)
        if definition is None:
            known = ", ".join(self.registry.names()) or "none"
            message = f"No activity {name!r} is registered on this worker. Known: {known}. Add it to a registry."
            raise errors.UnknownActivityError(message, retryable=False, activity=name)
        return definition

    def _context(self, job: Job, attempt: Attempt) -> ActivityContext:
        command = job.command
        info = ActivityInfo(
            instance_id=job.instance_id,
            orchestration=job.orchestration,
            execution=job.execution,
            activity=command.name,
            seq=command.seq,
            attempt=job.failed_attempts + 1,
            run_as=job.run_as,
            worker_id=self.worker_id,
            epoch=self.epochs.next(),
        )
        logger = Logger(info, attempt.secrecy)
        return ActivityContext(info, logger, self._kubernetes, attempt, attempt.secrecy, self._database)

    def _timeout(self, job: Job) -> float | None:
        """Give what bounds this attempt: its own timeout or what is left of the total one."""
        own, total = job.command.retry.timeout, job.command.total_timeout
        if total is None:
            return own
        left = max(0.0, self._remaining(job))
        return left if own is None else min(own, left)

    def latest_end(self, job: Job) -> float:
        """Give when, by the event loop's time, an attempt is over at the latest, however long it is held up."""
        return math.inf if job.command.total_timeout is None else self.time() + max(0.0, self._remaining(job))

    def _remaining(self, job: Job) -> float:
        total = cast("float", job.command.total_timeout)
        return self._clock.seconds_until(job.asked_at) + total

    def _leave(self, job: Job, thread: concurrent.futures.Future[object] | None) -> None:
        slots = self.slots_of(job)
        if thread is None or thread.done():
            slots.give()
        else:
            thread.add_done_callback(lambda _: self.in_loop(slots.give))

    def _press(self, job: Job, task: asyncio.Task[None]) -> None:
        if job.task is task:
            if task.cancelling():
                who = {"instance": job.instance_id, "activity": job.command.name}
                _log.warning("cancelled activity goes on, cancelling it again", **who)
            task.cancel()
            self._loop.call_later(limits.ACTIVITY_GRACE_SECONDS, self._press, job, task)


def _in_thread(function: Callable[..., object], arguments: list[object]) -> object:
    """Call a sync function; a future cannot hold a StopIteration, and a coroutine turns its own into the same."""
    try:
        return function(*arguments)
    except StopIteration as error:
        message = "activity raised StopIteration"
        raise RuntimeError(message) from error


def _timed_out(attempt: Attempt, seconds: float | None) -> errors.ActivityTimeoutError:
    if attempt.is_silent:
        allowed = attempt.job.command.heartbeat_timeout
        message = f"no heartbeat within {allowed:g} s: it hangs, or calls ctx.heartbeat() too seldom"
    else:
        message = f"no result within {seconds:g} s"
    return errors.ActivityTimeoutError(message, type="ActivityTimeoutError")


def _failed(job: Job, error: BaseException, secrecy: Secrecy) -> failure.Failure:
    failed = failure.of(error, activity=job.command.name, attempts=job.failed_attempts + 1, hide=secrecy.masked)
    _log.warning(
        "activity attempt failed",
        instance=job.instance_id,
        activity=job.command.name,
        attempt=job.failed_attempts + 1,
        error=failed.message,
        error_type=failed.type,
        retryable=failed.retryable,
    )
    return failed


def poison_or_none(job: Job) -> failure.Failure | None:
    """Give the failure of an activity that too many workers died of; None for one that may be run."""
    if job.convictions < limits.ACTIVITY_CONVICTIONS:
        return None
    message = (
        f"{job.losses} workers died while this activity ran, the last {job.convictions} of them while it alone was on "
        "trial; it is taken for their killer and not run again. Look at what it does to memory and to the process, and "
        "at whether it blocks the event loop."
    )
    return failure.Failure(
        code=errors.ActivityPoisonError.code,
        type=errors.ActivityPoisonError.__name__,
        message=message,
        retryable=False,
        attempts=job.losses,
        activity=job.command.name,
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

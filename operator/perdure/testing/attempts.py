"""Activities of a simulation: attempts, timeouts and retries as on a worker, in virtual time.

Without jitter, so that a test can say how long a run takes. Sync functions are called where they are, not in a thread.
An assertion that fails in a stand-in is the test's and is raised to it, not taken for a failure of the activity.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json

import msgspec

from perdure import errors
from perdure._core import failure, history, payload, retry
from perdure._core.activity import ActivityContext, ActivityInfo, ActivityLogger, KubernetesApi
from perdure._core.replay import Trace
from perdure.testing.run import ActivityCall
from perdure.testing.standins import Activities

__all__ = ["Attempts", "activity_context", "note_end", "to_call"]

_RUN_AS = "system:serviceaccount:test:test"


@dataclasses.dataclass(frozen=True, slots=True)
class _Lines:
    """A logger that keeps its lines."""

    traces: list[Trace]

    def info(self, event: str, **fields: object) -> None:
        self._keep("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._keep("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._keep("error", event, fields)

    def _keep(self, level: str, event: str, fields: dict[str, object]) -> None:
        self.traces.append(Trace(level, " ".join([event, *(f"{name}={value}" for name, value in fields.items())])))


def activity_context(
    *,
    attempt: int = 1,
    instance_id: str = "test",
    kubernetes: KubernetesApi | None = None,
    logger: ActivityLogger | None = None,
) -> ActivityContext:
    """Give a context to call an activity with, on its own; `kubernetes` stands in for the API server."""
    info = ActivityInfo(
        instance_id=instance_id,
        orchestration="test::orchestration::test",
        execution=1,
        activity="test::activity::test",
        seq=1,
        attempt=attempt,
    )
    return _context(info, logger or _Lines([]), kubernetes)


class Attempts:
    """Brings activities to their one result."""

    def __init__(
        self, activities: Activities, loop: asyncio.AbstractEventLoop, *, kubernetes: KubernetesApi | None
    ) -> None:
        """Call `activities`, in the time of `loop`."""
        self._activities = activities
        self._loop = loop
        self._kubernetes = kubernetes

    async def perform(self, command: history.ScheduleActivity, call: ActivityCall, info: ActivityInfo) -> history.Event:
        """Attempt until there is a final result. Raises what is the test's: assertions, and `SimulationError`."""
        total, policy = command.total_timeout, command.retry
        deadline = None if total is None else call.began + total
        while True:
            call.attempts += 1
            result = await self._attempt(command, call, dataclasses.replace(info, attempt=call.attempts))
            if isinstance(result, history.ActivityCompleted):
                return result
            delay = retry.delay_seconds(policy, call.attempts)
            if not result.retryable or call.attempts >= policy.max_attempts:
                return history.ActivityFailed(command.seq, result)
            if deadline is not None and deadline - self._loop.time() <= delay:
                return history.ActivityFailed(command.seq, _out_of_time(result, total))
            await asyncio.sleep(delay)

    async def _attempt(
        self, command: history.ScheduleActivity, call: ActivityCall, info: ActivityInfo
    ) -> history.ActivityCompleted | failure.Failure:
        stand_in = self._activities.find(command.name)
        seconds = self._timeout(command, call)
        context = _context(info, _Lines(call.traces), self._kubernetes)
        scope = asyncio.timeout(seconds)
        error: BaseException
        try:
            async with scope:
                result = await stand_in.call(context, bytes(command.input))
            data = payload.encode(result, f"result of activity {command.name}")
            return history.ActivityCompleted(command.seq, msgspec.Raw(data))
        except asyncio.CancelledError as raised:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            error = raised
        except AssertionError as raised:
            if not stand_in.is_real:
                raise
            error = raised
        except (Exception, SystemExit) as raised:
            error = raised
            if isinstance(raised, TimeoutError) and scope.expired():
                error = errors.ActivityTimeoutError(f"no result within {seconds:g} s", type="ActivityTimeoutError")
        call.exceptions.append(error)
        return failure.of(error, activity=command.name, attempts=info.attempt)

    def _timeout(self, command: history.ScheduleActivity, call: ActivityCall) -> float | None:
        """Give what bounds this attempt: its own timeout or what is left of the total one."""
        own, total = command.retry.timeout, command.total_timeout
        if total is None:
            return own
        left = max(0.0, call.began + total - self._loop.time())
        return left if own is None else min(own, left)


def _context(info: ActivityInfo, logger: ActivityLogger, kubernetes: KubernetesApi | None) -> ActivityContext:
    if kubernetes is None:
        return ActivityContext(info, logger)
    return ActivityContext(dataclasses.replace(info, run_as=_RUN_AS), logger, lambda _: kubernetes)


def _out_of_time(failed: failure.Failure, total: float | None) -> failure.Failure:
    message = f"The total timeout of {total:g} s has no room for another attempt; last error: {failed.message}"
    return msgspec.structs.replace(failed, code=errors.ActivityTimeoutError.code, message=message)


def to_call(command: history.ScheduleActivity, *, execution: int, began: float) -> ActivityCall:
    """Give what a test sees of an activity that was asked for."""
    return ActivityCall(command.name, json.loads(bytes(command.input)), execution, command.seq, began)


def note_end(call: ActivityCall, event: history.Event, *, ended: float) -> None:
    """Let a test see how an activity ended."""
    call.ended = ended
    match event:
        case history.ActivityCompleted():
            call.state, call.result = "Completed", json.loads(bytes(event.result))
        case history.ActivityFailed():
            call.state, call.failure = "Failed", event.failure
        case _:
            raise AssertionError(event)  # an activity ends in one of the two

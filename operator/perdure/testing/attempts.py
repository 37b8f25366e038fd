"""Activities of a simulation: attempts, timeouts, heartbeats and retries as on a worker, in virtual time.

Without jitter, so that a test can say how long a run takes. Sync functions are called where they are, not in a thread.
An assertion that fails in a stand-in is the test's: it is raised there, and is no failure of the activity.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping

import msgspec

from perdure import errors
from perdure._core import failure, history, payload, retry, secret
from perdure._core.activity import ActivityContext, ActivityInfo, ActivityLogger, Database, KubernetesApi, Lifeline
from perdure._core.replay import Trace
from perdure.testing.run import ActivityCall
from perdure.testing.standins import Activities, StandIn

__all__ = ["Attempts", "Outside", "activity_context", "note_end", "to_call"]

_RUN_AS = "system:serviceaccount:test:test"


@dataclasses.dataclass(frozen=True, slots=True)
class Outside:
    """What activities reach through their context: what stands for the API server, secrets by value, a database."""

    kubernetes: KubernetesApi | None = None
    secrets: Mapping[secret.SecretRef, str] | None = None
    database: Database | None = None

    def secrecy(self) -> secret.Secrecy:
        """Give the memory of an attempt for the secrets it resolves."""
        return secret.Secrecy(None if self.secrets is None else _Secrets(self.secrets))

    def context(
        self, info: ActivityInfo, logger: ActivityLogger, *, secrecy: secret.Secrecy, lifeline: Lifeline | None = None
    ) -> ActivityContext:
        """Give the context of an attempt."""
        api = self.kubernetes
        if api is None:
            return ActivityContext(info, logger, None, lifeline, secrecy, self.database)
        acting = dataclasses.replace(info, run_as=_RUN_AS)
        return ActivityContext(acting, logger, lambda *_: api, lifeline, secrecy, self.database)


@dataclasses.dataclass(frozen=True, slots=True)
class _Secrets:
    """Secrets that a test gives by value."""

    values: Mapping[secret.SecretRef, str]

    async def resolve(self, reference: secret.SecretRef, /) -> str:
        if reference not in self.values:
            raise errors.SecretMissingError(str(reference), "the test gives no value for it")
        return self.values[reference]


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


class _Attempt:
    """One try while it runs: what its context speaks to."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, call: ActivityCall, *, seconds: float | None, silence: float | None
    ) -> None:
        """Begin, with a first heartbeat; it may take `seconds`, and `silence` from one heartbeat to the next."""
        self.seconds, self.silence = seconds, silence
        self.detail = call.heartbeats[-1] if call.heartbeats else None
        self.scope = asyncio.timeout(self.seconds)
        self.is_silent = self.is_over = False
        self._loop = loop
        self._call = call
        self._beaten_at = loop.time()
        self._listener: asyncio.TimerHandle | None = None

    @property
    def is_cancelled(self) -> bool:
        return self.is_over or self.scope.expired() or self._call.state == "Cancelled"

    def beat(self, detail: bytes | None) -> None:
        self._beaten_at = self._loop.time()
        if detail is not None:
            self._call.heartbeats.append(detail)

    def waited(self, seconds: float) -> None:
        """Nobody is held up here."""

    async def confirm(self) -> None:
        """Nobody takes an attempt over here."""

    async def make(self, stand_in: StandIn, context: ActivityContext, *, data: bytes) -> object:
        """Call the function; `TimeoutError` when it takes too long or is silent for too long."""
        try:
            async with self.scope:
                self._listen()
                return await stand_in.call(context, data)
        finally:
            self.is_over = True
            if self._listener is not None:
                self._listener.cancel()

    def timed_out(self) -> errors.ActivityTimeoutError:
        """Say which of the two it was."""
        if self.is_silent:
            message = f"no heartbeat within {self.silence:g} s: it hangs, or calls ctx.heartbeat() too seldom"
        else:
            message = f"no result within {self.seconds:g} s"
        return errors.ActivityTimeoutError(message, type="ActivityTimeoutError")

    def _listen(self) -> None:
        if self.silence is None:
            return
        due = self._beaten_at + self.silence
        if due > self._loop.time():
            self._listener = self._loop.call_at(due, self._listen)
        else:
            self.is_silent = True
            self.scope.reschedule(self._loop.time())


class Attempts:
    """Brings activities to their one result."""

    def __init__(self, activities: Activities, loop: asyncio.AbstractEventLoop, *, outside: Outside) -> None:
        """Call `activities`, in the time of `loop`."""
        self._activities = activities
        self._loop = loop
        self._outside = outside

    async def perform(
        self, command: history.ScheduleActivity, call: ActivityCall, *, info: ActivityInfo
    ) -> history.Event:
        """Attempt until there is a final result. Raises what is the test's: assertions, and `SimulationError`."""
        total, policy = command.total_timeout, command.retry
        deadline = None if total is None else call.began + total
        while True:
            call.attempts += 1
            epoch = int(self._loop.time() * 1_000_000) + call.attempts
            result = await self._attempt(command, call, dataclasses.replace(info, attempt=call.attempts, epoch=epoch))
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
        attempt = _Attempt(self._loop, call, seconds=seconds, silence=command.heartbeat_timeout)
        secrecy = self._outside.secrecy()
        context = self._outside.context(info, _Lines(call.traces), secrecy=secrecy, lifeline=attempt)
        error: BaseException
        try:
            result = await attempt.make(stand_in, context, data=bytes(command.input))
            what = f"result of activity {command.name}"
            data = payload.encode(result, what)
            secrecy.refuse_in(data, what)
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
        except (Exception, SystemExit, KeyboardInterrupt) as raised:  # noqa: BLE001 - the border to the activity's own code
            error = raised
            if isinstance(raised, TimeoutError) and attempt.scope.expired():
                error = attempt.timed_out()
        call.exceptions.append(error)
        return failure.of(error, activity=command.name, attempts=info.attempt)

    def _timeout(self, command: history.ScheduleActivity, call: ActivityCall) -> float | None:
        """Give what bounds this attempt: its own timeout or what is left of the total one."""
        own, total = command.retry.timeout, command.total_timeout
        if total is None:
            return own
        left = max(0.0, call.began + total - self._loop.time())
        return left if own is None else min(own, left)


def activity_context(
    *,
    attempt: int = 1,
    instance_id: str = "test",
    kubernetes: KubernetesApi | None = None,
    secrets: Mapping[secret.SecretRef, str] | None = None,
    database: Database | None = None,
    logger: ActivityLogger | None = None,
) -> ActivityContext:
    """Give a context to call an activity with, on its own.

    `kubernetes` and `secrets` stand for the world outside; `database` is lent as it is (`ctx.database`).
    """
    info = ActivityInfo(
        instance_id=instance_id,
        orchestration="test::orchestration::test",
        execution=1,
        activity="test::activity::test",
        seq=1,
        attempt=attempt,
        epoch=attempt,
    )
    outside = Outside(kubernetes, secrets, database)
    return outside.context(info, logger or _Lines([]), secrecy=outside.secrecy())


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


def _out_of_time(failed: failure.Failure, total: float | None) -> failure.Failure:
    message = f"The total timeout of {total:g} s has no room for another attempt; last error: {failed.message}"
    return msgspec.structs.replace(failed, code=errors.ActivityTimeoutError.code, message=message)

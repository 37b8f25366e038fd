"""What an orchestration is given: the calls that may stand in durable code.

The context turns calls into commands and futures and knows nothing else: no clock but the turn's time, no randomness
but what follows from the instance's id. It is the only thing an orchestration may await through.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Awaitable, Coroutine
from random import Random  # noqa: TID251 - streams with a seed of the instance, never chance itself
from typing import TYPE_CHECKING, Never, TypeVar, cast, overload

import msgspec

from perdure import errors
from perdure._core import futures, history, limits, payload, queues, retry, text
from perdure._core.definition import ActivityDefinition, check_activity
from perdure._core.relations import Relations

if TYPE_CHECKING:
    from perdure._core.replay import Execution

__all__ = ["OrchestrationContext"]

I = TypeVar("I")  # noqa: E741 - I and O are read as input and output
O = TypeVar("O")  # noqa: E741 - see above
T = TypeVar("T")
_GUIDS = uuid.UUID("6f1f0e6a-2b44-5c1e-9d5a-6d0f5b1f7a10")


class OrchestrationContext(Relations):
    """Given to every orchestration as its first argument."""

    __slots__ = ("_execution", "_guids", "_streams")

    def __init__(self, execution: Execution) -> None:
        """Speak for one execution."""
        self._execution = execution
        self._guids = 0
        self._streams: dict[str, Random] = {}

    @property
    def instance_id(self) -> str:
        """The id of this instance."""
        return self._execution.identity.instance_id

    @property
    def execution(self) -> int:
        """Which life of the instance this is, from 1."""
        return self._execution.identity.execution

    @property
    def name(self) -> str:
        """The orchestration's name."""
        return self._execution.definition.name

    @property
    def version(self) -> str:
        """The orchestration's version, pinned for the life of the instance."""
        return self._execution.definition.version

    @property
    def is_replaying(self) -> bool:
        """Whether this line ran before. Never decide anything by it."""
        return self._execution.is_replaying

    @overload
    def schedule_activity(
        self,
        activity: ActivityDefinition[I, O],
        input: I = ...,
        *,
        retry: retry.RetryPolicy | None = None,
        total_timeout: retry.Duration | None = None,
        heartbeat_timeout: retry.Duration | None = None,
        queue: str | None = None,
        priority: int = 0,
    ) -> futures.DurableFuture[O]: ...
    @overload
    def schedule_activity(
        self,
        activity: str,
        input: object = None,
        *,
        retry: retry.RetryPolicy | None = None,
        total_timeout: retry.Duration | None = None,
        heartbeat_timeout: retry.Duration | None = None,
        queue: str | None = None,
        priority: int = 0,
        returns: type[O],
    ) -> futures.DurableFuture[O]: ...
    @overload
    def schedule_activity(
        self,
        activity: str,
        input: object = None,
        *,
        retry: retry.RetryPolicy | None = None,
        total_timeout: retry.Duration | None = None,
        heartbeat_timeout: retry.Duration | None = None,
        queue: str | None = None,
        priority: int = 0,
    ) -> futures.DurableFuture[payload.JsonValue]: ...

    def schedule_activity(  # noqa: PLR0913 - the options of the public API, named by the caller
        self,
        activity: ActivityDefinition[Never, object] | str,
        input: object = None,
        *,
        retry: retry.RetryPolicy | None = None,
        total_timeout: retry.Duration | None = None,
        heartbeat_timeout: retry.Duration | None = None,
        queue: str | None = None,
        priority: int = 0,
        returns: object = object,
    ) -> futures.DurableFuture[object]:
        """Run an activity; awaiting gives its result, typed by its annotation (or by `returns`).

        Without a retry policy there is one attempt. `total_timeout` (seconds or timedelta) bounds all attempts and the
        waits between them; an attempt that does not call `ctx.heartbeat()` for `heartbeat_timeout` has failed, and is
        retried like any failure. With a `queue` it runs on a worker that serves it, else on the owner of the instance;
        of those that wait for a slot the higher `priority` goes first. Awaiting raises `ActivityError` (or
        `ActivityTimeoutError`) when it failed for good.
        """
        execution = self._open()
        if returns is object and isinstance(activity, ActivityDefinition):
            name, decode = activity.name, activity.read_result
        else:
            name = activity.name if isinstance(activity, ActivityDefinition) else check_activity(activity)
            decode = payload.decoder(returns, f"result of activity {name}")
        command = history.ScheduleActivity(
            execution.next_seq(),
            name,
            msgspec.Raw(payload.encode(input, f"input of activity {name}")),
            retry=_ONE_ATTEMPT if retry is None else _recorded(retry, name),
            total_timeout=None if total_timeout is None else _seconds(total_timeout, f"total_timeout of {name}"),
            queue="" if queue is None else queues.check_name(queue),
            priority=queues.check_priority(priority),
            heartbeat_timeout=None if heartbeat_timeout is None else _heartbeat_timeout(heartbeat_timeout, name),
        )
        return execution.ask(command, decode)

    def schedule_timer(self, delay: retry.Duration) -> futures.DurableFuture[None]:
        """Wait durably for `delay` (seconds or timedelta), by the database's clock; never early."""
        execution = self._open()
        command = execution.timer(_seconds(delay, "delay of a timer"))
        return cast("futures.DurableFuture[None]", execution.ask(command, None))

    def spawn(self, coroutine: Coroutine[object, object, T]) -> futures.Task[T]:
        """Start a coroutine of durable code beside this one; await what this returns for its result."""
        scheduler = self._open().scheduler
        _refuse_if_no_coroutine(coroutine)
        return scheduler.spawn(coroutine)

    @overload
    def join(self, *awaitables: Awaitable[T]) -> futures.DurableFuture[list[T]]: ...
    @overload
    def join(
        self, *awaitables: Awaitable[T], return_exceptions: bool
    ) -> futures.DurableFuture[list[T | BaseException]]: ...

    def join(self, *awaitables: Awaitable[object], return_exceptions: bool = False) -> futures.DurableFuture[object]:
        """Wait for all; awaiting gives the results in argument order.

        All run to their end even when one fails; then the first error in argument order is raised, or, with
        `return_exceptions`, each error stands in its place.
        """
        scheduler = self._open().scheduler
        parts = [scheduler.to_future(awaitable) for awaitable in awaitables]
        return futures.Join(scheduler, parts, return_exceptions=return_exceptions)

    def select(self, *awaitables: Awaitable[object]) -> futures.DurableFuture[tuple[int, object]]:
        """Wait for the first; awaiting gives (index, value) of the winner. The others are cancelled.

        The winner is the first in history order, so it is the same on every replay. A winner that failed raises.
        """
        scheduler = self._open().scheduler
        if not awaitables:
            message = "select() was called without anything to wait for; it would wait for ever."
            raise errors.DefinitionError(message)
        return futures.Select(scheduler, [scheduler.to_future(awaitable) for awaitable in awaitables])

    def select2(self, first: Awaitable[object], second: Awaitable[object]) -> futures.DurableFuture[tuple[int, object]]:
        """Wait for the first of two; see `select`."""
        return self.select(first, second)

    def utcnow(self) -> datetime.datetime:
        """Give the time of this turn by the database's clock (aware, UTC); the same on every replay."""
        return self._open().now

    def new_guid(self) -> uuid.UUID:
        """Give a new id that is the same on every replay (UUIDv5 of instance, execution and a counter)."""
        self._guids += 1
        identity = self._open().identity
        return uuid.uuid5(_GUIDS, f"{identity.instance_id}\n{identity.execution}\n{self._guids}")

    def random(self, name: str) -> Random:
        """Give a stream of chance that is the same on every replay; each name is a stream of its own.

        The same object for the same name, so that it goes on where it stopped. `random()` is the same on every Python;
        of `shuffle` and the like Python itself promises less.
        """
        identity = self._open().identity
        if name not in self._streams:
            seed = f"{identity.instance_id}\n{identity.execution}\n{name}"
            self._streams[name] = Random(seed)  # noqa: S311 - it must be repeatable; secrets are made in activities
        return self._streams[name]

    def set_custom_status(self, value: object) -> None:
        """Show a value (JSON, a model) to people; it stands in the status of the instance and its resource."""
        data = payload.encode(value, "custom status", limit_bytes=limits.CUSTOM_STATUS_BYTES)
        self._open().say(history.SetCustomStatus(msgspec.Raw(data)))

    def set_progress(self, done: int, total: int, message: str = "") -> None:
        """Show how far this is: `done` of `total` (whole numbers), and what is going on."""
        if type(done) is not int or type(total) is not int:
            sentence = f"set_progress({done!r}, {total!r}): expected two whole numbers, the steps done and all steps."
            raise errors.DefinitionError(sentence)
        shown = text.bounded(str(message), limits.PROGRESS_MESSAGE_CHARACTERS)
        self._open().say(history.SetProgress(done, total, shown))

    def set_ready(self, ready: bool, message: str = "") -> None:  # noqa: FBT001 - the words of the resource
        """Show whether what this instance looks after is ready: for those that run for ever (`readyWhen: Custom`)."""
        if type(ready) is not bool:
            raise errors.DefinitionError(f"set_ready({ready!r}): expected True or False.")
        shown = text.bounded(str(message), limits.PROGRESS_MESSAGE_CHARACTERS)
        self._open().say(history.SetReady(ready, shown))

    def trace_info(self, message: str) -> None:
        """Log a line, once over the whole life of the instance."""
        self._open().trace("info", str(message))

    def trace_warn(self, message: str) -> None:
        """Log a warning, once over the whole life of the instance."""
        self._open().trace("warning", str(message))

    def trace_error(self, message: str) -> None:
        """Log an error, once over the whole life of the instance."""
        self._open().trace("error", str(message))

    def _open(self) -> Execution:
        """Give the execution; a copy that is being put away may ask for nothing more."""
        execution = self._execution
        if execution.scheduler.is_closed:
            execution.scheduler.refuse()
        return execution


_ONE_ATTEMPT = retry.Retry()
_seconds = retry.seconds
_recorded = retry.recorded


def _heartbeat_timeout(duration: retry.Duration, name: str) -> float:
    """Give the time between two heartbeats; zero could never be kept."""
    seconds = _seconds(duration, f"heartbeat_timeout of {name}")
    if seconds == 0:
        message = f"heartbeat_timeout of {name} is 0; expected more than that, or None for none."
        raise errors.DefinitionError(message)
    return seconds


def _refuse_if_no_coroutine(found: object) -> None:
    if not isinstance(found, Coroutine):
        message = f"spawn({found!r}): expected a coroutine, as in spawn(f(ctx)) of an `async def f`."
        raise errors.DefinitionError(message)

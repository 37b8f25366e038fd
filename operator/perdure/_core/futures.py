"""The deterministic scheduler: durable futures and the tasks that await them.

Theory of operation. User coroutines are driven with `.send`; there is no event loop here, no asyncio task, no clock.
Awaiting a `DurableFuture` yields the future itself to the scheduler, which parks the task on it. A future is completed
from outside (by an event of history) or by other futures (`Task`, `Join`, `Select`), and its waiters are appended to
one first-in-first-out queue. As futures complete in history order and the queue has one order, every run of the same
history takes the same path: that is all of determinism.

Cancelling follows asyncio's shape: cancelling a task cancels what it awaits, the error surfaces at the await, and the
task may catch it. Cancelling a leaf takes it out of the operations that the outside world works on.
"""

from __future__ import annotations

import collections
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Generic, TypeVar, cast

from perdure import errors

__all__ = ["DurableFuture", "Join", "Scheduler", "Select", "Task"]

T = TypeVar("T", covariant=True)
R = TypeVar("R")
Callback = Callable[["DurableFuture[object]"], None]

_REFUSALS = 100
_FOREIGN = (
    "The orchestration awaited {found}, which is not durable: it would be lost in a crash and differ on replay. Await "
    "only what ctx gives: ctx.schedule_timer(seconds) for asyncio.sleep, ctx.schedule_activity(...) for I/O, "
    "ctx.join(...) for asyncio.gather."
)


class DurableFuture(Generic[T]):
    """A value that history will bring. Await it, or give it to `join` or `select`; it may be awaited many times."""

    __slots__ = ("_callbacks", "_error", "_scheduler", "_value", "done")

    def __init__(self, scheduler: Scheduler) -> None:
        """Belong to one scheduler; nobody else may await this."""
        self._scheduler = scheduler
        self._callbacks: list[Callback] = []
        self._value: object = None
        self._error: BaseException | None = None
        self.done = False

    def __await__(self) -> Generator[DurableFuture[object], None, T]:
        """Park the awaiting task until this is done."""
        if not self.done:
            if self._scheduler.is_closed:
                self._scheduler.refuse()
            yield self
        return self.result()

    def result(self) -> T:
        """Give the value, or raise the error; only when `done`."""
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    @property
    def error_or_none(self) -> BaseException | None:
        """The error this ended with; None while it is open or when it has a value."""
        return self._error

    def cancel(self) -> None:
        """Give up waiting; whoever still awaits this gets `OrchestrationCancelled`."""
        self._reject(errors.OrchestrationCancelled(self._scheduler.cancel_reason))

    def on_done(self, callback: Callback) -> None:
        """Call back at completion; at once when this is done already."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def _resolve(self, value: object) -> None:
        if not self.done:
            self._value = value
            self._finish()

    def _reject(self, error: BaseException) -> None:
        if not self.done:
            self._error = error
            self._finish()

    def _finish(self) -> None:
        self.done = True  # from here on nobody is added
        for callback in self._callbacks:
            callback(self)
        self._callbacks.clear()


class Task(DurableFuture[T]):
    """A coroutine on its way; done when it returns or raises."""

    __slots__ = ("_awaiting", "_cancel_asked", "_coroutine", "_must_cancel")

    def __init__(self, scheduler: Scheduler, coroutine: Coroutine[object, object, T]) -> None:
        """Stand ready to take the first step."""
        super().__init__(scheduler)
        self._coroutine = coroutine
        self._awaiting: DurableFuture[object] | None = None
        self._must_cancel = False
        self._cancel_asked = False

    def cancel(self) -> None:
        """Raise `OrchestrationCancelled` at the task's await, once; the task may catch it and go on."""
        if self.done or self._cancel_asked:
            return
        self._cancel_asked = self._must_cancel = True
        if self._awaiting is not None:
            # What it waits for ends first, cleaning up; whatever comes of that, this task is told too.
            self._awaiting.cancel()

    def step(self) -> None:
        """Run to the next await of something open, or to the end."""
        try:
            if self._must_cancel:
                self._must_cancel = False
                awaited = self._coroutine.throw(errors.OrchestrationCancelled(self._scheduler.cancel_reason))
            else:
                awaited = self._coroutine.send(None)
        except StopIteration as stop:
            self._resolve(stop.value)
        except KeyboardInterrupt:
            raise  # somebody ends the process, and happened to meet this code: no outcome of the instance
        except errors.OrchestrationContinued as way_out:
            self._scheduler.is_continuing = True
            self._reject(way_out)
        except BaseException as error:  # noqa: BLE001 - the border to user code: whatever it raises is its outcome
            self._reject(error)
        else:
            if not self._park(awaited):
                found = "a bare yield (asyncio.sleep(0)?)" if awaited is None else repr(awaited)
                self._scheduler.fault = errors.ForeignAwaitError(_FOREIGN.format(found=found))

    @property
    def is_cleaning_up(self) -> bool:
        """Whether it was asked to end and has not yet."""
        return self._cancel_asked and not self.done

    def result(self) -> T:
        """Give the value, or raise the error, which then somebody has heard of."""
        self._scheduler.unheard.pop(self, None)
        return super().result()

    def on_done(self, callback: Callback) -> None:
        """Call back at completion; whoever does hears of an error."""
        self._scheduler.unheard.pop(self, None)
        super().on_done(callback)

    def _finish(self) -> None:
        self._scheduler.tasks.pop(self, None)
        if isinstance(self._error, Exception) and not self._callbacks:
            self._scheduler.unheard[self] = None
        super()._finish()

    def close(self) -> None:
        """Put the coroutine away without running its code any further."""
        try:
            self._coroutine.close()
        except BaseException:  # noqa: BLE001 - the border to user code: a `finally` may ask for more, await or raise
            return

    def _park(self, awaited: object) -> bool:
        if not isinstance(awaited, DurableFuture) or awaited._scheduler is not self._scheduler:  # noqa: SLF001 - one family
            return False
        self._awaiting = awaited
        awaited.on_done(self._wake)
        return True

    def _wake(self, _: DurableFuture[object]) -> None:
        self._awaiting = None
        self._scheduler.ready.append(self)


class Join(DurableFuture[list[object]]):
    """All of them, in argument order; waits for the last one even when another failed."""

    __slots__ = ("_missing", "_parts", "_return_exceptions")

    def __init__(
        self, scheduler: Scheduler, parts: list[DurableFuture[object]], *, return_exceptions: bool = False
    ) -> None:
        """Wait for `parts`; an error raises (the first in argument order), or stands in its place when asked."""
        super().__init__(scheduler)
        self._parts = parts
        self._missing = len(parts)
        self._return_exceptions = return_exceptions
        if not parts:
            self._resolve([])
        for part in parts:
            part.on_done(self._count)

    def cancel(self) -> None:
        """Cancel what is still open; this then ends with it."""
        for part in self._parts:
            if not part.done:
                part.cancel()

    def _count(self, _: DurableFuture[object]) -> None:
        self._missing -= 1
        if self._missing:
            return
        failed = [part.error_or_none for part in self._parts if part.error_or_none is not None]
        cancelled = [error for error in failed if not isinstance(error, Exception)]
        if cancelled or (failed and not self._return_exceptions):
            self._reject((cancelled or failed)[0])
        else:
            self._resolve([p.result() if p.error_or_none is None else p.error_or_none for p in self._parts])


class Select(DurableFuture[tuple[int, object]]):
    """The first of them in history order, as (index, value); the others are cancelled."""

    __slots__ = ("_parts",)

    def __init__(self, scheduler: Scheduler, parts: list[DurableFuture[object]]) -> None:
        """Wait for the first of `parts`; of several that are done already, the first argument wins."""
        super().__init__(scheduler)
        self._parts = parts
        for part in parts:
            part.on_done(self._decide)

    def cancel(self) -> None:
        """Cancel all of them."""
        for part in self._parts:
            part.cancel()
        super().cancel()

    def _decide(self, winner: DurableFuture[object]) -> None:
        if self.done:
            return
        error = winner.error_or_none
        if error is None:
            self._resolve((self._parts.index(winner), winner.result()))
        else:
            self._reject(error)
        for part in self._parts:
            if part is not winner and not part.done:
                part.cancel()


class Scheduler:
    """One queue, one order. Owns the tasks of one execution."""

    __slots__ = ("_refusals", "cancel_reason", "fault", "is_closed", "is_continuing", "ready", "tasks", "unheard")

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.ready: collections.deque[Task[object]] = collections.deque()
        self.tasks: dict[Task[object], None] = {}  # the live ones, in the order in which they began
        self.unheard: dict[Task[object], None] = {}  # those that failed, and nobody has asked
        self.fault: errors.PerdureError | None = None
        self.cancel_reason = ""
        self.is_closed = False
        self.is_continuing = False  # a task has ended by continuing as new
        self._refusals = 0

    def spawn(self, coroutine: Coroutine[object, object, R]) -> Task[R]:
        """Make a task of a coroutine; its first step comes when its turn in the queue comes."""
        task = Task(self, coroutine)
        self.tasks[task] = None
        self.ready.append(task)
        return task

    def to_future(self, awaitable: Awaitable[object]) -> DurableFuture[object]:
        """Give the future of anything that may stand in `join` or `select`; a coroutine becomes a task."""
        if isinstance(awaitable, DurableFuture):
            return awaitable
        if isinstance(awaitable, Coroutine):
            return self.spawn(awaitable)
        raise errors.ForeignAwaitError(_FOREIGN.format(found=repr(awaitable)))

    def run(self) -> None:
        """Take steps until every task waits for something from outside, or one awaited what it may not."""
        ready = self.ready
        while ready and self.fault is None:
            task = ready.popleft()
            if not task.done:
                task.step()

    def cancel_all(self, reason: str) -> None:
        """Ask every live task to end, in the order in which they began."""
        self.cancel_reason = reason
        for task in list(self.tasks):
            task.cancel()

    @property
    def is_cleaning_up(self) -> bool:
        """Whether a cancelled task still runs its `finally` or `except`."""
        return any(task.is_cleaning_up for task in self.tasks)

    def refuse(self) -> None:
        """Code that is being put away, once this `is_closed`, may ask and wait for nothing more.

        Code that swallows even that, in a loop, is let into an await from which it will not come back.
        """
        self._refusals += 1
        if self._refusals <= _REFUSALS:
            raise errors.OrchestrationEvicted

    def close(self) -> None:
        """Put all coroutines away; a `finally` of theirs that awaits is put away too."""
        self.is_closed = True
        for task in list(self.tasks):
            task.close()
        self.tasks.clear()
        self.ready.clear()

"""An event loop with virtual time, whose processes can be killed and frozen between any two lines of theirs.

It knows callbacks, times and actors, and nothing of Perdure. Time goes on only when everybody waits, and then at once.
There is no I/O and no thread in it, so the same program takes the same path every time: callbacks run in the order in
which they came, timers in the order of their moments.

An `Actor` stands for a process. Whatever it starts inherits its context, by which the loop knows whose callback it
holds: those of a frozen actor are kept until it goes on, those of a dead one for ever. So nobody's `except` or
`finally` runs at a death, as with SIGKILL. Each actor has a clock of its own, which may be hours away from the others'.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar, TypeVarTuple, cast

__all__ = ["ACTOR", "Actor", "Standstill", "VirtualLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
ACTOR: contextvars.ContextVar[Actor | None] = contextvars.ContextVar("actor", default=None)
_CALLBACKS_A_MOMENT = 200_000


class Standstill(Exception):  # noqa: N818 - a fact about the world
    """Nobody will ever do anything again, or everybody does something for ever while no time passes."""


class Actor:
    """A process: its name, its clock, whether it lives. `offset` is how far its monotonic clock is ahead."""

    def __init__(self, name: str, *, offset: float = 0.0, is_mortal: bool = True) -> None:
        """Live."""
        self.name = name
        self.is_mortal = is_mortal
        self.offset = offset
        self.is_dead = False
        self.is_frozen = False
        self.kept: list[asyncio.Handle] = []
        self.tasks: list[asyncio.Task[object]] = []
        self.context = contextvars.copy_context()
        self.context.run(ACTOR.set, self)

    @property
    def is_running(self) -> bool:
        """Whether its callbacks run."""
        return not (self.is_dead or self.is_frozen)

    def start(self, loop: VirtualLoop, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run a coroutine as this actor."""
        return loop.create_task(work, context=self.context)


class _Task(asyncio.Task[T]):
    """A task whose place in a set does not depend on its address in memory."""

    numbers = itertools.count(1)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._number = next(_Task.numbers)
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks and lets time jump."""

    def __init__(self) -> None:
        """Begin at second 0; make one by `begin`, which knows that it lacks only what nobody here needs."""
        self.now = 0.0
        self._ready: collections.deque[tuple[Actor | None, asyncio.Handle]] = collections.deque()
        self._scheduled: list[tuple[float, int, Actor | None, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self._at_this_moment = 0
        self._is_running = False
        self._task_factory: Any = None
        self.fault: Exception | None = None

    @classmethod
    def begin(cls) -> Self:
        """Give a new one, at second 0."""
        return cls()

    # What asyncio asks of a loop.

    def time(self) -> float:
        """Give the monotonic clock of whoever asks."""
        actor = ACTOR.get()
        return self.now + (actor.offset if actor else 0.0)

    def get_debug(self) -> bool:
        """Say no."""
        return False

    def is_running(self) -> bool:
        """Say whether `run` is under way."""
        return self._is_running

    def is_closed(self) -> bool:
        """Say no: there is nothing to close."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Raise what nobody else will; what was destroyed while it waited belonged to the dead."""
        if error := context.get("exception"):
            raise error

    def create_future(self) -> asyncio.Future[Any]:
        """Give a future."""
        return asyncio.Future(loop=self)

    def get_task_factory(self) -> Any:
        """Give who makes the tasks instead; None for nobody."""
        return self._task_factory

    def set_task_factory(self, factory: Any) -> None:
        """Let somebody else make the tasks: the engine, where code may have none."""
        self._task_factory = factory

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """Start a coroutine as a task of whoever calls, or of the context that is given."""
        if self._task_factory is not None:
            return cast("asyncio.Task[Any]", self._task_factory(self, coro, **options))
        task: asyncio.Task[Any] = _Task(coro, loop=self, **options)
        actor = _actor_of(options.get("context"))
        if actor is not None:
            actor.tasks.append(task)
        return task

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run a callback at this moment, after all that wait already."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((_actor_of(context), handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback after a while."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a moment of the caller's clock."""
        actor = _actor_of(context)
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._schedule(actor, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is; it is dropped when its moment comes."""

    # What the world asks of it.

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until `work` is done; give its result. Raises `Standstill`, or `fault` when somebody sets it."""
        asyncio._set_running_loop(self)  # noqa: SLF001 - asyncio offers it to those who implement loops
        self._is_running = True
        try:
            task = self.create_task(work)
            while not task.done():
                self._step()
                if self.fault is not None:
                    raise self.fault
            result: T = task.result()
            return result
        finally:
            self._is_running = False
            asyncio._set_running_loop(None)  # noqa: SLF001 - see above

    def freeze(self, actor: Actor) -> None:
        """Stop a process where it stands; what it has sent is on its way."""
        actor.is_frozen = True

    def thaw(self, actor: Actor, *, lag: float = 0.0) -> None:
        """Let it go on. `lag`: how long its monotonic clock stood still too, as on a suspended machine."""
        actor.offset -= lag
        actor.is_frozen = False
        if actor.is_running:
            kept, actor.kept = actor.kept, []
            for handle in kept:
                if isinstance(handle, asyncio.TimerHandle):
                    self._schedule(actor, handle)  # whether it is due, its own clock says
                else:
                    self._ready.append((actor, handle))

    def kill(self, actor: Actor) -> None:
        """End a process: no line of it runs any more."""
        actor.is_dead = True

    def bury(self, actor: Actor) -> None:
        """Let the tasks of a process be cancelled in the usual way, so that Python finds nothing half done."""
        actor.is_dead = False
        self.thaw(actor)
        for task in actor.tasks:
            task.cancel()

    def _schedule(self, actor: Actor | None, handle: asyncio.TimerHandle) -> None:
        when = handle.when() - (actor.offset if actor else 0.0)
        heapq.heappush(self._scheduled, (when, next(self._order), actor, handle))

    def _step(self) -> None:
        """Run one callback; when there is none, let time jump to the next."""
        if not self._ready:
            self._jump()
        actor, handle = self._ready.popleft()
        if handle.cancelled():
            return
        if actor is not None and not actor.is_running:
            actor.kept.append(handle)
            return
        self._at_this_moment += 1
        if self._at_this_moment > _CALLBACKS_A_MOMENT:
            raise Standstill(f"{_CALLBACKS_A_MOMENT} callbacks at one moment: somebody runs in a circle: {handle!r}")
        handle._run()  # noqa: SLF001 - what a loop does with a handle

    def _jump(self) -> None:
        while self._scheduled:
            when, _, actor, handle = heapq.heappop(self._scheduled)
            if handle.cancelled():
                continue
            due = handle.when() - (actor.offset if actor else 0.0)
            if due > when:  # its clock stood still meanwhile
                self._schedule(actor, handle)
                continue
            if when > self.now:
                self.now = when
                self._at_this_moment = 0
            self._ready.append((actor, handle))
            return
        raise Standstill("nobody waits for anything any more")


def _actor_of(context: contextvars.Context | None) -> Actor | None:
    return ACTOR.get() if context is None else context.get(ACTOR)

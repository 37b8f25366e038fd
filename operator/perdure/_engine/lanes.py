"""Lanes: few asyncio tasks that work on many jobs.

A task for each activity would cost more than most activities. A lane is a task that works on one job after the other.
As long as jobs end without waiting for anything, one lane does them all; when its job waits, the next lane is there
already, and of those that are needed twice as many are opened each time.

Whatever an author's code may see stays right: each job runs in a real task, which is its own while it runs
(`asyncio.timeout` and task groups work, a cancel hits this job and no other), and begins in the context in which the
worker began. A lane whose task was cancelled, or whose context variables a job has changed, is not used again.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["Lanes", "Tasked"]

_WITHOUT_A_BREAK = 1_000
"""So many jobs in a row, then everybody else of the event loop gets a turn."""


class Tasked(Protocol):
    """A job that knows the task it runs in, None while it does not run."""

    task: asyncio.Task[None] | None


J = TypeVar("J", bound=Tasked)


class Lanes(Generic[J]):
    """Works on what is put in, in that order, without limit: whoever puts a job in has made room for it."""

    def __init__(self, work: Callable[[J], Awaitable[None]]) -> None:
        """Use `work` for each job; it raises nothing but the `CancelledError` of its task."""
        self._work = work
        self._ready: collections.deque[J] = collections.deque()
        self._context = contextvars.copy_context()
        self._fresh = 0
        self._begun = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def put(self, job: J) -> None:
        """Work on this one soon."""
        self._ready.append(job)
        if not self._fresh:
            self._open(1)

    def interrupt(self) -> None:
        """Cancel what runs, and begin nothing more of what is there."""
        self._ready.clear()
        for task in self.tasks:
            task.cancel()

    async def settle(self, grace_seconds: float) -> None:
        """Wait until nothing runs any more, but not longer than that."""
        if self.tasks:
            await asyncio.wait(list(self.tasks), timeout=grace_seconds)

    def _open(self, count: int) -> None:
        """Open lanes; `_fresh` of them have not begun yet."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            task = loop.create_task(self._lane(), context=self._context.copy())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        self._fresh += count
        self._begun = 0

    async def _lane(self) -> None:
        self._fresh -= 1
        self._begun += 1
        try:
            await self._drive()
        finally:
            if self._ready and not self._fresh:
                self._open(1)

    async def _drive(self) -> None:
        """Work on jobs until there are none, or until this task is no longer as good as new."""
        task = asyncio.current_task()
        context = contextvars.copy_context()
        count = 0
        while self._ready:
            job = self._ready.popleft()
            if self._ready and not self._fresh:  # whoever waits must not wait for this one
                self._open(min(len(self._ready), max(1, 2 * self._begun)))
            job.task = task
            try:
                await self._work(job)
            finally:
                job.task = None
            if (task is not None and task.cancelling()) or contextvars.copy_context() != context:
                return
            count += 1
            if count % _WITHOUT_A_BREAK == 0:
                await asyncio.sleep(0)

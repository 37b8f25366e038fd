"""Between an author's code and the event loop it happens to run in.

Orchestrations are stepped by a task of the engine. `asyncio.timeout()` in one of them would take that task for its own
and cancel it later, and with it the whole worker. So their code runs where there is no current task: asyncio then says
so in an error, which is that instance's alone. Nor may asyncio finalize their async generators later, between turns.
And what they give to `asyncio.create_task` would run between turns, unseen by any history: it is refused.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Final, NoReturn

from perdure import errors

__all__ = ["outside_tasks"]

_NO_TASKS: Final = (
    "The orchestration made a task of {found} with asyncio, which is not durable: it would be lost in a crash and do "
    "again on replay what it did. Use ctx.spawn(...) for asyncio.create_task, ctx.join(...) for asyncio.gather, and "
    "ctx.select(...) with ctx.schedule_timer(...) for asyncio.wait_for."
)


class outside_tasks:  # noqa: N801 - read as a statement: `with outside_tasks():`
    """Run the block without a current task, and let nobody make one. It must not await."""

    __slots__ = ("_factory", "_hooks", "_loop", "_task")

    def __enter__(self) -> None:
        """Step out, by the calls that asyncio documents for those who extend it."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._factory = self._loop.get_task_factory()
        self._loop.set_task_factory(_refuse)
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        if self._task is not None:
            asyncio.tasks._leave_task(self._loop, self._task)  # noqa: SLF001 - documented, in spite of its name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Step back in."""
        sys.set_asyncgen_hooks(*self._hooks)
        self._loop.set_task_factory(self._factory)
        if self._task is not None:
            asyncio.tasks._enter_task(self._loop, self._task)  # noqa: SLF001 - documented, in spite of its name


def _refuse(
    _: asyncio.AbstractEventLoop,
    coroutine: Coroutine[object, object, object] | Generator[object, None, object],
    **__: object,
) -> NoReturn:
    """Refuse to make a task; the coroutine is closed, as one that nobody will ever run."""
    coroutine.close()
    raise errors.ForeignAwaitError(_NO_TASKS.format(found=getattr(coroutine, "__qualname__", "a coroutine")))

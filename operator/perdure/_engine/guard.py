"""Between an author's code and the event loop it happens to run in.

Orchestrations are stepped by a task of the engine. `asyncio.timeout()` in one of them would take that task for its own
and cancel it later, and with it the whole worker. So their code runs where there is no current task: asyncio then says
so in an error, which is that instance's alone. Nor may asyncio finalize their async generators later, between turns.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType

__all__ = ["outside_tasks"]


class outside_tasks:  # noqa: N801 - read as a statement: `with outside_tasks():`
    """Run the block without a current task. It must not await."""

    __slots__ = ("_hooks", "_loop", "_task")

    def __enter__(self) -> None:
        """Step out, by the calls that asyncio documents for those who extend it."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        if self._task is not None:
            asyncio.tasks._leave_task(self._loop, self._task)  # noqa: SLF001 - documented, in spite of its name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Step back in."""
        sys.set_asyncgen_hooks(*self._hooks)
        if self._task is not None:
            asyncio.tasks._enter_task(self._loop, self._task)  # noqa: SLF001 - documented, in spite of its name

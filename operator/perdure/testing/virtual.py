"""Virtual time: an event loop whose clock moves only when nothing else can happen.

Whoever sleeps is woken in the right order, and at once. While a thread or a socket is at work the clock stands still and
the loop really waits, so code that does real I/O works too, only not faster than it does. The loop runs where it is
asked to, or in a thread of its own when another loop runs there already: so tests may be `async def` or not.

It knows nothing of orchestrations.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import math
import selectors
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["VirtualTimeLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 0 seconds. Not for sharing: whoever drives it waits until it stands again."""

    def __init__(self) -> None:
        """Stand at the beginning."""
        self._selector_of_time = _Selector(self)
        super().__init__(self._selector_of_time)
        self.set_exception_handler(_ignore)

    def time(self) -> float:
        """Give the virtual time in seconds."""
        return self._selector_of_time.now

    def drive(self, *, until: float = math.inf, is_enough: Callable[[], bool] | None = None) -> None:
        """Let happen what can, up to the moment `until`; stop before time moves when it is enough."""
        selector = self._selector_of_time
        selector.until, selector.is_enough = until, is_enough
        if not _is_loop_running():
            self.run_forever()
            return
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="perdure-testing") as thread:
            thread.submit(contextvars.copy_context().run, self.run_forever).result()

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[Unpack[Ts]], T],
        *args: Unpack[Ts],
    ) -> asyncio.Future[T]:
        """Run in a thread; the clock stands until it has ended."""
        future = super().run_in_executor(executor, func, *args)
        self._selector_of_time.threads += 1
        future.add_done_callback(self._count_out)
        return future

    def _count_out(self, _: object) -> None:
        self._selector_of_time.threads -= 1

    def __del__(self) -> None:
        """Close quietly: a test that fails forgets its simulation."""
        if not self.is_closed() and not self.is_running():
            self.close()


class _Selector(selectors.BaseSelector):
    """Where a loop waits; here it does not, unless for the world outside."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()
        self._own = 0
        self.now = 0.0
        self.until = math.inf
        self.is_enough: Callable[[], bool] | None = None
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._real.select(0)
        if found or timeout == 0:
            return found
        if self.threads or len(self._real.get_map() or ()) > 1:  # more than the pipe by which the loop is woken
            found = self._real.select(timeout)
            if found:
                return found
        is_over = self.is_enough is not None and self.is_enough()
        if is_over or timeout is None or self.now + timeout > self.until:
            if not is_over and math.isfinite(self.until):
                self.now = max(self.now, self.until)
            self._loop.stop()
        else:
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
        return []

    def register(self, fileobj: FileDescriptorLike, events: int, data: object = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _ignore(_: asyncio.AbstractEventLoop, __: dict[str, object]) -> None:
    """Say nothing: what goes wrong is raised to the test, and what is left at its end is left on purpose."""

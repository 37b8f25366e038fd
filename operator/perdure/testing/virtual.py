"""Virtual time: an event loop whose clock moves only when nothing else can happen.

Whoever sleeps is woken in the right order, and at once. While a thread or a socket is at work the clock stands still
and the loop really waits, so code that does real I/O works too, only not faster than it does. The loop runs where it is
asked to, or in a thread of its own when another loop runs there already: so tests may be `async def` or not.

It knows nothing of orchestrations.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import math
import selectors
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple, Unpack

__all__ = ["VirtualTimeLoop", "beside_loops"]

_RESOLUTION: Final = 1e-7  # under half a microsecond, which is what moments are rounded to
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

    @property
    def _clock_resolution(self) -> float:
        """How far a due time may lie ahead and count as come; asyncio's own is too fine once years have passed."""
        return max(_RESOLUTION, 2 * math.ulp(self.time()))

    @_clock_resolution.setter
    def _clock_resolution(self, _: float) -> None:
        """Leave what asyncio sets: it measures the machine's clock."""

    def drive(self, *, until: float = math.inf, is_enough: Callable[[], bool] | None = None) -> None:
        """Let happen what can, up to the moment `until`; stop before time moves when it is enough."""
        selector = self._selector_of_time
        selector.until, selector.is_enough = until, is_enough
        beside_loops(self.run_forever)

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[Unpack[Ts]], T],
        *args: *Ts,
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


class _Selector(selectors.DefaultSelector):
    """Where a loop waits; this one does not, unless for the world outside."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        """Serve one loop."""
        super().__init__()
        self._loop = loop
        self.now = 0.0
        self.until = math.inf
        self.is_enough: Callable[[], bool] | None = None
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is there; when nothing is, let time jump to what is due next, or stop the loop."""
        found = super().select(0)
        if found or timeout == 0:
            return found
        if self.threads or len(self.get_map()) > 1:  # more than the pipe by which the loop is woken
            found = super().select(timeout)
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


def beside_loops(action: Callable[[], T]) -> T:
    """Do something where no loop and no task of asyncio is: here, or in a thread of its own."""
    if not _is_loop_running():
        return action()
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="perdure-testing") as thread:
        return thread.submit(contextvars.copy_context().run, action).result()


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _ignore(_: asyncio.AbstractEventLoop, __: dict[str, object]) -> None:
    """Say nothing: what goes wrong is raised to the test, and what is left at its end is left on purpose."""

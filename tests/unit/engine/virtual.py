"""An event loop whose time is made up: it stands still while there is something to do, then jumps to the next timer.

So what takes a minute takes no time, and what happens at which second is exact. No threads and no I/O: a loop that
waits for those would see its time jump.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Does not wait, but says how long it would have waited."""

    def __init__(self) -> None:
        """Begin at second 0."""
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass at once."""
        if timeout is None:
            message = "nothing will ever happen: everybody waits, and no timer is set"
            raise AssertionError(message)
        self.now += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._selected = _Selector()
        super().__init__(self._selected)

    def time(self) -> float:
        """Give the made-up time."""
        return self._selected.now


def in_virtual_time(test: Callable[P, Coroutine[object, object, T]]) -> Callable[P, T]:
    """Run an async test in made-up time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            return runner.run(test(*args, **kwargs))

    return run


def now() -> float:
    """Give the seconds since the test began."""
    return asyncio.get_running_loop().time()

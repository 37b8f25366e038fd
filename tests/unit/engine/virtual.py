"""Made-up time for tests of the engine's parts: what takes a minute takes no time, and each second is exact."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

from perdure.testing.virtual import VirtualTimeLoop

P = ParamSpec("P")
T = TypeVar("T")


def in_virtual_time(test: Callable[P, Coroutine[object, object, T]]) -> Callable[P, T]:
    """Run an async test in made-up time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(test(*args, **kwargs))

    return run


def now() -> float:
    """Give the seconds since the test began."""
    return asyncio.get_running_loop().time()

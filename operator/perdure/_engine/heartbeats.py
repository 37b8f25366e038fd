"""Heartbeats on their way to the database: what running activities said last, so that the next attempt can go on there.

The first word of an activity is written at once, all that is said later about once a second, in one statement for all;
nothing is written when nothing is new. Signs of life without a word never leave the process. How it is written is the
business of whoever runs the activities.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from perdure._core import limits

__all__ = ["Heartbeats"]

_log = structlog.get_logger(__name__)
J = TypeVar("J")


class Heartbeats(Generic[J]):
    """Collects jobs that have something new to say, and has them written."""

    def __init__(self, write: Callable[[list[J]], Awaitable[object]]) -> None:
        """Use `write` for all that is new; it waits for a database that is away."""
        self._write = write
        self._new: dict[J, None] = {}
        self._on_their_way: frozenset[J] = frozenset()
        self._landed = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def note(self, job: J) -> None:
        """Write what this job says now, soon."""
        self._new[job] = None
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def settled(self, job: J) -> None:
        """Forget what is not written yet, and wait for what is on its way: afterwards others may write the row."""
        self._new.pop(job, None)
        while job in self._on_their_way:
            self._landed.clear()
            await self._landed.wait()

    async def flush(self) -> None:
        """Write at once what is new, and wait until it is written."""
        self._is_urgent.set()
        while self._new or self._on_their_way:
            self._landed.clear()
            await self._landed.wait()

    def close(self) -> None:
        """Write nothing more."""
        if self._writing is not None:
            self._writing.cancel()

    async def _write_all(self) -> None:
        try:
            while self._new:
                await self._write_new()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(limits.HEARTBEAT_WRITE_SECONDS):
                        await self._is_urgent.wait()
        finally:
            self._writing = None

    async def _write_new(self) -> None:
        self._is_urgent.clear()
        self._on_their_way, self._new = frozenset(self._new), {}
        try:
            await self._write(list(self._on_their_way))
        except Exception as error:  # noqa: BLE001 - a lost detail costs the next attempt a little, no more
            _log.warning("heartbeats not written", activities=len(self._on_their_way), error=str(error))
        finally:
            self._on_their_way = frozenset()
            self._landed.set()

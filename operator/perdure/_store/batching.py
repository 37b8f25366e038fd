"""Many small writes as few large ones, without waiting: a batch is what arrived while the last one was on its way.

It knows nothing of SQL: it is given a function that writes a list and gives back one result an item. A list that is
refused is written item by item: the error of one is not the error of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from perdure._store.connect import is_transient

__all__ = ["Batcher"]

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects items and flushes them in the order in which they came, one flush at a time."""

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[Sequence[R]]],
        *,
        max_items: int = 1_000,
        max_weight: int = 0,
        weigh: Callable[[T], int] | None = None,
    ) -> None:
        """Use `flush` for up to `max_items` at once, and what `weigh` says together up to `max_weight`.

        It writes all or nothing, or may write the same again.
        """
        self._flush = flush
        self._max_items = max_items
        self._max_weight = max_weight
        self._weigh = weigh
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._draining: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """Write `item` with the next batch; give its result."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        # As a task this begins in the next round of the loop: everybody who was ready in the last one has joined.
        while self._waiting:
            count = self._fitting()
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            await self._write(batch)
        self._draining = None

    def _fitting(self) -> int:
        """Say how many of those that wait go into one flush: always one, whatever it weighs."""
        if self._weigh is None:
            return self._max_items
        total = 0
        for index, (item, _) in enumerate(self._waiting[: self._max_items]):
            total += self._weigh(item)
            if index and total > self._max_weight:
                return index
        return self._max_items

    async def _write(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed on to whoever submitted
            if len(batch) > 1 and not is_transient(error):
                for item in batch:
                    await self._write([item])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

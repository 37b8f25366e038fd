"""A shelf: a fresh database that is lent, and runs that keep their inventory in it, called as a worker calls them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar

import asyncpg
import structlog

from activities.inventory.look import get_entry
from activities.inventory.set_state import set_state
from activities.types import EntryInput, InventoryEntry, ReserveInput, ServerState, SetStateInput, StateOutput
from perdure import ActivityContext, ActivityDefinition, ActivityInfo
from perdure._store.lending import LentDatabase
from perdure.settings import masked

__all__ = ["BY_NAME", "ORDERS", "Shelf", "lent"]

I = TypeVar("I")  # noqa: E741 - I and O are read as input and output
O = TypeVar("O")  # noqa: E741 - see above

ORDERS = ReserveInput(name="orders", version="18", storage="1Gi")
BY_NAME = EntryInput(name="orders")


class Shelf:
    """A database that is lent, and runs without a cluster that keep something in it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.database = lent(dsn)
        self._numbers: Iterator[int] = itertools.count(1_000)

    def run(self, name: str = "first", *, seq: int = 0) -> ActivityContext:
        """Give the context of an attempt; of the same activity as before when `seq` is, else of another one."""
        info = ActivityInfo(
            instance_id=name,
            orchestration="test",
            execution=1,
            activity="test",
            seq=seq or next(self._numbers),
            attempt=1,
        )
        return ActivityContext(info, structlog.get_logger(), _database=self.database)

    async def do(self, activity: ActivityDefinition[I, O], input: I, *, run: str = "first", seq: int = 0) -> O:
        """Do an activity for a run, once."""
        result = activity(self.run(run, seq=seq), input)
        assert isinstance(result, Awaitable)
        done: O = await result
        return done

    async def twice(self, activity: ActivityDefinition[I, O], input: I, *, run: str = "first") -> list[O]:
        """Do an activity twice at once: the attempt of a worker that was taken for dead, and the next one."""
        seq = next(self._numbers)
        return list(await asyncio.gather(*(self.do(activity, input, run=run, seq=seq) for _ in range(2))))

    async def state(self, state: ServerState, message: str = "", *, seq: int = 0, **more: Any) -> StateOutput:
        """Set the state of `orders`."""
        return await self.do(set_state, SetStateInput(name="orders", state=state, message=message, **more), seq=seq)

    async def entry(self) -> InventoryEntry:
        """Give what is known of `orders`."""
        found = await self.do(get_entry, BY_NAME)
        assert found is not None
        return found

    async def fetch(self, sql: str) -> list[Any]:
        """Look at the tables behind the back of the activities; give the first column."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return [row[0] for row in await connection.fetch(sql)]
        finally:
            await connection.close()


def lent(dsn: str) -> LentDatabase:
    """Lend a database."""
    return LentDatabase(dsn, address=masked(dsn), variable="PERDURE_INVENTORY_URL")

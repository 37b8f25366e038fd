"""The tables of the inventory, made when they are first needed, and the way in which all activities speak to them.

Each activity is one transaction: it counts whole or not at all, and may be begun anew when its answer was lost. What
makes that harmless are the keys of activities, which the tables hold unique. The first transaction of a process brings
the tables up to date, under a lock: any number of workers may begin at once.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import TypeVar

from perdure import ActivityContext, Database, Transaction, migrations

__all__ = ["LOCK_KEY", "migrate", "statement", "transact"]

LOCK_KEY = int.from_bytes(b"inventor")
"""Key of the advisory lock for migrations: eight letters as a number. Never changes."""

Row = Mapping[str, object]
T = TypeVar("T")

_up_to_date: weakref.WeakSet[Database] = weakref.WeakSet()


async def transact(ctx: ActivityContext, work: Callable[[Transaction], Awaitable[T]]) -> T:
    """Do the work of an activity in one transaction on the inventory, and give what it gives.

    Raises what `Database.transact` and `migrate` raise.
    """
    database = ctx.database
    if database not in _up_to_date:
        for name in await migrate(database):
            ctx.trace_info("inventory migrated", migration=name)
        _up_to_date.add(database)
    return await database.transact(work)


async def migrate(database: Database) -> list[str]:
    """Bring the tables up to date; give the names of what this call applied.

    Raises `SchemaNewerError` and `MigrationChangedError` for tables of another release.
    """

    async def apply(transaction: Transaction) -> list[str]:
        await transaction.fetch(statement("migrations_lock"), LOCK_KEY)
        missing = await _pending(transaction)
        if missing:
            await transaction.execute((resources.files(__package__) / "ledger.sql").read_text("utf-8"))
        for migration in missing:
            await transaction.execute(migration.text)
            recorded = (migration.number, migration.name, migration.checksum)
            await transaction.fetch(statement("migrations_record"), *recorded)
        return [migration.name for migration in missing]

    return await database.transact(apply) if await database.transact(_pending) else []


async def _pending(transaction: Transaction) -> list[migrations.Migration]:
    (found,) = await transaction.fetch(statement("migrations_exist"))
    rows = await transaction.fetch(statement("migrations_applied")) if found["is_there"] else []
    applied = {int(str(row["number"])): (str(row["name"]), str(row["checksum"])) for row in rows}
    return migrations.pending(migrations.read(resources.files(__package__) / "migrations"), applied)


@functools.cache
def statement(name: str) -> str:
    """Give the text of `queries/{name}.sql`."""
    return (resources.files(__package__) / "queries" / f"{name}.sql").read_text("utf-8")

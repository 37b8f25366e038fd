"""Count a table on both sides when all of it is copied: what arrived is what there is, or somebody should know.

Rows that were written to the source behind what had been copied are not in the target; only the count tells. A table
that is right is made ready for its first writer: the sequences of its columns go on where those of the source have come
to. They are never set back, so it may be done again, also when somebody writes already.
"""

from __future__ import annotations

import asyncpg

from activities import names
from activities.postgres import databases
from activities.postgres.databases import Connection, statement
from activities.types import MigratedTable, TableCounts, VerifyMigrationInput
from perdure import ActivityContext, NonRetryableError, activity

__all__ = ["verify_migration"]


@activity(names.VERIFY_POSTGRES_MIGRATION)
async def verify_migration(ctx: ActivityContext, input: VerifyMigrationInput) -> TableCounts:
    """Give the rows of a table on both sides, and move its sequences on.

    Raises `NonRetryableError` when the target has fewer rows; its sequences then stay.
    """
    schema, table = databases.split(input.table)
    count = statement("migration_count", schema=schema, table=table)
    async with databases.both(ctx, input.source, target=input.target) as (source, target):
        here, there = await source.fetchval(count), await target.fetchval(count)
        progress = await target.fetchrow(statement("migration_progress"), input.migration, input.table.name)
        if there < here:
            message = (
                f"Table {input.table.name} has {here} rows in the source and {there} in the target: rows were written "
                "to the source behind what had been copied. Stop writing to it and migrate again under another id; "
                "rows that are there stay as they are."
            )
            raise NonRetryableError(message, details={"source": here, "target": there})
        sequences = await _moved_on(source, target, input.table)
    copied = progress["copied_rows"] if progress else 0
    return TableCounts(table=input.table.name, copied=copied, source=here, target=there, sequences=sequences)


async def _moved_on(source: Connection, target: Connection, table: MigratedTable) -> list[str]:
    """Let each sequence of the target go on where that of the same column in the source has come to; name those."""
    find, moved = statement("migration_sequences"), []
    theirs = {row["name"]: row for row in await source.fetch(find, *databases.split(table))}
    for mine in await target.fetch(find, *databases.split(table)):
        if (found := theirs.get(mine["name"])) is None:
            continue
        value = await source.fetchrow(statement("migration_sequence_value", **_named(found)))
        name = f"{databases.quoted(mine['schema'])}.{databases.quoted(mine['sequence'])}"
        advance = statement("migration_sequence_advance", **_named(mine))
        if value and await target.fetchval(advance, name, value["last_value"], value["is_called"]):
            moved.append(f"{mine['schema']}.{mine['sequence']}")
    return moved


def _named(row: asyncpg.Record) -> dict[str, str]:
    return {"schema": row["schema"], "sequence": row["sequence"]}

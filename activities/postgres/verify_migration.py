"""Count a table on both sides when all of it is copied: what arrived is what there is, or somebody should know.

Rows that were written to the source behind what had been copied are not in the target; only the count tells.
"""

from __future__ import annotations

from activities import names
from activities.postgres import databases
from activities.postgres.databases import statement
from activities.types import TableCounts, VerifyMigrationInput
from perdure import ActivityContext, NonRetryableError, activity

__all__ = ["verify_migration"]


@activity(names.VERIFY_POSTGRES_MIGRATION)
async def verify_migration(ctx: ActivityContext, input: VerifyMigrationInput) -> TableCounts:
    """Give the rows of a table on both sides. Raises `NonRetryableError` when the target has fewer."""
    schema, table = databases.split(input.table)
    count = statement("migration_count", schema=schema, table=table)
    async with databases.both(ctx, input.source, target=input.target) as (source, target):
        here, there = await source.fetchval(count), await target.fetchval(count)
        progress = await target.fetchrow(statement("migration_progress"), input.migration, input.table.name)
    if there < here:
        message = (
            f"Table {input.table.name} has {here} rows in the source and {there} in the target: rows were written to "
            "the source behind what had been copied. Stop writing to it and migrate again under another id; rows that "
            "are there stay as they are."
        )
        raise NonRetryableError(message, details={"source": here, "target": there})
    copied = progress["copied_rows"] if progress else 0
    return TableCounts(table=input.table.name, copied=copied, source=here, target=there)

"""Plan how a table is moved: cut the next stretch of it into chunks by its key, and note them where the rows will go.

The plan is kept in the target, not in the run: a chunk is the same range of keys whoever copies it, in whichever run,
however many rows a chunk is to have by now. Nothing new is planned while something planned is left to do.
"""

from __future__ import annotations

from activities import names
from activities.postgres import databases
from activities.postgres.databases import Connection, statement
from activities.types import Chunk, PlanMigrationInput, PlanMigrationOutput
from perdure import ActivityContext, NonRetryableError, activity

__all__ = ["plan_migration"]


@activity(names.PLAN_POSTGRES_MIGRATION)
async def plan_migration(ctx: ActivityContext, input: PlanMigrationInput) -> PlanMigrationOutput:
    """Give the chunks of a table to copy next; none when it is copied.

    Raises `NonRetryableError` when the table does not fit: no such table, no such key, a column that the target lacks.
    """
    async with databases.both(ctx, input.source, target=input.target) as (source, target):
        key = await databases.key_of(source, input.table, place="source")
        await databases.key_of(target, input.table, place="target")
        there = await databases.columns_of(target, input.table)
        if missing := [name for name in await databases.columns_of(source, input.table) if name not in there]:
            raise NonRetryableError(f"Table {input.table.name} of the target lacks columns: {', '.join(missing)}.")
        async with target.transaction():
            await target.execute(statement("migration_lock"))
            await target.execute(statement("migration_ledger"))
            chunks = await _open(target, input)
            if not chunks:
                await _plan(source, target, input)
                chunks = await _open(target, input)
            progress = await target.fetchrow(statement("migration_progress"), input.migration, input.table.name)
    copied = int(progress["copied_rows"]) if progress else 0
    return PlanMigrationOutput(chunks=chunks, copied_rows=copied, estimated_rows=int(key["estimated_rows"]))


async def _open(target: Connection, input: PlanMigrationInput) -> list[Chunk]:
    """Give what is planned and not copied."""
    found = await target.fetch(statement("migration_open_chunks"), input.migration, input.table.name, input.chunks)
    return [Chunk(number=row["chunk"], rows=row["planned_rows"]) for row in found]


async def _plan(source: Connection, target: Connection, input: PlanMigrationInput) -> None:
    """Note the next chunks of the table, if it goes on."""
    schema, table = databases.split(input.table)
    cut = statement("migration_bounds", schema=schema, table=table, key=input.table.key_columns)
    mine = (input.migration, input.table.name)
    before = await target.fetchrow(statement("migration_progress"), *mine)
    last, upto = (before["last_chunk"], before["upto_key"]) if before else (0, None)
    bounds = await source.fetch(cut, upto, input.chunk_rows * input.chunks, input.chunk_rows)
    keys, rows = [row["upto_key"] for row in bounds], [row["rows"] for row in bounds]
    await target.execute(statement("migration_record_plan"), *mine, last, upto, keys, rows)

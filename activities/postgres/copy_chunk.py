"""Copy one planned chunk of a table, once: its rows and the note that they are there are one transaction of the target.

Who comes second (a later attempt, another run, a worker taken for dead) waits for the first at the chunk's row
of the plan, and finds it copied or takes it over. Rows go from COPY to COPY as text, few blocks at a time in memory; a
row that the target has by its key stays as it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from activities import names
from activities.postgres import databases
from activities.postgres.databases import Connection, statement
from activities.types import CopyChunkInput, CopyChunkOutput
from perdure import ActivityContext, NonRetryableError, activity

__all__ = ["copy_chunk"]

BLOCKS_AHEAD = 16
"""How far reading may be ahead of writing: blocks of the protocol, each of some rows."""


@activity(names.COPY_POSTGRES_CHUNK)
async def copy_chunk(ctx: ActivityContext, input: CopyChunkInput) -> CopyChunkOutput:
    """Copy a chunk unless it is copied, and say how many rows it had.

    Raises `NonRetryableError` for a chunk that nobody planned and for rows that the target refuses.
    """
    mine = (input.migration, input.table.name, input.chunk)
    async with databases.both(ctx, input.source, target=input.target) as (source, target), target.transaction():
        chunk = await target.fetchrow(statement("migration_take_chunk"), *mine)
        if chunk is None:
            raise NonRetryableError(f"Migration {input.migration} has no chunk {input.chunk} of {input.table.name}.")
        if chunk["rows"] is not None:
            return CopyChunkOutput(rows=chunk["rows"], was_done=True)

        schema, table = databases.split(input.table)
        columns = await databases.columns_of(source, input.table)
        place = {"schema": schema, "table": table, "columns": columns, "key": input.table.key_columns}

        await target.execute(statement("migration_staging", **place))
        read = statement("migration_read_chunk", **place)
        rows = await _piped(source, target, read, (chunk["after_key"], chunk["upto_key"]), columns=columns)
        await target.execute(statement("migration_write_chunk", **place))
        await target.execute(statement("migration_chunk_done"), *mine, rows)
    ctx.trace_info("copied", table=input.table.name, chunk=input.chunk, rows=rows)
    return CopyChunkOutput(rows=rows, was_done=False)


async def _piped(
    source: Connection, target: Connection, read: str, bounds: tuple[str | None, str], *, columns: list[str]
) -> int:
    """Send what a query reads into the staging table while it is read; give the number of rows."""
    blocks: asyncio.Queue[bytes | None] = asyncio.Queue(BLOCKS_AHEAD)

    async def arriving() -> AsyncIterator[bytes]:
        while (block := await blocks.get()) is not None:
            yield block

    try:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(target.copy_to_table("perdure_chunk", source=arriving(), columns=columns))
            await source.copy_from_query(read, *bounds, output=blocks.put)
            await blocks.put(None)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return int(writing.result().removeprefix("COPY "))

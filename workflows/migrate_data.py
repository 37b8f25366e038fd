"""Move the rows of tables from one Postgres to another, many chunks at a time and no faster than it may be.

The plan is in the target, beside the rows: this code asks what is left, copies a stretch of it, and begins anew with an
empty history. So nothing has to be remembered here, a table of any size fits, and a run that failed is gone on with by
the next one of the same migration id. Tables go in the order of the input, one after the other: a table that others
refer to comes first.
"""

from __future__ import annotations

import datetime

from activities.postgres.copy_chunk import copy_chunk
from activities.postgres.plan_migration import plan_migration
from activities.postgres.verify_migration import verify_migration
from activities.types import (
    Chunk,
    CopyChunkInput,
    MigratedTable,
    PlanMigrationInput,
    PlanMigrationOutput,
    VerifyMigrationInput,
)
from perdure import Exponential, OrchestrationContext, RetryPolicy, orchestration
from workflows import names
from workflows.owners import owner_of
from workflows.types import MigrateDataInput, MigrateDataOutput

__all__ = ["Stretch", "migrate_data"]

CHUNKS = 200
"""So many chunks are one execution: their history is read in milliseconds."""

HOUR = 3600.0
RETRY = RetryPolicy(8, backoff=Exponential(base=1, multiplier=2.0, max=60), timeout=HOUR)


@orchestration(names.MIGRATE_DATA, version="1.0.0")
async def migrate_data(ctx: OrchestrationContext, input: MigrateDataInput) -> MigrateDataOutput:
    """Copy a stretch of the first table that is not done, and go on until none is left; then count."""
    migration = input.migration or owner_of(ctx.instance_id)
    both = {"migration": migration, "source": input.source, "target": input.target}
    plans = await ctx.join(
        *(
            ctx.schedule_activity(
                plan_migration,
                PlanMigrationInput(**both, table=table, chunk_rows=input.chunk_rows, chunks=CHUNKS),
                retry=RETRY,
                heartbeat_timeout=60,
            )
            for table in input.tables
        )
    )
    for table, plan in zip(input.tables, plans, strict=True):
        if plan.chunks:
            await Stretch(ctx, input, table, plans).copy(plan.chunks)
            ctx.continue_as_new(input)

    counts = []
    for table in input.tables:
        ctx.set_progress(*_rows(plans), f"counting {table.name}")
        counted = VerifyMigrationInput(**both, table=table)
        counts.append(await ctx.schedule_activity(verify_migration, counted, retry=RETRY, heartbeat_timeout=60))
    rows = sum(count.copied for count in counts)
    ctx.set_progress(rows, rows, f"{len(counts)} tables are copied")
    return MigrateDataOutput(migration=migration, rows=rows, tables=counts)


class Stretch:
    """Chunks of one table that are copied side by side, at a pace."""

    def __init__(
        self, ctx: OrchestrationContext, input: MigrateDataInput, table: MigratedTable, plans: list[PlanMigrationOutput]
    ) -> None:
        self.ctx, self.input, self.table = ctx, input, table
        self.done, self.total = _rows(plans)
        self.next_at = ctx.utcnow()

    async def copy(self, chunks: list[Chunk]) -> None:
        """Copy them all, `parallel` at a time; after one that failed for good none is begun."""
        self.left = list(chunks)
        self.ctx.set_progress(self.done, self.total, f"copying {self.table.name}")
        await self.ctx.join(*(self._lane() for _ in range(self.input.parallel)))
        await self._until_due()

    async def _lane(self) -> None:
        while self.left:
            await self._one(self.left.pop(0))

    async def _one(self, chunk: Chunk) -> None:
        await self._until_due(chunk.rows)
        wanted = CopyChunkInput(
            migration=self.input.migration or owner_of(self.ctx.instance_id),
            source=self.input.source,
            target=self.input.target,
            table=self.table,
            chunk=chunk.number,
        )
        try:
            copied = await self.ctx.schedule_activity(copy_chunk, wanted, retry=RETRY, heartbeat_timeout=60)
        except Exception:
            self.left.clear()
            raise
        self.done += copied.rows
        self.ctx.set_progress(self.done, max(self.total, self.done), f"copying {self.table.name}")

    async def _until_due(self, rows: int = 0) -> None:
        """Wait for the turn of so many rows; those after them wait for as long as these may take."""
        now = self.ctx.utcnow()
        begin = max(self.next_at, now)
        if self.input.rows_per_second:
            self.next_at = begin + datetime.timedelta(seconds=rows / self.input.rows_per_second)
        if begin > now:
            await self.ctx.schedule_timer(begin - now)


def _rows(plans: list[PlanMigrationOutput]) -> tuple[int, int]:
    """Give the rows that are copied, and all that there seem to be."""
    known = [(plan.copied_rows, plan.copied_rows + sum(chunk.rows for chunk in plan.chunks)) for plan in plans]
    total = sum(max(plan.estimated_rows, least) for plan, (_, least) in zip(plans, known, strict=True))
    return sum(copied for copied, _ in known), total

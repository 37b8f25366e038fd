"""migrate-data in simulations: the stretches of a plan, how many chunks at once, how fast, and what a failure leaves.

`Shelf` stands for the two databases: what is planned and what is copied. Rows themselves are moved in
`tests/e2e/test_migration.py`, between real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pydantic
import pytest

from activities.postgres import databases
from activities.postgres.copy_chunk import copy_chunk
from activities.postgres.plan_migration import plan_migration
from activities.postgres.verify_migration import verify_migration
from activities.types import (
    Chunk,
    CopyChunkInput,
    CopyChunkOutput,
    MigratedTable,
    PlanMigrationInput,
    PlanMigrationOutput,
    PostgresDatabase,
    TableCounts,
    VerifyMigrationInput,
)
from perdure import ActivityContext, errors
from perdure.testing import Simulation, simulate
from workflows.migrate_data import CHUNKS, migrate_data
from workflows.types import MigrateDataInput

OLD = PostgresDatabase(host="old", database="app", secret_name="old-credentials")
NEW = PostgresDatabase(host="new", database="app", secret_name="new-credentials")
ROWS = 10


def move(*tables: str, **options: object) -> MigrateDataInput:
    """Give the input for these tables."""
    named = [MigratedTable(name=name, key="id") for name in tables]
    return MigrateDataInput.model_validate(
        {"source": OLD, "target": NEW, "tables": named, "chunk_rows": ROWS, **options}
    )


class Shelf:
    """Tables of so many chunks, each of ten rows; copying one takes a second."""

    def __init__(self, **chunks: int) -> None:
        self.left = {table: list(range(1, count + 1)) for table, count in chunks.items()}
        self.total = chunks
        self.copied: list[tuple[str, int]] = []
        self.busy = self.busiest = 0
        self.refused: set[tuple[str, int]] = set()

    def activities(self) -> Mapping[object, object]:
        """Give what stands for the activities."""
        return {plan_migration: self.plan, copy_chunk: self.copy, verify_migration: self.count}

    def plan(self, _: ActivityContext, input: PlanMigrationInput) -> PlanMigrationOutput:
        """Give what is left."""
        left, total = self.left[input.table.name], self.total[input.table.name]
        return PlanMigrationOutput(
            chunks=[Chunk(number=number, rows=ROWS) for number in left[: input.chunks]],
            copied_rows=ROWS * (total - len(left)),
            estimated_rows=ROWS * total,
        )

    async def copy(self, _: ActivityContext, input: CopyChunkInput) -> CopyChunkOutput:
        """Copy a chunk, unless it is one that is refused."""
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(1)
        self.busy -= 1
        chunk = (input.table.name, input.chunk)
        if chunk in self.refused:
            raise errors.NonRetryableError(f"Chunk {input.chunk} does not fit.")
        self.copied.append(chunk)
        self.left[input.table.name].remove(input.chunk)
        return CopyChunkOutput(rows=ROWS, was_done=False)

    def count(self, _: ActivityContext, input: VerifyMigrationInput) -> TableCounts:
        """Count both sides."""
        rows = ROWS * self.total[input.table.name]
        return TableCounts(table=input.table.name, copied=rows, source=rows, target=rows)


def test_every_chunk_is_copied_once_table_after_table() -> None:
    """What others refer to is there before them, and the output counts everything."""
    shelf = Shelf(customers=3, orders=5)

    run = simulate(migrate_data, move("customers", "orders"), activities=shelf.activities())

    assert sorted(shelf.copied) == sorted({*shelf.copied})
    assert [table for table, _ in shelf.copied] == ["customers"] * 3 + ["orders"] * 5
    assert (run.output.rows, [table.table for table in run.output.tables]) == (80, ["customers", "orders"])
    assert (run.progress[-1].done, run.progress[-1].total) == (80, 80)


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_chunks_are_copied_at_a_time_than_were_asked_for(parallel: int) -> None:
    """Neither more nor fewer, as long as there are so many."""
    shelf = Shelf(orders=9)

    run = simulate(migrate_data, move("orders", parallel=parallel), activities=shelf.activities())

    assert shelf.busiest == parallel
    assert run.elapsed == 9 / parallel


def test_rows_go_no_faster_than_they_may() -> None:
    """The pace holds over all that is copied side by side, and over executions."""
    chunks = CHUNKS + 20
    shelf = Shelf(orders=chunks)

    run = simulate(migrate_data, move("orders", rows_per_second=5, parallel=8), activities=shelf.activities())

    assert run.executions == 3
    assert run.elapsed == chunks * ROWS / 5


def test_a_large_table_is_many_short_histories() -> None:
    """Each execution copies one stretch; what is done is not asked for again."""
    shelf = Shelf(orders=2 * CHUNKS + 1)

    run = simulate(migrate_data, move("orders", parallel=32), activities=shelf.activities())

    assert run.executions == 4
    assert len(shelf.copied) == 2 * CHUNKS + 1
    assert max(len(turns) for turns in run.history) < 3 * CHUNKS


def test_after_a_chunk_that_fails_no_other_is_begun_and_the_next_run_goes_on() -> None:
    """What was copied stays copied; the failure is the one of the chunk."""
    shelf = Shelf(orders=20)
    shelf.refused = {("orders", 4)}

    failed = simulate(migrate_data, move("orders", parallel=2), activities=shelf.activities())
    assert failed.error is not None
    assert failed.error.message == "Chunk 4 does not fit."
    assert len(shelf.copied) < 6

    shelf.refused = set()
    assert simulate(migrate_data, move("orders"), activities=shelf.activities()).output.rows == 200
    assert sorted(shelf.copied) == [("orders", number) for number in range(1, 21)]


def test_a_migration_is_named_after_its_resource_unless_it_has_a_name() -> None:
    """So every run of a resource goes on with the same one."""
    with Simulation(activities=Shelf(orders=1).activities()) as simulation:
        run = simulation.start(migrate_data, move("orders"), instance_id="shop/move:3")
        simulation.advance(60)
        assert run.output.migration == "shop/move"

    named = simulate(migrate_data, move("orders", migration="m"), activities=Shelf(orders=1).activities())
    assert named.output.migration == "m"


def test_a_cancelled_migration_begins_nothing_more() -> None:
    """It ends where it is; what is copied stays."""
    shelf = Shelf(orders=50)
    with Simulation(activities=shelf.activities()) as simulation:
        run = simulation.start(migrate_data, move("orders"))
        simulation.advance(3)
        run.cancel("the window is over")

        assert run.phase == "Cancelled"
        assert 0 < len(shelf.copied) < 20


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"target": OLD}, "the same database"),
        ({"tables": [{"name": "a", "key": "id"}] * 2}, "named twice: a"),
        ({"tables": [{"name": "a.b.c", "key": "id"}]}, "pattern"),
        ({"parallel": 0}, "greater than"),
    ],
    ids=str,
)
def test_a_migration_that_means_nothing_is_refused(change: dict[str, object], complaint: str) -> None:
    """Before anything is read."""
    with pytest.raises(pydantic.ValidationError, match=complaint):
        move("orders", **change)


@pytest.mark.parametrize(
    ("name", "read"), [("orders", '"orders"'), ('a"; drop table b; --', '"a""; drop table b; --"'), ("Ä b", '"Ä b"')]
)
def test_a_name_is_quoted_whatever_it_is(name: str, read: str) -> None:
    """No name of a table or column is ever read as anything else."""
    assert databases.quoted(name) == read
    assert f"from {read}.{read};" in databases.statement("migration_count", schema=name, table=name)

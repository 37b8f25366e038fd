"""The database that activities are lent: what they keep there counts once, and is apart from what the engine keeps."""

from __future__ import annotations

import dataclasses
from urllib.parse import urlsplit

import pytest

from perdure import ActivityContext, OrchestrationContext, Transaction, activity, errors, orchestration
from perdure._store.lending import LentDatabase
from tests.engine.world import SETTINGS, World


@activity("test::activity::count")
async def count(ctx: ActivityContext, input: str) -> int:
    """Write a word down, and say how many there are."""

    async def work(transaction: Transaction) -> int:
        await transaction.execute("create schema if not exists mine")
        await transaction.execute("create table if not exists mine.words (word text primary key)")
        await transaction.fetch("insert into mine.words values ($1) on conflict do nothing", input)
        return len(await transaction.fetch("select word from mine.words"))

    return await ctx.database.transact(work)


@orchestration("test::orchestration::write")
async def write(ctx: OrchestrationContext, input: list[str]) -> list[int]:
    """Write words down, one after the other."""
    return [await ctx.schedule_activity(count, word) for word in input]


async def test_what_is_lent_to_a_worker_reaches_its_activities(world: World, dsn: str) -> None:
    """An activity of a run keeps its own things in a schema of its own, in the database of the engine."""
    database = LentDatabase(dsn, address="", variable="PERDURE_DATABASE_URL")
    await world.worker(write, count, settings=dataclasses.replace(SETTINGS, database=database))

    info = await world.run(write, ["a", "b", "a"])

    await database.close()
    assert info.output == [1, 2, 2]


async def test_an_activity_of_a_worker_that_lends_none_fails_with_what_is_missing(world: World) -> None:
    """The failure says which setting of a worker lends one."""
    await world.worker(write, count)

    info = await world.run(write, ["a"])

    assert info.phase == "Failed"
    assert "WorkerSettings.database" in str(info.error)


async def test_a_database_that_does_not_exist_is_named_without_its_password(dsn: str) -> None:
    """What waiting cannot cure is an error at once, with the address that may be shown."""
    address = urlsplit(dsn)._replace(path="/nowhere").geturl()
    database = LentDatabase(address, address="postgresql://me:***@db/nowhere", variable="PERDURE_INVENTORY_URL")

    async def work(transaction: Transaction) -> None:
        await transaction.fetch("select 1")

    with pytest.raises(errors.DatabaseRefusedError, match=r"me:\*\*\*@db/nowhere .*PERDURE_INVENTORY_URL"):
        await database.transact(work)

    await database.close()

"""What a claim says of the messages of those that it takes: whether there may be any."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg

from perdure._store import statements
from tests.store.desk import Desk

CLAIM = statements.load()["claim"]
WAITS = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '-- claim%'"


async def claim(connection: asyncpg.Connection[asyncpg.Record], worker_id: uuid.UUID) -> dict[str, bool]:
    """Claim what is due; tell of each whether there may be messages."""
    rows = await connection.fetch(CLAIM, worker_id, ["flow"], [""], 10, [])
    return {row["instance_id"]: row["has_messages"] for row in rows if row["is_claimed"]}


async def waits_for_the_disk(desk: Desk) -> str:
    """Read the setting."""
    [[setting]] = await desk.fetch("show synchronous_commit")
    return str(setting)


async def test_a_claim_tells_who_has_messages(desk: Desk) -> None:
    """One that was just started has none, and its inbox need not be read."""
    await desk.start("new", "told")
    await desk.client.send_signal("told", "word")

    assert await claim(desk.outside, await desk.claimed()) == {"new": False, "told": True}


async def test_a_message_that_comes_while_its_instance_is_claimed_is_not_passed_over(desk: Desk) -> None:
    """It is sent between the moment that the claim sees and the moment in which it has the row."""
    await desk.start("quiet", "told")
    worker_id = await desk.claimed()
    claiming, holding = await asyncpg.connect(desk.dsn), await asyncpg.connect(desk.dsn)
    async with holding.transaction():
        await holding.fetch("select from workers for update")
        claimed = asyncio.create_task(claim(claiming, worker_id))
        async with asyncio.timeout(120):
            while not await desk.fetch(WAITS):  # noqa: ASYNC110 - it shows in the database
                await asyncio.sleep(0.01)
        await desk.client.send_signal("told", "word")

    assert await claimed == {"quiet": False, "told": True}
    await claiming.close()
    await holding.close()


async def test_a_claim_of_new_instances_and_a_notice_do_not_wait_for_the_disk(desk: Desk) -> None:
    """The setting holds for their transaction and no longer."""
    await desk.start("one")
    worker_id = await desk.claimed()
    async with desk.outside.transaction():
        await desk.fetch("set local synchronous_commit = on")
        assert await claim(desk.outside, worker_id) == {"one": False}
        assert await waits_for_the_disk(desk) == "off"
        await desk.fetch("set local synchronous_commit = on")
        await desk.fetch(statements.load()["notify"], "x")
        assert await waits_for_the_disk(desk) == "off"
    await desk.fetch("set synchronous_commit = on")
    assert await claim(desk.outside, worker_id) == {}
    assert await waits_for_the_disk(desk) == "on"


async def test_a_claim_of_what_has_begun_waits_for_the_disk(desk: Desk) -> None:
    """Its activities go on at once: a crash that undid the claim would have somebody else run them beside this one."""
    await desk.start("begun", "new")
    worker_id = await desk.claimed()
    await desk.fetch("update instances set turn = 1 where instance_id = 'begun'")
    async with desk.outside.transaction():
        await desk.fetch("set local synchronous_commit = on")
        assert set(await claim(desk.outside, worker_id)) == {"begun", "new"}
        assert await waits_for_the_disk(desk) == "on"

"""How a worker leaves the list: not before its last claim is over, and not with anything in its hands."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest

from perdure._store import statements
from perdure._store.store import Store
from tests.store.desk import Desk

WAITS = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '-- worker_lock%'"


@pytest.mark.slow
async def test_a_worker_that_leaves_waits_for_its_claim_and_gives_back_what_it_took(desk: Desk) -> None:
    """A claim whose transaction is still open when its worker leaves: what it takes has no owner afterwards and is due,
    and its worker is on no list. Nobody would ever look for the owner of what stays with it.
    """
    await desk.start("one")
    worker_id = await desk.claimed()
    store = await Store.open(desk.dsn)
    claiming = await asyncpg.connect(desk.dsn)
    async with claiming.transaction():
        await claiming.fetch(statements.load()["claim"], worker_id, ["flow"], [""], 10, [])

        leaving = asyncio.create_task(store.leave(worker_id))
        async with asyncio.timeout(120):
            while not await desk.fetch(WAITS):  # noqa: ASYNC110 - it shows in the database
                await asyncio.sleep(0.01)
    await leaving

    [row] = await desk.fetch("select owner_id, wake_at <= now() as is_due, recoveries from instances")
    assert dict(row) == {"owner_id": None, "is_due": True, "recoveries": 0}
    assert await desk.fetch("select worker_id from workers") == []
    await claiming.close()
    await store.close()


async def test_leaving_twice_is_harmless(desk: Desk) -> None:
    """Whoever lost the answer leaves again; the others stay on the list."""
    other = await desk.claimed()
    worker_id = await desk.claimed()
    store = await Store.open(desk.dsn)

    await store.leave(worker_id)
    await store.leave(worker_id)
    await store.leave(uuid.uuid4())

    assert [row["worker_id"] for row in await desk.fetch("select worker_id from workers")] == [other]
    await store.close()


async def test_what_was_left_for_an_earlier_one_of_the_same_id_is_not_for_the_next(desk: Desk) -> None:
    """Rows that a removal could not see, committed while it waited, are gone when the id is used again."""
    await desk.fetch("insert into inbox (instance_id, kind, payload) values ('again', 'Event', '{}')")
    await desk.fetch("insert into inbox (instance_id, kind, payload) values ('other', 'Event', '{}')")
    await desk.fetch("insert into tasks (instance_id, execution, seq, failed_attempts) values ('again', 1, 1, 3)")
    await desk.fetch("insert into signal_keys (instance_id, dedupe_key) values ('again', 'once')")

    await desk.start("again")

    assert [row["instance_id"] for row in await desk.fetch("select instance_id from inbox")] == ["other"]
    assert await desk.fetch("select seq from tasks union all select 1 from signal_keys") == []


async def test_what_is_kept_on_the_way_out_is_not_for_a_later_one_of_the_same_id(desk: Desk) -> None:
    """A result is written down once more when its instance has been removed and started again, for the same owner: only
    what belongs to the new one is, or what nobody knows the moment of.
    """
    await desk.start("again")
    worker_id = await desk.claimed("again")
    earlier = await desk.row("again")
    await desk.client.delete_instance("again", force=True)
    await desk.start("again")
    await desk.fetch("update instances set owner_id = $1, wake_at = null", worker_id)
    later = await desk.row("again")

    made = [earlier["created_at"], later["created_at"], None]
    results = [b"earlier", b"later", b"unknown"]
    await desk.fetch(statements.load()["inbox_keep"], worker_id, 3 * ["again"], 3 * [1], made, results)

    assert [payload for _, payload in await desk.messages("again")] == [b"later", b"unknown"]

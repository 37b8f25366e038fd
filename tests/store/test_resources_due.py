"""What is due for resources by the clock, or since their runs have ended; tombstones, and removal by age.

Against a real Postgres; the cast of `test_resources_desired.py`: a resource `db` in the namespace `shop`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from perdure._store import connect, removal
from perdure._store.resources import Resources, Seen, Wrote
from perdure._store.store import Store
from tests.store.test_resources_desired import UID, finish, resource, run, seen, take

Pool = connect.Pool
OTHER = UUID(int=2)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Give connections to a fresh database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


async def due(pool: Pool, *, grace_seconds: float = 60) -> list[str]:
    """Ask what is due."""
    return [chore.chore for chore in await Resources(pool).due([], grace_seconds=grace_seconds)]


async def take_in(pool: Pool, *sights: Seen) -> None:
    """Take sights in, one after the other."""
    for sight in sights:
        await Resources(pool).ingest([sight])


async def show(pool: Pool, uid: UUID = UID, generation: int = 1, version: int = 7) -> None:
    """Let the final status of a resource be written."""
    wrote = Wrote(
        uid, b'{"phase":"Completed"}', 3, "Completed", generation=generation, resource_version=version, is_final=True
    )
    assert await Resources(pool).remember([wrote]) == set()


async def test_a_finalizer_is_due_from_before_the_begin_to_the_end(pool: Pool) -> None:
    """It goes on, stays while the run is under way, and goes off when that has ended."""
    found = []
    kept = seen(deletion="Compensate", has_finalizer=True)
    await take_in(pool, seen(deletion="Compensate"))
    found.append(await due(pool))
    await take_in(pool, kept)
    found.append(await due(pool))
    await finish(pool)
    found.append(await due(pool))
    await take_in(pool, dataclasses.replace(kept, has_finalizer=False))
    found.append(await due(pool))

    assert found == [["Protect"], [], ["Release"], []]


async def test_a_deletion_waits_for_its_run_but_not_for_ever(pool: Pool) -> None:
    """While the run compensates one looks often; after the grace it is let go, ended or not."""
    kept = seen(deletion="Compensate", has_finalizer=True)
    await take_in(pool, kept)
    await take(pool)
    await take_in(pool, dataclasses.replace(kept, deleting=True))
    waiting, late = await due(pool), await due(pool, grace_seconds=-1)
    await finish(pool, "Cancelled")

    assert (waiting, late, await due(pool)) == (["Wait"], ["Release", "Wait"], ["Release", "Wait"])


async def test_a_policy_that_needs_no_finalizer_lets_go(pool: Pool) -> None:
    """At once, whatever the run does."""
    await take_in(pool, seen(deletion="Compensate", has_finalizer=True))
    await take_in(pool, seen(generation=2, deletion="Orphan", has_finalizer=True))

    assert await due(pool) == ["Release"]


async def test_a_changed_request_is_due_when_the_run_has_ended(pool: Pool) -> None:
    """Before, ends are listened for; it is not while it is refused."""
    changed = seen("b", 2, rerun="OnChange")
    await take_in(pool, seen(rerun="OnChange"))
    await take(pool)
    await take_in(pool, changed)
    found = [await due(pool)]
    await finish(pool)
    found.append(await due(pool))
    await take_in(pool, dataclasses.replace(changed, refusal=b"{}"))
    found.append(await due(pool))

    assert found == [["Listen"], ["Begin"], []]


async def test_a_resource_expires_when_its_end_was_shown(pool: Pool) -> None:
    """So long after the end of its run; a longer TTL gives it more time."""
    await take_in(pool, seen(ttl_seconds=0))
    await finish(pool)
    found = [await due(pool)]
    await show(pool)
    found.append(await due(pool))
    await take_in(pool, seen(generation=2, ttl_seconds=3600))
    await show(pool, generation=2, version=8)
    found.append(await due(pool))
    await take_in(pool, seen(generation=3, ttl_seconds=0))
    found.append(await due(pool))
    await show(pool, generation=3, version=9)
    found.append(await due(pool))

    assert found == [[], ["Expire"], [], [], ["Expire"]]


async def test_the_same_request_adopts_what_its_predecessor_left(pool: Pool) -> None:
    """No second run; the resource has the finished one, and no TTL of its own."""
    resources = Resources(pool)
    await take_in(pool, seen(ttl_seconds=0))
    await finish(pool)
    await show(pool)
    buried = await resources.bury(UID)
    await take_in(pool, Seen(UID, "shop", "db", gone=True))
    again = seen(ttl_seconds=0, uid=OTHER)
    [news] = await resources.ingest([again])
    await show(pool, OTHER)

    assert buried
    assert (news.starts, news.instance_id) == (False, "shop/db:1")
    assert await pool.fetchval("select count(*) from instances") == 1
    assert (await run(pool))["resource_uid"] == OTHER
    assert [fact.phase for fact in await resources.facts([OTHER])] == ["Completed"]
    assert (await due(pool), await resources.ingest([again])) == ([], [])
    assert await pool.fetchval("select count(*) from tombstones") == 0


async def test_whose_run_was_adopted_is_gone(pool: Pool) -> None:
    """There is another resource of its name: a late sight of it, of any kind, starts nothing."""
    resources = Resources(pool)
    await take_in(pool, seen(ttl_seconds=0))
    await finish(pool)
    await show(pool)
    await resources.bury(UID)
    await take_in(pool, seen(ttl_seconds=0, uid=OTHER))

    late = await resources.ingest([seen(generation=2, ttl_seconds=0)])

    assert late == []
    assert await pool.fetchval("select count(*) from instances") == 1


async def test_a_changed_request_of_the_same_name_runs(pool: Pool) -> None:
    """And what was buried is not found again by a later one."""
    resources = Resources(pool)
    await take_in(pool, seen(ttl_seconds=0))
    await finish(pool)
    await show(pool)
    await resources.bury(UID)
    await take_in(pool, Seen(UID, "shop", "db", gone=True))

    [changed] = await resources.ingest([seen("b", uid=OTHER)])
    await take_in(pool, Seen(OTHER, "shop", "db", gone=True))
    [back] = await resources.ingest([seen("a", uid=UUID(int=3))])

    assert [(one.starts, one.instance_id) for one in (changed, back)] == [(True, "shop/db:2"), (True, "shop/db:3")]


async def test_two_controllers_adopt_once(pool: Pool) -> None:
    """Whoever comes second finds it done; of two resources of that name the first one has it."""
    resources = Resources(pool)
    await take_in(pool, seen(ttl_seconds=0))
    await finish(pool)
    await show(pool)
    await resources.bury(UID)
    await take_in(pool, Seen(UID, "shop", "db", gone=True))

    await asyncio.gather(*(resources.ingest([seen(uid=OTHER), seen(uid=UUID(int=3))]) for _ in range(4)))

    rows = await pool.fetch("select uid, instance_id from resources where gone_at is null order by uid")
    assert [tuple(row) for row in rows] == [(OTHER, "shop/db:1"), (UUID(int=3), "shop/db:2")]


async def test_a_late_sight_of_what_was_deleted_takes_no_tombstone_away(pool: Pool) -> None:
    """An answer of the API server from before the deletion, of the same generation, says nothing of it."""
    resources = Resources(pool)
    kept = seen(ttl_seconds=0, deletion="Compensate", has_finalizer=True)
    await take_in(pool, kept)
    await finish(pool)
    await show(pool)
    first = await due(pool)
    await take_in(pool, dataclasses.replace(kept, has_finalizer=False))
    await show(pool, version=8)
    second = await due(pool)
    await resources.bury(UID)
    await take_in(pool, kept, dataclasses.replace(kept, gone=True))
    [news] = await resources.ingest([seen(uid=OTHER)])

    assert (first, second) == (["Release"], ["Expire"])
    assert (news.starts, news.instance_id) == (False, "shop/db:1")


async def test_what_was_not_deleted_in_the_end_leaves_no_tombstone(pool: Pool) -> None:
    """One that is not due is not buried; of one that lives on nothing is adopted when it is deleted otherwise."""
    resources = Resources(pool)
    await take_in(pool, seen())
    await finish(pool)
    await show(pool)
    not_due = await resources.bury(UID)
    await take_in(pool, seen(generation=2, ttl_seconds=0))
    await show(pool, generation=2, version=8)
    due_ = await resources.bury(UID)
    await take_in(pool, seen(generation=3), Seen(UID, "shop", "db", gone=True))
    [news] = await resources.ingest([seen(uid=OTHER)])

    assert (not_due, due_) == (False, True)
    assert news.starts


async def test_a_run_of_an_earlier_release_may_be_buried_too(pool: Pool) -> None:
    """Nobody wrote down its request then; it cannot have been changed."""
    await take_in(pool, seen())
    await finish(pool)
    await pool.execute("update resources set request = null, told = null")
    await take_in(pool, seen(generation=2, ttl_seconds=0))
    await show(pool, generation=2)

    assert await Resources(pool).bury(UID)
    assert (await resource(pool))["request"] == "a"


async def test_a_run_is_removed_at_its_age_and_its_resource_keeps_its_status(pool: Pool) -> None:
    """Not before the end was shown; nothing asks for it again afterwards."""
    store = Store(pool, "unused")
    await take_in(pool, seen(retention_seconds=0))
    await finish(pool)
    found = await due(pool)
    early = await removal.remove_aged(store)
    await show(pool)
    await pool.execute("update instances set remove_at = now()")
    removed = await removal.remove_aged(store)

    assert (found, early, removed) == (["Remove"], 0, 1)
    assert await pool.fetchval("select count(*) from instances") == 0
    assert (await resource(pool))["is_archived"]
    assert (await due(pool), await Resources(pool).stale([])) == ([], [])


async def test_a_run_without_a_resource_is_removed_at_its_age_too(pool: Pool) -> None:
    """Retention is of the run, and goes on counting when its resource is gone."""
    await take_in(pool, seen(retention_seconds=0))
    await finish(pool)
    await take_in(pool, Seen(UID, "shop", "db", gone=True))

    assert await removal.remove_aged(Store(pool, "unused")) == 1


async def test_a_removed_run_is_adopted_with_its_status(pool: Pool) -> None:
    """TTL and retention are apart: the tombstone has the status, and that is what the next resource shows."""
    resources = Resources(pool)
    await take_in(pool, seen(ttl_seconds=0, retention_seconds=0))
    await finish(pool)
    await show(pool)
    await resources.bury(UID)
    await take_in(pool, Seen(UID, "shop", "db", gone=True))
    await removal.remove_aged(Store(pool, "unused"))
    [news] = await resources.ingest([seen(uid=OTHER)])
    [fact] = await resources.facts([OTHER])

    assert (news.starts, fact.is_archived, fact.status, fact.status_resource_version) == (
        False,
        True,
        b'{"phase":"Completed"}',
        None,
    )
    assert await resources.stale([]) == [OTHER]


async def test_a_changed_request_runs_anew_when_the_run_was_removed(pool: Pool) -> None:
    """It is over, whether or not anything is left of it; the next one is shown like any other."""
    await take_in(pool, seen(rerun="OnChange", retention_seconds=0))
    await finish(pool)
    await show(pool)
    await removal.remove_aged(Store(pool, "unused"))
    [news] = await Resources(pool).ingest([seen("b", 2, rerun="OnChange")])

    assert (news.starts, news.instance_id, (await resource(pool))["is_archived"]) == (True, "shop/db:2", False)

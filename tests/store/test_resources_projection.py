"""What the projector reads and remembers: facts, stale statuses, and which of two writers was the last.

Against a real Postgres, through `Resources` alone. Resources come from ingest, runs are moved by hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from perdure._store import connect
from perdure._store.resources import Resources, Seen, Wrote

Pool = connect.Pool


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Give connections to a fresh database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


@pytest.fixture
async def uid(pool: Pool) -> UUID:
    """Give a resource with a running instance at turn 3."""
    uid = uuid4()
    await Resources(pool).ingest([Seen(uid, "shop", "db", 1, b"{}", orchestration="greet")])
    await pool.execute(
        "update instances set phase = 'Running', turn = 3, version = '1.0.0', owner_id = $1, wake_at = null", uuid4()
    )
    return uid


def wrote(
    uid: UUID, resource_version: int, *, turn: int | None = 3, phase: str = "Running", is_final: bool = False
) -> Wrote:
    """Give a write that the API server took."""
    status = f'{{"turn":{turn or 0}}}'.encode()
    return Wrote(uid, status, turn, phase, generation=1, resource_version=resource_version, is_final=is_final)


async def stale(pool: Pool) -> list[UUID]:
    """Ask what the sweep would find."""
    return await Resources(pool).stale([])


async def test_the_facts_of_a_run_come_with_its_retries(pool: Pool, uid: UUID) -> None:
    """One row a resource: the run, what was written, and the activities that wait for another attempt."""
    await pool.execute(
        "insert into tasks (instance_id, execution, seq, failed_attempts, last_error)"
        " values ('shop/db:1', 1, 2, 1, 'x'), ('shop/db:1', 1, 1, 4, null)"
    )

    [fact] = await Resources(pool).facts([uid, uuid4()])

    assert (fact.instance_id, fact.phase, fact.turn, fact.is_owned) == ("shop/db:1", "Running", 3, True)
    assert [(retry.seq, retry.failed_attempts, retry.last_error) for retry in fact.retries] == [
        (1, 4, None),
        (2, 1, b"x"),
    ]
    assert fact.status is None


async def test_a_resource_that_is_gone_has_no_facts(pool: Pool, uid: UUID) -> None:
    """There is nothing to write to any more."""
    await Resources(pool).ingest([Seen(uid, "shop", "db", gone=True)])

    assert await Resources(pool).facts([uid]) == []
    assert await stale(pool) == []


async def test_history_comes_from_the_known_turn_on(pool: Pool, uid: UUID) -> None:
    """Only new turns are read, in order, over executions."""
    for execution, turn in ((1, 0), (1, 1), (2, 2)):
        await pool.execute("insert into history values ('shop/db:1', $1, $2, now(), 'b')", execution, turn)

    first = await Resources(pool).turns({"shop/db:1": (0, -1)})
    second = await Resources(pool).turns({"shop/db:1": (1, 0)})

    assert [(row.execution, row.turn) for row in first] == [(1, 0), (1, 1), (2, 2)]
    assert [(row.execution, row.turn) for row in second] == [(1, 1), (2, 2)]


async def test_a_resource_is_stale_until_its_turn_and_phase_are_written(pool: Pool, uid: UUID) -> None:
    """Never written, then written, then one turn further, then another phase, then another generation."""
    resources = Resources(pool)
    found = [await stale(pool)]
    await resources.remember([wrote(uid, 10)])
    found.append(await stale(pool))
    await pool.execute("update instances set turn = 4")
    found.append(await stale(pool))
    await resources.remember([wrote(uid, 11, turn=4)])
    await pool.execute("update instances set phase = 'Suspended'")
    found.append(await stale(pool))
    await resources.remember([wrote(uid, 12, turn=4, phase="Suspended")])
    await resources.ingest([Seen(uid, "shop", "db", 2, b"{}", orchestration="greet")])
    found.append(await stale(pool))

    assert found == [[uid], [], [uid], [uid], [uid]]


async def test_stale_resources_come_in_pages(pool: Pool) -> None:
    """Page after page gives each of them once."""
    uids = sorted(uuid4() for _ in range(3))
    await Resources(pool).ingest([Seen(uid, "shop", str(uid), 1, b"{}", orchestration="greet") for uid in uids])

    first = await Resources(pool).stale([], at_most=2)
    second = await Resources(pool).stale([], after=first[-1], at_most=2)

    assert [first, second] == [uids[:2], uids[2:]]


async def test_a_run_that_nobody_claims_is_looked_at_again(pool: Pool, uid: UUID) -> None:
    """Due and without an owner: perhaps no worker can run it, and its status should say so."""
    await Resources(pool).remember([wrote(uid, 10)])
    await pool.execute("update instances set owner_id = null, wake_at = now()")

    assert await stale(pool) == [uid]


async def test_a_status_of_no_turn_is_looked_at_until_it_is_of_one(pool: Pool, uid: UUID) -> None:
    """It says that no worker is there, while the run sleeps: a worker that joins changes nothing of the run."""
    await pool.execute("update instances set owner_id = null, wake_at = now() + interval '1 hour'")
    found = []
    for resource_version, turn in ((10, None), (11, None), (12, 3)):
        await Resources(pool).remember([wrote(uid, resource_version, turn=turn)])
        found.append(await stale(pool))

    assert found == [[uid], [uid], []]


async def test_a_final_status_settles_the_resource_until_its_spec_changes(pool: Pool, uid: UUID) -> None:
    """Finished runs cost the sweep nothing; a new generation must be shown as observed."""
    await pool.execute("update instances set phase = 'Completed', finished_at = now(), owner_id = null")
    await Resources(pool).remember([wrote(uid, 10, phase="Completed", is_final=True)])
    settled = await pool.fetchval("select settled from resources")

    await Resources(pool).ingest([Seen(uid, "shop", "db", 2, b"{}", orchestration="greet")])

    assert settled
    assert await stale(pool) == [uid]


async def test_the_write_with_the_higher_resource_version_is_remembered(pool: Pool, uid: UUID) -> None:
    """Two writers, the later one with older facts: the store shows what the cluster shows, and the run is stale."""
    resources = Resources(pool)
    late = await resources.remember([wrote(uid, 12, turn=2)])
    early = await resources.remember([wrote(uid, 11, turn=3)])

    assert (late, early) == (set(), {uid})
    assert await pool.fetchval("select status_turn from resources") == 2
    assert await stale(pool) == [uid]


async def test_a_lower_resource_version_is_remembered_when_nobody_wrote_beside(pool: Pool, uid: UUID) -> None:
    """After the API server was restored from a backup it counts from lower on; of two writers one still wins."""
    resources = Resources(pool)
    await resources.remember([wrote(uid, 1_000)])

    beside = await resources.remember([dataclasses.replace(wrote(uid, 49), seen_resource_version=900)])
    restored = await resources.remember([dataclasses.replace(wrote(uid, 50), seen_resource_version=1_000)])
    late = await resources.remember([dataclasses.replace(wrote(uid, 48), seen_resource_version=1_000)])

    assert (beside, restored, late) == ({uid}, set(), {uid})
    assert await pool.fetchval("select status_resource_version from resources") == 50
    assert await stale(pool) == []


async def test_offers_come_from_live_workers_only(pool: Pool) -> None:
    """A worker past its lease offers nothing."""
    await pool.execute(
        "insert into workers (worker_id, lease_until, description, orchestrations) values"
        " ($1, now() + interval '1 minute', '', '{greet@1.0.0}'), ($2, now() - interval '1 second', '', '{old@1.0.0}')",
        uuid4(),
        uuid4(),
    )

    assert await Resources(pool).offers() == [["greet@1.0.0"]]

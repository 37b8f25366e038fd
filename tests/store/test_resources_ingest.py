"""What ingest makes of the sights of resources: one run for each uid, whatever is seen, how often and in which order.

Against a real Postgres, through `Resources` alone; no cluster, no engine. The cast is one namespace, `shop`, and a
resource named `db`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import TypedDict, Unpack
from uuid import UUID, uuid4

import asyncpg
import pytest

from perdure._core import lifecycle
from perdure._store import connect
from perdure._store.resources import Known, Resources, Seen
from tests.engine import proxy

Pool = connect.Pool


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Give connections to a fresh database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


class Changes(TypedDict, total=False):
    """What a test may say differently about a sight."""

    generation: int
    spec: bytes
    deleting: bool
    refusal: bytes
    cancel_reason: str
    instead_of: int
    input: bytes


def seen(uid: UUID, name: str = "db", **changes: Unpack[Changes]) -> Seen:
    """Give the sight of a resource whose spec can run."""
    usual: Changes = {"generation": 1, "spec": b'{"orchestration":"greet"}', "input": b'{"size":1}'}
    return Seen(
        uid, "shop", name, orchestration="greet", run_as="system:serviceaccount:shop:default", **(usual | changes)
    )


def gone(uid: UUID, name: str = "db") -> Seen:
    """Give the news that a resource is no more."""
    return Seen(uid, "shop", name, gone=True)


async def instances(pool: Pool) -> dict[str, asyncpg.Record]:
    """Read all instances by id."""
    return {row["instance_id"]: row for row in await pool.fetch("select * from instances")}


def told(run: asyncpg.Record) -> tuple[str, str]:
    """Give code and sentence of the error of a run."""
    error = lifecycle.decode_failure(run["error"])
    return error.code, error.message


async def cancels(pool: Pool) -> list[tuple[str, str]]:
    """Read whose end was asked for, and why."""
    rows = await pool.fetch("select instance_id, payload from inbox where kind = 'Cancel' order by instance_id")
    return [(row["instance_id"], json.loads(row["payload"])["reason"]) for row in rows]


async def test_a_first_sight_starts_one_run_that_a_worker_can_claim(pool: Pool) -> None:
    """The instance is there, due, unowned, with the input, the identity and the uid of the resource."""
    uid = uuid4()

    news = await Resources(pool).ingest([seen(uid)])

    assert [(one.instance_id, one.starts, one.cancels) for one in news] == [("shop/db:1", True, False)]
    run = (await instances(pool))["shop/db:1"]
    assert (run["name"], run["version"], run["phase"], run["turn"]) == ("greet", "", "Pending", 0)
    assert (run["input"], run["run_as"]) == (b'{"size":1}', "system:serviceaccount:shop:default")
    assert run["resource_uid"] == uid
    assert run["owner_id"] is None
    assert run["wake_at"] is not None


async def test_seeing_the_same_again_changes_nothing(pool: Pool) -> None:
    """A re-list brings no news, starts nothing and writes no row."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid)])
    before = await pool.fetchval("select xmin::text from resources")

    news = await Resources(pool).ingest([seen(uid)])

    assert news == []
    assert len(await instances(pool)) == 1
    assert await pool.fetchval("select xmin::text from resources") == before


async def test_a_higher_generation_with_the_same_spec_starts_nothing(pool: Pool) -> None:
    """The generation also rises when a resource with a finalizer is deleted; it is remembered, not acted upon."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid)])

    news = await Resources(pool).ingest([seen(uid, generation=2)])

    assert [(one.starts, one.cancels) for one in news] == [(False, False)]
    assert await pool.fetchval("select generation from resources") == 2


async def test_an_older_sight_does_not_undo_a_newer_one(pool: Pool) -> None:
    """A slow answer of the API server with a lower generation is no news."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid, generation=3, spec=b'{"new":true}')])

    news = await Resources(pool).ingest([seen(uid, generation=2)])

    assert news == []
    assert await pool.fetchval("select spec from resources") == b'{"new":true}'


async def test_two_controllers_at_once_start_one_run(pool: Pool) -> None:
    """Ingests of the same resources side by side give each uid one run, and numbers without gaps."""
    sights = [seen(uuid4(), name=f"db{number % 5}") for number in range(50)]

    news = await asyncio.gather(*(Resources(pool).ingest(sights) for _ in range(4)))

    assert sum(one.starts for batch in news for one in batch) == 50
    assert sorted(await instances(pool)) == sorted(f"shop/db{name}:{run}" for name in range(5) for run in range(1, 11))


async def test_the_next_resource_of_a_name_gets_the_next_run(pool: Pool) -> None:
    """Deleted and created again, whichever is seen first: the old run is told to end, the new one has a new id."""
    old, new = uuid4(), uuid4()
    await Resources(pool).ingest([seen(old)])
    await pool.execute("update instances set turn = 1, phase = 'Running', owner_id = $1, wake_at = null", uuid4())

    await Resources(pool).ingest([seen(new)])
    await Resources(pool).ingest([gone(old)])

    assert set(await instances(pool)) == {"shop/db:1", "shop/db:2"}
    assert await cancels(pool) == [("shop/db:1", "The resource was deleted.")]


async def test_old_and_new_of_a_name_may_come_in_one_batch(pool: Pool) -> None:
    """Two uids of one name that are both new get two runs, in order of arrival."""
    first, second = uuid4(), uuid4()

    news = await Resources(pool).ingest([seen(first), seen(second)])

    assert {one.uid: one.instance_id for one in news} == {first: "shop/db:1", second: "shop/db:2"}


async def test_a_run_number_is_never_used_twice(pool: Pool) -> None:
    """The count goes on when resources and instances were forgotten."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid)])
    await Resources(pool).ingest([gone(uid)])
    await Resources(pool).forget(older_than_seconds=-1)
    await pool.execute("delete from instances")

    await Resources(pool).ingest([seen(uuid4())])

    assert list(await instances(pool)) == ["shop/db:2"]


async def test_deleting_the_resource_tells_the_run_once(pool: Pool) -> None:
    """Deletion is seen twice, as a mark and as the end; the run gets one cancel and is woken."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid)])
    await pool.execute("update instances set turn = 1, phase = 'Running', wake_at = null")

    marked = await Resources(pool).ingest([seen(uid, generation=2, deleting=True)])
    await pool.execute("delete from inbox")
    ended = await Resources(pool).ingest([gone(uid)])

    assert [one.cancels for one in [*marked, *ended]] == [True, False]
    assert await cancels(pool) == []
    assert (await instances(pool))["shop/db:1"]["wake_at"] is not None


async def test_a_run_that_no_worker_took_ends_at_once(pool: Pool) -> None:
    """Deleting the resource of an unknown orchestration needs no worker."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid)])

    await Resources(pool).ingest([gone(uid)])

    run = (await instances(pool))["shop/db:1"]
    assert (run["phase"], run["wake_at"]) == ("Cancelled", None)
    assert run["finished_at"] is not None
    assert await cancels(pool) == []


@pytest.mark.parametrize(("turn", "phase"), [(0, "Cancelled"), (1, "Running")])
async def test_a_pause_keeps_no_run_from_ending_with_its_resource(pool: Pool, turn: int, phase: str) -> None:
    """Paused before it began it ends at once; paused later it goes on, to take its cancel in."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid)])
    await pool.execute(
        "update instances set turn = $1, is_suspended = true, suspend_reason = 'look', phase = 'Suspended'", turn
    )

    await Resources(pool).ingest([gone(uid)])

    run = (await instances(pool))["shop/db:1"]
    assert (run["phase"], run["is_suspended"], run["suspend_reason"]) == (phase, False, "")


async def test_a_fresh_run_that_has_an_owner_is_told_and_not_ended(pool: Pool) -> None:
    """What a worker has claimed is that worker's to end."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid)])
    await pool.execute("update instances set owner_id = $1, wake_at = null", uuid4())

    await Resources(pool).ingest([seen(uid, generation=2, spec=b"{}", cancel_reason="enough")])

    assert await cancels(pool) == [("shop/db:1", "enough")]
    assert (await instances(pool))["shop/db:1"]["phase"] == "Pending"


async def test_a_finished_run_is_not_touched_by_the_deletion(pool: Pool) -> None:
    """What is finished stays as it ended."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid)])
    await pool.execute("update instances set phase = 'Completed', finished_at = now(), wake_at = null")

    await Resources(pool).ingest([gone(uid)])

    assert (await instances(pool))["shop/db:1"]["phase"] == "Completed"
    assert await cancels(pool) == []


async def test_a_resource_that_is_born_cancelled_never_runs(pool: Pool) -> None:
    """A spec that asks for its own end gets a run that is over."""
    await Resources(pool).ingest([seen(uuid4(), cancel_reason="not yet")])

    run = (await instances(pool))["shop/db:1"]
    assert (run["phase"], run["wake_at"]) == ("Cancelled", None)
    assert told(run) == ("PERDURE-1206", "not yet")


async def test_a_run_that_ends_before_a_worker_has_it_says_why(pool: Pool) -> None:
    """Its error is that of every other run that was cancelled; one that goes on has none."""
    uid = uuid4()
    await Resources(pool).ingest([seen(uid), seen(uuid4(), "other")])

    await Resources(pool).ingest([seen(uid, generation=2, spec=b"{}", cancel_reason="enough")])

    runs = await instances(pool)
    assert told(runs["shop/db:1"]) == ("PERDURE-1206", "enough")
    assert runs["shop/other:1"]["error"] is None


async def test_what_was_gone_before_it_was_seen_starts_nothing(pool: Pool) -> None:
    """A late answer with the spec of a deleted resource does not bring it back."""
    uid = uuid4()
    await Resources(pool).ingest([gone(uid)])

    news = await Resources(pool).ingest([seen(uid)])

    assert news == []
    assert await instances(pool) == {}


async def test_a_resource_first_seen_in_its_deletion_starts_nothing(pool: Pool) -> None:
    """Somebody's finalizer may keep it visible for long; it is still no request."""
    await Resources(pool).ingest([seen(uuid4(), deleting=True)])

    assert await instances(pool) == {}


async def test_a_refused_spec_runs_once_it_is_right(pool: Pool) -> None:
    """A refusal is remembered and starts nothing; taking the cause away starts the run."""
    uid = uuid4()
    refused = await Resources(pool).ingest([seen(uid, refusal=b'{"reason":"InputInvalid"}')])

    accepted = await Resources(pool).ingest([seen(uid, generation=2)])

    assert [one.instance_id for one in refused] == [None]
    assert [(one.instance_id, one.starts) for one in accepted] == [("shop/db:1", True)]


async def test_a_taken_instance_id_stays_with_its_owner(pool: Pool) -> None:
    """Somebody started an instance of that id by hand: it is left alone, also when the resource is deleted."""
    uid = uuid4()
    await pool.execute("insert into instances (instance_id, name, input) values ('shop/db:1', 'other', 'null')")

    await Resources(pool).ingest([seen(uid)])
    await Resources(pool).ingest([gone(uid)])

    run = (await instances(pool))["shop/db:1"]
    assert (run["name"], run["resource_uid"], run["phase"]) == ("other", None, "Pending")


async def test_text_that_postgres_cannot_hold_as_text_is_kept(pool: Pool) -> None:
    """U+0000 in an input is legal JSON; it neither fails nor changes."""
    spec = json.dumps({"input": "a\0b"}).encode()

    await Resources(pool).ingest([seen(uuid4(), spec=spec, input=b'"a\\u0000b"')])

    assert (await instances(pool))["shop/db:1"]["input"] == b'"a\\u0000b"'
    assert await pool.fetchval("select spec from resources") == spec


async def test_workers_hear_of_a_start(pool: Pool, dsn: str) -> None:
    """A batch that starts something notifies once; one without news keeps quiet."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await connect.dedicated(dsn)
    await listener.add_listener("perdure_wake", lambda *notice: heard.put_nowait(str(notice[3])))
    uids = [uuid4(), uuid4()]

    await Resources(pool).ingest([seen(uid) for uid in uids])
    await Resources(pool).ingest([seen(uid) for uid in uids])
    await pool.execute("select pg_notify('perdure_wake', 'last')")

    assert [await heard.get(), await heard.get()] == ["", "last"]
    await listener.close()


async def test_what_a_try_has_found_that_broke_off_is_told_by_the_next(dsn: str) -> None:
    """It stands in the database and is no news there: whoever shows it hears of it all the same, and so do workers."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await connect.dedicated(dsn)
    await listener.add_listener("perdure_wake", lambda *notice: heard.put_nowait(str(notice[3])))
    async with proxy.wire_to(dsn) as (wire, near):
        pool = await connect.create_pool(near)
        resources, sight = Resources(pool), seen(uuid4())
        wire.lose("request", "resource_notify")

        ingest = partial(resources.ingest, [sight])
        news = await connect.retrying(ingest, doing="ingest", availability=connect.Availability())
        await pool.execute("select pg_notify('perdure_wake', 'last')")
        await pool.close()

    await wire.broken()
    assert [(one.uid, one.starts) for one in news] == [(sight.uid, True)]
    assert [await heard.get(), await heard.get()] == ["", "last"]
    await listener.close()


async def test_a_restored_backup_counts_and_what_comes_late_of_before_is_put_right_again(pool: Pool) -> None:
    """A lower generation that was read while exactly the higher one was known is the newer one; once is enough."""
    resources, uid = Resources(pool), uuid4()
    after = seen(uid, generation=3, spec=b'{"orchestration":"greet","suspend":true}')
    restored = seen(uid, generation=2, instead_of=3)
    generations = []
    for sight in (after, restored, restored, after, restored, seen(uid, generation=4), restored):
        news = await resources.ingest([sight])
        generations.append((len(news), (await resources.known([]))[uid].generation))

    assert generations == [(1, 3), (1, 2), (0, 2), (1, 3), (1, 2), (1, 4), (0, 4)]
    assert set(await instances(pool)) == {"shop/db:1"}


async def test_a_deletion_that_a_restored_api_server_has_not_is_taken_back(pool: Pool) -> None:
    """The resource lives again, what was asked of its run stands, and the next comparison finds nothing."""
    resources, uid = Resources(pool), uuid4()
    await resources.ingest([seen(uid)])
    marked = await resources.ingest([seen(uid, generation=2, deleting=True)])
    assert (await resources.known([]))[uid].deleting

    restored = seen(uid, generation=1, instead_of=2)

    assert len(await resources.ingest([restored])) == 1
    assert not (await resources.known([]))[uid].deleting
    assert await resources.ingest([restored]) == []
    assert [one.cancels for one in marked] == [True]


@pytest.mark.parametrize("generation", [2, 3])
async def test_a_deletion_that_a_restored_api_server_has_not_is_taken_back_after_an_edit_too(
    pool: Pool, generation: int
) -> None:
    """An edit has brought the generation up to that of the deletion, or above it, before anybody compared."""
    resources, uid = Resources(pool), uuid4()
    await resources.ingest([seen(uid)])
    await resources.ingest([seen(uid, generation=2, deleting=True)])

    edited = seen(uid, generation=generation)

    assert len(await resources.ingest([edited])) == 1
    assert (await resources.known([]))[uid] == Known("shop", "db", generation, deleting=False)
    assert await pool.fetchval("select deleting_at from resources") is None
    assert await resources.ingest([edited]) == []

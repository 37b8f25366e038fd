"""What ingest does to runs that are there: pauses, changed requests, deadlines, ages, finalizers; each once.

Against a real Postgres, through `Resources` alone; what is decided is tested in `tests/unit/core/test_desired.py`, here
it is carried out. The cast is a resource `db` in the namespace `shop`, moved by hand where a worker would move it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from perdure._core import desired, history
from perdure._store import connect, starts
from perdure._store.resources import News, Policies, Resources, Seen

Pool = connect.Pool
UID = UUID(int=1)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Give connections to a fresh database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


def seen(request: str = "a", generation: int = 1, **changes: Any) -> Seen:
    """Give the sight of the resource in one of its generations; what is a policy goes there."""
    policies = {name: changes.pop(name) for name in list(changes) if name in Policies.__dataclass_fields__}
    spec = f'{{"request":"{request}","generation":{generation}}}'.encode()
    usual: dict[str, Any] = {"uid": UID, "orchestration": "greet", "input": f'"{request}"'.encode()}
    return Seen(
        namespace="shop",
        name="db",
        generation=generation,
        spec=spec,
        request=request,
        policies=Policies(**policies),
        **(usual | changes),
    )


async def ingest(pool: Pool, *sights: Seen) -> list[News]:
    """Take sights in, each twice: the second time changes nothing."""
    news = []
    for sight in sights:
        news += await Resources(pool).ingest([sight])
        before = await pool.fetch("select xmin::text, r.* from resources r")
        again = await Resources(pool).ingest([sight])
        if again:  # a change waits: it is asked each time whether its time has come
            assert not any(one.starts or one.cancels for one in again)
        else:
            assert await pool.fetch("select xmin::text, r.* from resources r") == before
    return news


async def run(pool: Pool, number: int = 1) -> asyncpg.Record:
    """Read a run, and whether it wakes now."""
    [row] = await pool.fetch(
        "select *, wake_at <= now() as wakes, deadline_at - created_at as time from instances where instance_id = $1",
        f"shop/db:{number}",
    )
    return row


async def resource(pool: Pool) -> asyncpg.Record:
    """Read the resource."""
    [row] = await pool.fetch("select * from resources where uid = $1", UID)
    return row


async def take(pool: Pool) -> None:
    """Let a worker own the run, in the middle of its work."""
    await pool.execute(
        "update instances set owner_id = $1, phase = 'Running', turn = 2, wake_at = null, started_at = now() "
        "where finished_at is null",
        uuid4(),
    )


async def finish(pool: Pool, phase: str = "Completed") -> None:
    """Let the run have ended."""
    await pool.execute(
        "update instances set owner_id = null, wake_at = null, phase = $1, turn = 3, finished_at = now(), "
        "is_suspended = false, suspend_reason = '' where finished_at is null",
        phase,
    )


async def inbox(pool: Pool) -> list[tuple[str, str, bytes]]:
    """Read what is on its way."""
    rows = await pool.fetch("select instance_id, kind, payload from inbox order by message_id")
    return [(row["instance_id"], row["kind"], row["payload"]) for row in rows]


async def test_a_run_that_is_created_suspended_waits_for_its_release(pool: Pool) -> None:
    """Nobody can claim it, and its time does not run; released, it is due and its time begins."""
    await ingest(pool, seen(suspend=True, timeout_seconds=60))
    created = await run(pool)
    await ingest(pool, seen(generation=2, timeout_seconds=60))
    released = await run(pool)

    assert (created["phase"], created["is_suspended"], created["suspend_reason"]) == ("Suspended", True, "spec.suspend")
    assert created["deadline_at"] is None
    assert (released["phase"], released["is_suspended"], released["wakes"]) == ("Pending", False, True)
    assert released["time"].total_seconds() >= 60


async def test_a_running_run_is_paused_and_goes_on(pool: Pool) -> None:
    """Its owner is woken to give it back; then it goes on where it was."""
    await ingest(pool, seen())
    await take(pool)
    await ingest(pool, seen(generation=2, suspend=True))
    paused = await run(pool)
    await ingest(pool, seen(generation=3))
    resumed = await run(pool)

    assert (paused["phase"], paused["is_suspended"], paused["wakes"]) == ("Suspended", True, True)
    assert (resumed["phase"], resumed["is_suspended"], resumed["suspend_reason"]) == ("Running", False, "")


async def test_what_waits_for_its_next_attempt_waits_no_longer_when_a_pause_ends(pool: Pool) -> None:
    """Whoever ends it has repaired something; a change that ends no pause hastens nothing."""
    waits = "insert into tasks (instance_id, execution, seq, visible_at) values ('shop/db:1', $1, 1, now() + '1 h')"
    are_due = "select execution, visible_at <= now() as is_due from tasks order by execution"
    await ingest(pool, seen())
    await take(pool)
    for execution in (1, 2):
        await pool.execute(waits, execution)

    await ingest(pool, seen(generation=2, timeout_seconds=60), seen(generation=3, suspend=True))
    before = await pool.fetch(are_due)
    await ingest(pool, seen(generation=4))
    after = await pool.fetch(are_due)

    assert [row["is_due"] for row in before] == [False, False]
    assert [row["is_due"] for row in after] == [True, False]


async def test_a_pause_of_somebody_else_stays(pool: Pool) -> None:
    """`perdure suspend` is ended by `perdure resume`, whatever the spec says."""
    await ingest(pool, seen())
    await pool.execute(
        "update instances set is_suspended = true, phase = 'Suspended', turn = 1, suspend_reason = 'look'"
    )

    await ingest(pool, seen(generation=2, timeout_seconds=5))

    assert (await run(pool))["suspend_reason"] == "look"


async def test_a_changed_request_waits_for_the_end_and_then_runs(pool: Pool) -> None:
    """With the new input, under the next number, of the same uid; the first run is not touched."""
    await ingest(pool, seen(rerun="OnChange"))
    await take(pool)
    changed = seen("b", 2, rerun="OnChange")
    await ingest(pool, changed)
    waiting, untouched = await resource(pool), await run(pool)
    await finish(pool)
    [news] = await Resources(pool).ingest([changed])

    assert (waiting["waiting"], waiting["run"], untouched["wakes"]) == ("AfterCurrentRun", 1, None)
    assert (news.starts, news.instance_id) == (True, "shop/db:2")
    assert ((await run(pool, 2))["input"], (await run(pool, 2))["resource_uid"]) == (b'"b"', UID)
    assert ((await resource(pool))["waiting"], await inbox(pool)) == ("", [])


async def test_a_change_that_is_taken_back_starts_nothing(pool: Pool) -> None:
    """Nothing waits any more."""
    await ingest(pool, seen(rerun="OnChange"))
    await take(pool)
    await ingest(pool, seen("b", 2, rerun="OnChange"), seen("a", 3, rerun="OnChange"))
    await finish(pool)
    await ingest(pool, seen("a", 4, rerun="OnChange"))

    assert (await resource(pool))["waiting"] == ""
    assert await pool.fetchval("select count(*) from instances") == 1


async def test_a_failed_run_and_a_changed_request_are_a_new_run(pool: Pool) -> None:
    """At once: there is nothing to wait for."""
    await ingest(pool, seen(rerun="OnChange"))
    await finish(pool, "Failed")
    [news] = await ingest(pool, seen("b", 2, rerun="OnChange"))

    assert (news.starts, news.instance_id) == (True, "shop/db:2")


async def test_a_running_run_is_told_of_each_change_once(pool: Pool) -> None:
    """By the signal `update` with the new input; a change that is taken back is one too."""
    await ingest(pool, seen(rerun="OnChange", update="Signal"))
    await take(pool)
    for generation, request in ((2, "b"), (3, "b"), (4, "a")):
        await ingest(pool, seen(request, generation, rerun="OnChange", update="Signal"))

    told = [history.decode_event(payload) for _, kind, payload in await inbox(pool) if kind == "Signal"]
    assert [(one.name, bytes(one.payload)) for one in told if isinstance(one, history.SignalReceived)] == [
        (desired.UPDATE_SIGNAL, b'"b"'),
        (desired.UPDATE_SIGNAL, b'"a"'),
    ]
    assert (await run(pool))["wakes"]


async def test_a_change_may_cancel_the_present_run_first(pool: Pool) -> None:
    """It is told once, the next one begins when it has ended, and is not cancelled itself."""
    await ingest(pool, seen(rerun="OnChange", update="CancelCurrent"))
    await take(pool)
    changed = seen("b", 2, rerun="OnChange", update="CancelCurrent")
    await ingest(pool, changed)
    told = await inbox(pool)
    await finish(pool, "Cancelled")
    await Resources(pool).ingest([changed])

    assert [kind for _, kind, _ in told] == ["Cancel"]
    assert b"The request was changed." in told[0][2]
    assert ((await run(pool, 2))["phase"], (await resource(pool))["cancel_reason"]) == ("Pending", None)


async def test_two_controllers_begin_one_run_of_a_change(pool: Pool) -> None:
    """Whoever comes second finds that it has begun."""
    await ingest(pool, seen(rerun="OnChange"))
    await finish(pool)

    news = await asyncio.gather(*(Resources(pool).ingest([seen("b", 2, rerun="OnChange")]) for _ in range(4)))

    assert sum(one.starts for batch in news for one in batch) == 1
    assert await pool.fetchval("select count(*) from instances") == 2


async def test_a_crash_between_the_steps_leaves_nothing(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read and locked is forgotten with the transaction; the next ingest does it all."""
    await ingest(pool, seen())
    await take(pool)
    before = await run(pool)

    def crash(*_: object, **__: object) -> desired.Decision:
        raise ConnectionResetError

    with monkeypatch.context() as crashing:
        crashing.setattr(desired, "decide", crash)
        with pytest.raises(ConnectionResetError):
            await Resources(pool).ingest([seen(generation=2, suspend=True)])
    between = await run(pool)
    await ingest(pool, seen(generation=2, suspend=True))

    assert between == before
    assert (await run(pool))["is_suspended"]


async def test_an_orphan_goes_on_without_its_resource(pool: Pool) -> None:
    """It is neither told nor woken."""
    await ingest(pool, seen(deletion="Orphan"))
    await take(pool)
    await ingest(pool, seen(generation=2, deletion="Orphan", deleting=True), Seen(UID, "shop", "db", gone=True))

    assert (await inbox(pool), (await run(pool))["phase"]) == ([], "Running")


async def test_a_run_that_compensates_begins_once_its_resource_is_kept(pool: Pool) -> None:
    """Before, the news say that there is a chore; then it begins, and the finalizer is wanted to its end."""
    [asked] = await ingest(pool, seen(deletion="Compensate"))
    [kept] = await ingest(pool, seen(deletion="Compensate", has_finalizer=True))
    await finish(pool)
    [_, released] = await ingest(
        pool,
        seen(generation=2, deletion="Compensate", has_finalizer=True, deleting=True),
        seen(generation=2, deletion="Compensate", deleting=True),
    )

    assert (asked.starts, asked.has_chores) == (False, True)
    assert (kept.starts, kept.has_chores) == (True, False)
    assert released.has_chores is False


async def test_a_changed_timeout_moves_the_deadline(pool: Pool) -> None:
    """It counts from the same moment; without one there is no deadline."""
    await ingest(pool, seen(timeout_seconds=60))
    await take(pool)
    times = [(await run(pool))["time"].total_seconds()]
    for generation, seconds in ((2, 90), (3, None), (4, 30)):
        await ingest(pool, seen(generation=generation, timeout_seconds=seconds))
        time = (await run(pool))["time"]
        times.append(time and round(time.total_seconds()))

    assert times == [60, 90, None, 30]


async def test_policies_of_the_engine_reach_the_run(pool: Pool) -> None:
    """At its start and later; held code that may fail now is looked at again."""
    await ingest(pool, seen(on_nondeterminism="Fail", retention_seconds=5))
    first = await run(pool)
    await pool.execute(
        "update instances set phase = 'Suspended', hold_reason = 'Nondeterministic', wake_at = null, turn = 1, "
        "on_nondeterminism = 'Hold'"
    )
    await ingest(pool, seen(generation=2, on_nondeterminism="Fail", retention_seconds=6))
    second = await run(pool)

    assert (first["on_nondeterminism"], first["retention_seconds"]) == ("Fail", 5)
    assert (second["on_nondeterminism"], second["retention_seconds"], second["wakes"]) == ("Fail", 6, True)
    assert (second["phase"], second["hold_reason"]) == ("Suspended", "Nondeterministic")


async def test_a_sight_needs_a_start_until_it_has_one_and_again_when_the_request_changes(pool: Pool) -> None:
    """What a run needs is looked for before each of its starts and before it is told of a change, and not besides."""
    due = starts.Starts(pool).due
    first, changed = seen(rerun="OnChange", update="Signal"), seen("b", 2, rerun="OnChange", update="Signal")
    assert await due([first]) == {UID}, "nobody has seen it"

    await ingest(pool, first)
    await take(pool)
    assert await due([first]) == set(), "it has its run"
    assert await due([changed]) == {UID}, "the run is to be told of another request"

    await ingest(pool, changed)
    assert await due([changed]) == set(), "it was told"

    await finish(pool)
    assert await due([changed]) == {UID}, "another run is to begin"

    await ingest(pool, changed)
    assert await due([changed]) == set(), "it has begun"


async def test_a_refused_sight_still_needs_a_start_and_a_resource_that_is_gone_none(pool: Pool) -> None:
    """What waits for something is looked at again after each start of an operator."""
    due = starts.Starts(pool).due
    await ingest(pool, seen(refusal=b'{"reason":"InputSourceMissing","message":"","waits":true}'))
    assert await due([seen()]) == {UID}

    await ingest(pool, Seen(UID, "shop", "db", gone=True))
    assert await due([seen()]) == set()


async def test_a_run_that_is_adopted_needs_nothing(pool: Pool) -> None:
    """It has had what it needed; another request of that name has not."""
    due = starts.Starts(pool).due
    await pool.execute(
        "insert into tombstones (namespace, name, uid, request, run, instance_id) "
        "values ('shop', 'db', $1, 'a', 1, 'shop/db:1')",
        uuid4(),
    )

    assert await due([seen("a")]) == set()
    assert await due([seen("b")]) == {UID}

"""Queues in the database: who may take what, exactly how much, and what a report changes. No worker takes part.

Two claims that meet are two connections: what one does in the middle of the other is written down step by step, so each
race is always lost in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from perdure import errors
from perdure._store import statements
from perdure.client import QueueInfo
from tests.store.desk import Desk

SQL = statements.load()
STEP = "test::activity::step"


class Server:
    """A worker that serves queues, by its statements alone, on a connection of its own."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], worker_id: uuid.UUID) -> None:
        """Serve under this id."""
        self.connection = connection
        self.worker_id = worker_id

    async def claim(
        self, *queues: str, slots: int = 10, threads: int = 0, knows: Sequence[tuple[str, bool]] = ((STEP, True),)
    ) -> tuple[list[asyncpg.Record], float | None]:
        """Take what fits; give the rows, and the seconds until it is worth another look."""
        rows = await self.connection.fetch(
            SQL["queue_claim"],
            self.worker_id,
            list(queues or ("gpu",)),
            [name for name, _ in knows],
            [is_async for _, is_async in knows],
            [True, False],
            [slots, threads],
        )
        return [row for row in rows if row["instance_id"] is not None], rows[0]["again_seconds"]

    async def finish(self, *rows: asyncpg.Record) -> list[tuple[str, int]]:
        """Report results; give the tasks that were still its own."""
        done = await self.connection.fetch(SQL["queue_finish"], self.worker_id, *fence(rows), len(rows) * [b"{}"])
        return sorted((row["instance_id"], row["seq"]) for row in done)

    async def fail(self, row: asyncpg.Record) -> int:
        """Report a failed attempt; give whether it was still its own, as a number of tasks."""
        values = [1], [0.0], [b"{}"], [None]
        return len(await self.connection.fetch(SQL["queue_fail"], self.worker_id, *fence([row]), *values))

    async def says(self, row: asyncpg.Record, detail: bytes) -> list[asyncpg.Record]:
        """Write what a heartbeat said; give what is its own."""
        return await self.connection.fetch(SQL["queue_watch"], self.worker_id, *fence([row]), [detail])


def fence(rows: Sequence[asyncpg.Record]) -> list[list[object]]:
    """Say which claims of which tasks are meant."""
    return [[row[name] for row in rows] for name in ("instance_id", "execution", "seq", "claims", "asked_at")]


@contextlib.asynccontextmanager
async def serving(desk: Desk) -> AsyncIterator[Server]:
    """Put a server to work whose lease stands."""
    worker_id = await desk.claimed()
    connection = await asyncpg.connect(desk.dsn)
    try:
        yield Server(connection, worker_id)
    finally:
        await connection.close()


async def queue(desk: Desk, count: int = 1, *, queue: str = "gpu", activity: str = STEP, priority: int = 0) -> None:
    """Let an instance, asleep and unowned, ask for so many activities."""
    instance_id = f"{queue}-{uuid.uuid4()}"
    await desk.start(instance_id)
    await ask(desk, instance_id, count, queue=queue, activity=activity, priority=priority)


async def ask(
    desk: Desk, instance_id: str, count: int = 1, *, queue: str = "gpu", activity: str = STEP, priority: int = 0
) -> None:
    """Let an instance that was just started ask for so many activities, and sleep."""
    await desk.asleep(instance_id)
    await desk.fetch(
        "insert into tasks (instance_id, execution, seq, queue, priority, activity, command, asked_at, visible_at) "
        "select $1, 1, n, $2, $3, $4, '{}', now(), now() - interval '1 h' + n * interval '1 ms' "
        "from generate_series(1, $5) n",
        instance_id,
        queue,
        priority,
        activity,
        count,
    )


# Who takes what.


async def test_a_task_is_taken_once(desk: Desk) -> None:
    """Two servers share ten tasks: each gets its own, together all, and each taking is counted."""
    await queue(desk, 10)
    async with serving(desk) as one, serving(desk) as other:
        first, _ = await one.claim(slots=4)
        second, _ = await other.claim(slots=100)

    assert sorted(row["seq"] for row in [*first, *second]) == list(range(1, 11))
    assert (len(first), {row["claims"] for row in first}) == (4, {1})


async def test_the_highest_priority_goes_first_then_the_longest_visible(desk: Desk) -> None:
    """Over several queues as well: slots go to what is most urgent."""
    for name, priority in (("gpu", 0), ("disk", 5), ("gpu", -3), ("disk", 0)):
        await queue(desk, 2, queue=name, priority=priority)
    async with serving(desk) as server:
        taken, _ = await server.claim("gpu", "disk", slots=3)

    names = sorted((row["instance_id"].partition("-")[0], row["seq"]) for row in taken)
    assert [name for name in names if name[0] == "disk"][:2] == [("disk", 1), ("disk", 2)]
    assert len(names) == 3
    assert not await desk.fetch("select 1 from tasks where priority = -3 and worker_id is not null")


async def test_what_is_not_due_not_known_or_of_another_queue_is_left(desk: Desk) -> None:
    """A retry waits for its moment, an activity for somebody who has it, a queue for who serves it."""
    await queue(desk, activity="test::activity::unknown")
    await queue(desk, queue="disk")
    await queue(desk)
    await desk.fetch("update tasks set visible_at = now() + interval '1 h' where queue = 'gpu' and activity = $1", STEP)
    async with serving(desk) as server:
        assert await server.claim() == ([], None)


async def test_each_kind_of_slot_is_filled_on_its_own(desk: Desk) -> None:
    """Sync functions take threads and async ones take the rest: one kind that is full leaves room for the other."""
    sync = "test::activity::sync"
    await queue(desk, 5)
    await queue(desk, 5, activity=sync, priority=9)
    async with serving(desk) as server:
        taken, _ = await server.claim(slots=3, threads=1, knows=((STEP, True), (sync, False)))

    assert sorted(row["activity"] for row in taken) == [STEP, STEP, STEP, sync]


async def test_who_was_taken_for_dead_takes_nothing(desk: Desk) -> None:
    """A claim holds the row of its worker: without one there is no claim, also of a queue with limits."""
    await queue(desk)
    await desk.client.set_queue_limits("gpu", max_running=5)
    async with serving(desk) as server:
        await desk.fetch("delete from workers")

        assert await server.claim() == ([], None)


async def test_a_locked_task_is_not_waited_for(desk: Desk) -> None:
    """Whatever somebody is about to do with one task, the others are there to be taken."""
    await queue(desk, 3)
    async with serving(desk) as server, desk.outside.transaction():
        await desk.fetch("select 1 from tasks where seq = 1 for update")

        taken, _ = await server.claim(slots=2)

    assert [row["seq"] for row in taken] == [2, 3]


# How much.


async def test_two_claims_that_meet_take_no_more_than_one_may(desk: Desk) -> None:
    """The second was asked before the first was done: it waits, takes nothing, and is told to look again."""
    await queue(desk, 5)
    await desk.client.set_queue_limits("gpu", max_running=2)
    async with serving(desk) as one, serving(desk) as other:
        async with one.connection.transaction():
            first, _ = await one.claim(slots=1)
            late = asyncio.create_task(other.claim())
            await blocked(desk, "queues")
        second, again = await late
        third, _ = await other.claim()
        fourth, nothing = await other.claim()

    assert ([len(taken) for taken in (first, second, third, fourth)], again) == ([1, 0, 1, 0], 0)
    assert nothing is None


async def test_a_queue_without_limits_waits_for_no_lock(desk: Desk) -> None:
    """Only a queue that has limits, and something to do, is locked: others are served beside it."""
    await queue(desk)
    await queue(desk, queue="free")
    await desk.client.set_queue_limits("gpu", max_running=2)
    async with serving(desk) as server, desk.outside.transaction():
        await desk.fetch("select 1 from queues for update")

        taken, _ = await server.claim("free")

    assert len(taken) == 1


async def test_a_finished_task_makes_room_for_the_next(desk: Desk) -> None:
    """What counts is what runs: a report lets one more start."""
    await queue(desk, 3)
    await desk.client.set_queue_limits("gpu", max_running=1)
    async with serving(desk) as server:
        [first], _ = await server.claim()
        none, _ = await server.claim()
        await server.finish(first)
        [second], _ = await server.claim()

    assert (none, first["seq"], second["seq"]) == ([], 1, 2)


async def test_one_limit_holds_over_both_kinds_of_slots(desk: Desk) -> None:
    """With one place left, an async and a sync activity do not both start."""
    sync = "test::activity::sync"
    await queue(desk, 2)
    await queue(desk, 2, activity=sync, priority=1)
    await desk.client.set_queue_limits("gpu", max_running=1)
    async with serving(desk) as server:
        taken, _ = await server.claim(slots=5, threads=5, knows=((STEP, True), (sync, False)))

    assert [row["activity"] for row in taken] == [sync]


async def test_a_rate_starts_whole_tokens_and_says_when_the_next_is_there(desk: Desk) -> None:
    """Of two and a half tokens two are spent; the missing half is there after half a second at one a second."""
    await queue(desk, 5)
    await desk.client.set_queue_limits("gpu", per_second=1)
    await desk.fetch("update queues set tokens = 2.5, refilled_at = now() + interval '1 h', per_second = 4")
    async with serving(desk) as server:
        taken, again = await server.claim()

    [row] = await desk.fetch("select tokens, started, refilled_at > now() as is_ahead from queues")
    assert (len(taken), row["tokens"], row["started"], again) == (2, 0.5, 2, 0.125)
    assert row["is_ahead"], "a clock that was set back must not gather the same tokens twice"


async def test_tokens_gather_up_to_those_of_one_second(desk: Desk) -> None:
    """After an hour of rest a queue of three a second starts three at once, and not ten thousand."""
    await queue(desk, 10)
    await desk.client.set_queue_limits("gpu", per_second=3)
    await desk.fetch("update queues set tokens = 0, refilled_at = now() - interval '1 h'")
    async with serving(desk) as server:
        taken, _ = await server.claim()

    assert len(taken) == 3


async def test_a_slow_rate_starts_one_at_a_time(desk: Desk) -> None:
    """Once in a hundred seconds is one start at once, then none, with a hint of when."""
    await queue(desk, 5)
    await desk.client.set_queue_limits("gpu", per_second=0.01)
    async with serving(desk) as server:
        first, _ = await server.claim()
        second, again = await server.claim()

    assert (len(first), second) == (1, [])
    assert again is not None
    assert 0 < again <= 100


async def test_lower_limits_hold_at_once(desk: Desk) -> None:
    """With more running than is allowed now, nothing starts until enough of them have ended; lifted, all may."""
    await queue(desk, 6)
    async with serving(desk) as server:
        running, _ = await server.claim(slots=3)
        await desk.client.set_queue_limits("gpu", max_running=2)
        await server.finish(running[0])
        none, _ = await server.claim()
        await desk.client.set_queue_limits("gpu")
        rest, _ = await server.claim()

    assert (none, len(rest)) == ([], 3)
    assert await desk.fetch("select 1 from queues") == []


# What a report changes.


async def test_a_result_wakes_its_instance_and_is_applied_once(desk: Desk) -> None:
    """The task goes, the message comes with its execution, the instance is due; a second report finds nothing."""
    await queue(desk)
    async with serving(desk) as server:
        [row], _ = await server.claim()

        reports = [await server.finish(row), await server.finish(row)]

    [message] = await desk.fetch("select kind, execution, payload from inbox")
    assert reports == [[(row["instance_id"], 1)], []]
    assert (message["kind"], message["execution"], message["payload"]) == ("Event", 1, b"{}")
    assert (await desk.row(row["instance_id"]))["wakes"]
    assert await desk.fetch("select 1 from tasks") == []


async def test_only_who_has_the_task_can_report_it(desk: Desk) -> None:
    """A result of somebody else, or of an earlier taking by the same worker, changes nothing."""
    await queue(desk)
    async with serving(desk) as one, serving(desk) as other:
        [early], _ = await one.claim()
        await desk.fetch("update tasks set worker_id = null")
        [late], _ = await one.claim()

        reports = [await one.finish(early), await other.finish(late)]

    assert reports == [[], []]
    assert len(await desk.fetch("select 1 from tasks")) == 1
    assert await desk.fetch("select 1 from inbox") == []


async def test_a_report_is_never_for_a_later_task_of_the_same_id(desk: Desk) -> None:
    """An instance is removed and started again, and the same worker takes its task for the first time once more.

    What is still told of the earlier one, were it for the second time, changes nothing of the later.
    """
    await queue(desk)
    async with serving(desk) as server:
        [early], _ = await server.claim()
        await desk.client.delete_instance(early["instance_id"], force=True)
        await desk.start(early["instance_id"])
        await ask(desk, early["instance_id"])
        [late], _ = await server.claim()

        [ours] = await server.says(early, b"early")
        [detail] = await desk.fetch("select detail from tasks")
        reports = [await server.fail(early), len(await server.finish(early)), len(await server.finish(late))]

    assert early["claims"] == late["claims"] == ours["claims"]
    assert (ours["asked_at"], detail["detail"], reports) == (late["asked_at"], None, [0, 0, 1])


@pytest.mark.parametrize("is_over", [True, False])
async def test_a_result_that_nobody_wants_any_more_is_dropped(desk: Desk, *, is_over: bool) -> None:
    """An instance that has ended, or goes on in another execution, gets no message and is not woken."""
    await queue(desk)
    async with serving(desk) as server:
        [row], _ = await server.claim()
        if is_over:
            await desk.ended(row["instance_id"])
        else:
            await desk.fetch("update instances set execution = 2")

        await server.finish(row)

    assert await desk.fetch("select 1 from inbox union all select 1 from tasks") == []
    assert not (await desk.row(row["instance_id"]))["wakes"]


async def test_a_report_waits_for_the_instance_before_it_touches_the_task(desk: Desk) -> None:
    """Instances are locked first, as by a commit: whoever holds one may still do as it likes with its tasks."""
    await queue(desk)
    async with serving(desk) as server:
        [row], _ = await server.claim()
        async with desk.outside.transaction():
            await desk.fetch("select 1 from instances for update")
            report = asyncio.create_task(server.finish(row))
            await blocked(desk, "instances")
            await desk.fetch("delete from tasks")

        assert await report == []
    assert await desk.fetch("select 1 from inbox") == []


async def test_only_the_tasks_of_the_dead_are_put_back(desk: Desk) -> None:
    """Each of them counts a loss; those of the living stay where they are."""
    await queue(desk, 2)
    async with serving(desk) as dead, serving(desk) as living:
        [lost], _ = await dead.claim(slots=1)
        await living.claim(slots=1)

        await desk.fetch(SQL["reap_tasks"], [dead.worker_id])

    rows = await desk.fetch("select seq, losses, worker_id from tasks order by seq")
    assert [(row["losses"], row["worker_id"]) for row in rows] == [(1, None), (0, living.worker_id)]
    assert rows[0]["seq"] == lost["seq"]


async def test_a_worker_that_holds_a_task_stays_on_the_list(desk: Desk) -> None:
    """As long as it is there, somebody will reap it: no task is left with nobody."""
    await queue(desk)
    async with serving(desk) as server:
        await server.claim()

        await desk.fetch(SQL["worker_unregister"], server.worker_id)

    assert len(await desk.fetch("select 1 from workers")) == 1


async def test_a_server_gives_back_all_but_what_it_names(desk: Desk) -> None:
    """What a lost answer has taken goes back into the queue as well; what is kept stays, and nothing is counted."""
    await queue(desk, 3)
    async with serving(desk) as server:
        rows, _ = await server.claim()
        kept = next(row for row in rows if row["seq"] == 2)

        await desk.fetch(SQL["queue_release"], server.worker_id, [kept["instance_id"]], [1], [2])

    left = await desk.fetch("select worker_id, failed_attempts, losses from tasks order by seq")
    assert [row["worker_id"] for row in left] == [None, server.worker_id, None]
    assert {(row["failed_attempts"], row["losses"]) for row in left} == {(0, 0)}


# What the client shows.


async def test_queues_are_listed_with_what_is_in_them(desk: Desk) -> None:
    """Limits, tasks and servers agree with the database; a queue is shown for any of the three."""
    await queue(desk, 3)
    await queue(desk, queue="disk")
    await desk.client.set_queue_limits("gpu", max_running=2, per_second=7.5)
    await desk.client.set_queue_limits("quiet", max_running=1)
    async with serving(desk) as server:
        await server.claim(slots=1)
        await desk.fetch("update workers set queues = '{gpu,idle}'")
        await desk.fetch("update tasks set asked_at = now() - interval '1 h' where queue = 'gpu'")

        disk, gpu, idle, quiet = await desk.client.list_queues()

    assert gpu.oldest_seconds is not None
    assert gpu.oldest_seconds >= 3_600
    assert gpu == QueueInfo("gpu", 2, 1, gpu.oldest_seconds, 2, 7.5, 1)
    assert (disk.queue, disk.waiting, disk.max_running, disk.workers) == ("disk", 1, None, 0)
    assert idle == QueueInfo("idle", 0, 0, None, None, None, 1)
    assert quiet == QueueInfo("quiet", 0, 0, None, 1, None, 0)


@pytest.mark.parametrize("places", [0, 1.5, True, 2**31])
async def test_a_wrong_number_of_places_is_refused(desk: Desk, places: int) -> None:
    """A whole number of one or more, or none; the error names the queue and the value."""
    with pytest.raises(errors.DefinitionError, match="max_running of queue gpu is"):
        await desk.client.set_queue_limits("gpu", max_running=places)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan"), "many"])
async def test_a_wrong_rate_is_refused(desk: Desk, rate: float) -> None:
    """A number above zero, or none."""
    with pytest.raises(errors.DefinitionError, match="per_second of queue gpu is"):
        await desk.client.set_queue_limits("gpu", per_second=rate)


async def test_a_wrong_name_is_refused(desk: Desk) -> None:
    """What no activity could ask for is no queue."""
    with pytest.raises(errors.DefinitionError, match="no name for a queue"):
        await desk.client.set_queue_limits("no such/")


async def blocked(desk: Desk, table: str) -> None:
    """Wait until somebody waits for a row of a table."""
    question = (
        "select 1 from pg_locks waiting join pg_locks held using (pid) where not waiting.granted "
        "and waiting.locktype in ('transactionid', 'tuple') and held.relation = $1::regclass"
    )
    async with asyncio.timeout(120):
        while not await desk.fetch(question, table):  # noqa: ASYNC110 - it happens in the database
            await asyncio.sleep(0.01)

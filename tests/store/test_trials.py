"""What the rows say of trials, and whom the reaper blames: one statement after the other, without any worker."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg
import pytest

from perdure._store.store import Store

NOBODY: list[list[object]] = [[], [], [], []]


class Standing(NamedTuple):
    """What a task's row says: who has it, whether it is on trial, and what counts against it."""

    worker_id: uuid.UUID | None
    on_trial: bool
    losses: int
    convictions: int
    trials: int


class Court:
    """A database with workers, instances that they own, and tasks of those."""

    def __init__(self, store: Store, outside: asyncpg.Connection[asyncpg.Record]) -> None:
        """Begin with nobody."""
        self.store = store
        self.outside = outside

    async def worker(self, *, is_dead: bool = False) -> uuid.UUID:
        """Let a worker come, whose lease has ended if it is dead."""
        worker_id = uuid.uuid4()
        await self.store.fetch("worker_register", worker_id, -1.0 if is_dead else 3_600.0, "test", [], [], True)
        return worker_id

    async def die(self, worker_id: uuid.UUID) -> list[str]:
        """Let a worker die, and be found; give the instances that were freed."""
        await self.outside.execute(
            "update workers set lease_until = now() - interval '1 s' where worker_id = $1", worker_id
        )
        async with self.store.control("test") as control:
            return await control.reap()

    async def instance(self, instance_id: str, owner: uuid.UUID, *, tasks: int = 1, queue: str | None = None) -> None:
        """Let a worker own an instance with local tasks, or serve so many of its tasks of a queue."""
        await self.outside.execute(
            "insert into instances (instance_id, name, version, phase, turn, input, started_at, owner_id) "
            "values ($1, 'flow', '1', 'Running', 1, '{}', now(), $2)",
            instance_id,
            owner,
        )
        await self.outside.execute(
            "insert into tasks "
            "(instance_id, execution, seq, losses, queue, command, asked_at, activity, worker_id, claims) "
            "select $1, 1, n, 1, $2, '{}', now(), 'act', case when $2::text is not null then $3::uuid end, 1 "
            "from generate_series(1, $4) as n",
            instance_id,
            queue,
            owner,
            tasks,
        )

    async def tries(self, worker_id: uuid.UUID, *tasks: tuple[str, int], claims: int = 0) -> list[tuple[str, int]]:
        """Put these on trial, by instance and number, and nobody else; give those that are."""
        rows = [(instance_id, 1, seq, claims) for instance_id, seq in tasks]
        columns = [list(column) for column in zip(*rows, strict=True)] or NOBODY
        marked = await self.store.fetch("tasks_try", worker_id, *columns)
        return sorted((row["instance_id"], row["seq"]) for row in marked)

    async def task(self, instance_id: str, seq: int = 1) -> Standing:
        """Look at a task."""
        row = await self.outside.fetchrow(
            "select worker_id, on_trial, losses, convictions, trials from tasks where instance_id = $1 and seq = $2",
            instance_id,
            seq,
        )
        assert row is not None
        return Standing(*row)

    async def instances(self, *columns: str) -> dict[str, Sequence[object]]:
        """Look at columns of all instances, by id."""
        rows = await self.outside.fetch("select * from instances")
        return {row["instance_id"]: tuple(row[column] for column in columns) for row in rows}


@pytest.fixture
async def court(dsn: str) -> AsyncIterator[Court]:
    """Give a fresh database."""
    store, outside = await Store.open(dsn), await asyncpg.connect(dsn)
    yield Court(store, outside)
    await outside.close()
    await store.close()


async def test_a_trial_marks_what_is_ours_and_acquits_the_last_one(court: Court) -> None:
    """One statement: these are on trial, those no longer, and whoever stood it well is convicted no more."""
    mine, other = await court.worker(), await court.worker()
    await court.instance("a", mine, tasks=3)
    await court.instance("b", other)
    await court.outside.execute("update tasks set convictions = 2 where instance_id = 'a' and seq = 1")

    assert await court.tries(mine, ("a", 1), ("a", 2), ("b", 1), ("none", 1)) == [("a", 1), ("a", 2)]
    assert await court.task("a", 1) == Standing(mine, on_trial=True, losses=1, convictions=2, trials=1)
    assert await court.tries(mine, ("a", 2), ("a", 3)) == [("a", 2), ("a", 3)]

    assert await court.task("a", 1) == Standing(None, on_trial=False, losses=1, convictions=0, trials=1)
    assert await court.task("a", 2) == Standing(mine, on_trial=True, losses=1, convictions=0, trials=2)
    assert await court.task("b") == Standing(None, on_trial=False, losses=1, convictions=0, trials=0)


async def test_a_queued_task_is_tried_by_whoever_has_claimed_it(court: Court) -> None:
    """The claim is the fence; after its acquittal the task is still in the same hands."""
    server, late = await court.worker(), await court.worker()
    await court.instance("a", server, queue="gpu")

    assert await court.tries(late, ("a", 1), claims=1) == []
    assert await court.tries(server, ("a", 1), claims=2) == []
    assert await court.tries(server, ("a", 1), claims=1) == [("a", 1)]
    assert await court.tries(server) == []

    assert await court.task("a") == Standing(server, on_trial=False, losses=1, convictions=0, trials=1)


async def test_who_is_gone_tries_nobody(court: Court) -> None:
    """A zombie that was taken for dead marks nothing: its trial would be blamed on somebody else's death."""
    await court.instance("a", gone := uuid.uuid4())

    assert await court.tries(gone, ("a", 1)) == []


async def test_a_death_in_a_trial_is_blamed_on_those_on_trial_and_on_nobody_else(court: Court) -> None:
    """Several on trial are more suspect, and none is convicted; what ran beside them goes on without blame."""
    mine = await court.worker()
    await court.instance("a", mine, tasks=3)
    await court.instance("b", mine, queue="gpu")
    await court.tries(mine, ("a", 1), ("a", 2))

    assert await court.die(mine) == ["a", "b"]

    assert await court.task("a", 1) == Standing(None, on_trial=False, losses=2, convictions=0, trials=1)
    assert await court.task("a", 3) == Standing(None, on_trial=False, losses=1, convictions=0, trials=0)
    assert await court.task("b") == Standing(None, on_trial=False, losses=1, convictions=0, trials=0)
    assert await court.instances("owner_id", "is_suspect", "recoveries") == dict.fromkeys("ab", (None, False, 1))


async def test_who_alone_was_on_trial_is_convicted(court: Court) -> None:
    """One suspect, one death: that counts."""
    mine = await court.worker()
    await court.instance("a", mine, tasks=2)
    await court.tries(mine, ("a", 2))

    await court.die(mine)

    assert await court.task("a", 2) == Standing(None, on_trial=False, losses=2, convictions=1, trials=1)


async def test_without_a_trial_everything_is_suspect(court: Court) -> None:
    """Nothing says of what the worker died: tasks of queues are counted at once, an owner's own by the next owner."""
    mine = await court.worker()
    await court.instance("a", mine)
    await court.instance("b", mine, queue="gpu")

    await court.die(mine)

    assert await court.task("a") == Standing(None, on_trial=False, losses=1, convictions=0, trials=0)
    assert await court.task("b") == Standing(None, on_trial=False, losses=2, convictions=0, trials=0)
    assert await court.instances("is_suspect") == dict.fromkeys("ab", (True,))


async def test_the_next_owner_is_told_once_that_an_instance_is_suspect(court: Court) -> None:
    """The claim says so and forgets it: a second owner counts nothing for a death that it has not seen."""
    mine = await court.worker()
    await court.instance("a", mine)
    await court.die(mine)
    claimed = []

    for _ in range(2):
        heir = await court.worker()
        claimed += await court.store.fetch("claim", heir, ["flow"], ["1"], 10, [])
        await court.outside.execute("update instances set owner_id = null, wake_at = now()")

    assert [row["is_suspect"] for row in claimed] == [True, False]


async def test_however_often_owners_die_of_something_else_it_is_no_poison(court: Court) -> None:
    """Deaths without a trial, and in the trials of others, count once together; each in its own trial counts."""
    recoveries: list[object] = []
    await court.instance("a", mine := await court.worker())
    for trying in ([], ["b"], [], ["a"], ["a", "b"], []):
        await court.store.fetch("worker_try", mine, trying)
        await court.die(mine)
        recoveries += (await court.instances("recoveries"))["a"]
        mine = await court.worker()
        await court.store.fetch("claim", mine, ["flow"], ["1"], 10, [])

    assert recoveries == [1, 1, 1, 2, 3, 3]


async def test_a_death_while_an_activity_and_an_instance_are_tried_convicts_nobody(court: Court) -> None:
    """It may have been either: both are more suspect."""
    mine = await court.worker()
    await court.instance("a", mine)
    await court.outside.execute("update instances set recoveries = 1")
    await court.tries(mine, ("a", 1))
    await court.store.fetch("worker_try", mine, ["a"])

    await court.die(mine)

    assert await court.task("a") == Standing(None, on_trial=False, losses=2, convictions=0, trials=1)
    assert await court.instances("recoveries", "is_suspect") == {"a": (2, False)}


async def test_each_of_the_dead_is_judged_by_itself(court: Court) -> None:
    """Two found dead at once: one had a trial, the other had none."""
    first, second = await court.worker(), await court.worker()
    await court.instance("a", first, tasks=2)
    await court.instance("b", second, queue="gpu")
    await court.tries(first, ("a", 1))
    await court.outside.execute("update workers set lease_until = now() - interval '1 s'")

    await court.die(first)

    assert (await court.task("a", 1)).convictions == 1
    assert (await court.task("b")).losses == 2
    assert await court.instances("is_suspect") == {"a": (False,), "b": (True,)}


async def test_who_leaves_takes_no_trial_with_it(court: Court) -> None:
    """A worker that stops in order is gone at once, and what it tried is in nobody's hands."""
    mine = await court.worker()
    await court.instance("a", mine)
    await court.instance("b", mine, queue="gpu")
    await court.tries(mine, ("a", 1))
    await court.store.fetch("queue_release", mine, [], [], [])

    await court.store.leave(mine)

    assert await court.task("a") == Standing(None, on_trial=False, losses=1, convictions=0, trials=1)
    assert await court.outside.fetch("select 1 from workers") == []
    assert await court.store.fetch("stranded") == []


async def test_an_attempt_that_failed_is_no_trial_any_more(court: Court) -> None:
    """Whoever comes back with an error has killed nobody: the task waits for its next attempt without a stain."""
    mine = await court.worker()
    await court.instance("a", mine, queue="gpu")
    await court.instance("b", mine)
    await court.outside.execute("update tasks set convictions = 1")
    await court.tries(mine, ("a", 1), ("b", 1), claims=1)

    asked_at = await court.outside.fetchval("select asked_at from tasks where instance_id = 'a'")
    await court.store.fetch("queue_fail", mine, ["a"], [1], [1], [1], [asked_at], [1], [0.0], [b"{}"], [None])
    await court.store.fetch("tasks_record_failure", mine, ["b"], [1], [1], [1], [0.0], [b"{}"], [None], [None])

    assert await court.task("a") == Standing(None, on_trial=False, losses=0, convictions=0, trials=0)
    assert await court.task("b") == Standing(None, on_trial=False, losses=0, convictions=0, trials=0)


async def test_a_failure_that_is_said_again_late_takes_back_no_later_one(court: Court) -> None:
    """A statement without an answer lands when the next attempt has failed as well: that one stands as it is."""
    mine = await court.worker()
    await court.instance("a", mine)

    for attempt, delay, error in ((1, 0.0, b"first"), (2, 3_600.0, b"second"), (1, 0.0, b"first")):
        said = [attempt], [delay], [error], [None], [None]
        await court.store.fetch("tasks_record_failure", mine, ["a"], [1], [1], *said)

    [row] = await court.outside.fetch("select failed_attempts, last_error, visible_at > now() as waits from tasks")
    assert tuple(row) == (2, b"second", True)


async def test_what_belongs_to_a_removed_instance_is_not_written_for_a_later_one_of_its_id(court: Court) -> None:
    """Its worker has both, and an attempt of the first fails, or says how far it is, when only the second is left."""
    mine = await court.worker()
    await court.instance("a", mine)
    made = await court.outside.fetchval("select created_at from instances")
    earlier = made - datetime.timedelta(seconds=1)

    for created_at, failures in ((earlier, 8), (made, 1)):
        await court.store.fetch(
            "tasks_record_failure", mine, ["a"], [1], [1], [failures], [0.0], [b"{}"], [None], [created_at]
        )
        await court.store.fetch("tasks_note", mine, ["a"], [1], [1], [b"%d" % failures], [created_at])

    [row] = await court.outside.fetch("select failed_attempts, detail from tasks")
    assert tuple(row) == (1, b"1")

"""The projector alone: a real database with runs in it, and an API server whose answers are scripted.

Marks are made by hand. What is written, and what each answer means, is the matter of `test_status_writer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from perdure._core import history
from perdure._kube import budget
from perdure._kube.projector import Projector
from perdure._kube.reach import Reach
from perdure._kube.status_writer import StatusWriter
from perdure._store import connect
from perdure._store.resources import Resources, Seen
from perdure._store.store import Availability
from tests.e2e.operator_process import until
from tests.e2e.scripted import PATIENCE_SECONDS, ScriptedServer

pytestmark = pytest.mark.slow


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[connect.Pool]:
    """Give connections to a fresh database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


@pytest.fixture
def server() -> ScriptedServer:
    """Give the API server."""
    return ScriptedServer()


@pytest.fixture
def bucket() -> budget.TokenBucket:
    """Give a budget that is never short."""
    return budget.TokenBucket(1_000, 1_000)


@pytest.fixture
async def projector(
    pool: connect.Pool, server: ScriptedServer, bucket: budget.TokenBucket, tmp_path: Path
) -> AsyncIterator[Projector]:
    """Give a projector that runs until the end of the test."""
    async with server.listening(tmp_path) as api:
        made = Projector(
            Resources(pool),
            StatusWriter(api, bucket=bucket, reach=Reach()),
            availability=Availability(),
            on_missing=lambda _uid, _namespace, _name: None,
        )
        running = asyncio.create_task(made.run())
        yield made
        assert not running.done(), "the projector has ended"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def make_run(pool: connect.Pool, name: str, *, turn: int = 0) -> UUID:
    """Make a resource with a running instance."""
    uid = uuid4()
    await Resources(pool).ingest([Seen(uid, "shop", name, 1, b"{}", orchestration="greet")])
    await pool.execute(
        "update instances set phase = 'Running', turn = $2, version = '1.0.0', owner_id = $1, wake_at = null"
        " where resource_uid = $3",
        uuid4(),
        turn,
        uid,
    )
    return uid


async def say(pool: connect.Pool, words: str, *, turn: int) -> None:
    """Write a turn of the run in which its code sets its custom status."""
    command = history.SetCustomStatus(msgspec.Raw(msgspec.json.encode(words)))
    body = history.encode_turn([], [command])
    await pool.execute("insert into history values ('shop/db:1', 1, $1, now(), $2)", turn, body)


async def test_a_history_that_cannot_be_read_leaves_the_others_shown(
    pool: connect.Pool, server: ScriptedServer, projector: Projector
) -> None:
    """Looked at together, the others are shown; the projector goes on."""
    broken, sound = await make_run(pool, "broken", turn=1), await make_run(pool, "sound")
    await pool.execute("insert into history values ('shop/broken:1', 1, 0, now(), 'no turn at all')")

    for uid in (broken, sound):
        projector.mark(uid, is_urgent=True)
    name, _ = await server.next()

    assert name == "sound"
    assert projector.failures == 1


async def test_a_status_that_is_refused_is_written_without_what_is_not_needed(
    pool: connect.Pool, server: ScriptedServer, projector: Projector
) -> None:
    """What the API server will not take is shortened to the least, which says why; the resource is never stuck."""
    uid = await make_run(pool, "db", turn=1)
    await say(pool, "x" * 3_000, turn=0)
    server.largest = 3_000

    projector.mark(uid, is_urgent=True)
    _, status = await server.next()

    assert (status["phase"], status["truncated"][-1]) == ("Running", "customStatus")
    assert "status: too long" in status["conditions"][0]["message"]
    assert projector.failures == 0


async def test_a_refused_status_is_sent_once_and_not_at_each_look(
    pool: connect.Pool, server: ScriptedServer, projector: Projector
) -> None:
    """However often the run is looked at; when it says something else, that is sent, and refused, once again."""
    uid = await make_run(pool, "db", turn=1)
    await say(pool, "x" * 3_000, turn=0)
    server.largest = 3_000
    projector.mark(uid, is_urgent=True)
    await server.next()
    unchanged = projector.unchanged

    async def is_looked_at_again() -> bool:
        projector.mark(uid, is_urgent=True)
        return projector.unchanged >= unchanged + 3

    await until(is_looked_at_again)
    asked = server.asked
    await say(pool, "y" * 3_000, turn=1)
    await pool.execute("update instances set turn = 2 where resource_uid = $1", uid)

    async def is_known_again() -> bool:
        projector.mark(uid, is_urgent=True)
        return bool(await pool.fetchval("select status_turn from resources where uid = $1", uid) == 2)

    await until(is_known_again)

    assert (asked, server.asked) == (2, 3)
    assert server.written.empty()


class EmptyBucket(budget.TokenBucket):
    """One token and no more; `asked` is set when somebody asks how long to wait for another."""

    def __init__(self) -> None:
        super().__init__(0.000_001, 1)
        self.asked = asyncio.Event()

    def next_in(self) -> float:
        """Tell, and note that it was asked."""
        seconds = super().next_in()
        if seconds > 0:
            self.asked.set()
        return seconds


@pytest.mark.parametrize("bucket", [EmptyBucket()])
async def test_what_waits_for_the_budget_is_written_as_it_is_then(
    pool: connect.Pool, server: ScriptedServer, projector: Projector, bucket: EmptyBucket
) -> None:
    """A status is built when it may be sent, not before: what happened while it waited is in it."""
    first, second = await make_run(pool, "first"), await make_run(pool, "second")

    async def is_shown() -> bool:
        return await pool.fetchval("select status is not null from resources where uid = $1", first) is True

    projector.mark(first, is_urgent=True)
    await server.next()
    await until(is_shown)
    bucket.asked.clear()
    projector.mark(second, delay_seconds=0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await bucket.asked.wait()
    await pool.execute(
        "update instances set phase = 'Completed', finished_at = now(), owner_id = null where resource_uid = $1", second
    )

    bucket.give_back(1)
    projector.mark(first)
    name, status = await server.next()

    assert (name, status["phase"]) == ("second", "Completed")

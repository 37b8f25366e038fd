"""The projector alone: a real database with runs in it, and an API server whose answers are scripted.

The API server is faked at the HTTP border, since no real one refuses on demand: it knows discovery, and takes patches
of statuses. Marks are made by hand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp.test_utils
import msgspec
import pytest
from aiohttp import web

from perdure._core import history
from perdure._kube import budget, client
from perdure._kube.api.orchestration import PLURAL
from perdure._kube.projector import Projector
from perdure._kube.reach import Reach
from perdure._store import connect
from perdure._store.resources import Resources, Seen
from perdure._store.store import Availability
from tests.e2e.operator_process import until

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 30.0
KINDS = {"resources": [{"name": PLURAL, "kind": "Orchestration", "namespaced": True, "verbs": []}]}


class FakeServer:
    """Takes statuses: `answer` is the HTTP status to give, `written` what it was given, by name."""

    def __init__(self) -> None:
        self.answer = 200
        self.largest = 1_000_000
        self.resource_version = 100
        self.written: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer discovery and patches."""
        if request.method == "GET":
            return web.json_response(KINDS)
        name = request.path.split("/")[-2]
        if len(await request.read()) > self.largest:
            causes = {"causes": [{"reason": "FieldValueInvalid", "message": "too long", "field": "status"}]}
            body = {"kind": "Status", "reason": "Invalid", "message": "status: too long", "details": causes}
            return web.json_response(body, status=422)
        self.written.put_nowait((name, json.loads(await request.text())[1]["value"]))
        self.resource_version += 1
        metadata = {"name": name, "resourceVersion": str(self.resource_version)}
        refusal = {"kind": "Status", "message": "no such right", "reason": "Forbidden"}
        return web.json_response({"metadata": metadata} if self.answer == 200 else refusal, status=self.answer)

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Wait for the next status."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.written.get()


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[connect.Pool]:
    """Give connections to a fresh database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


@pytest.fixture
def server() -> FakeServer:
    """Give the API server."""
    return FakeServer()


@pytest.fixture
def bucket() -> budget.TokenBucket:
    """Give a budget that is never short."""
    return budget.TokenBucket(1_000, 1_000)


@pytest.fixture
async def projector(
    pool: connect.Pool, server: FakeServer, bucket: budget.TokenBucket, tmp_path: Path
) -> AsyncIterator[Projector]:
    """Give a projector that runs until the end of the test."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with aiohttp.test_utils.TestServer(app) as listening:
        config = {
            "current-context": "c",
            "clusters": [{"name": "k", "cluster": {"server": str(listening.make_url("")).rstrip("/")}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        api = await client.Api.connect(str(tmp_path / "kubeconfig"))
        made = Projector(
            Resources(pool),
            api,
            availability=Availability(),
            reach=Reach(),
            bucket=bucket,
            on_missing=lambda _uid, _namespace, _name: None,
        )
        running = asyncio.create_task(made.run())
        yield made
        assert not running.done(), "the projector has ended"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()


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


async def test_a_history_that_cannot_be_read_leaves_the_others_shown(
    pool: connect.Pool, server: FakeServer, projector: Projector
) -> None:
    """Looked at together, the others are shown; the projector goes on."""
    broken, sound = await make_run(pool, "broken", turn=1), await make_run(pool, "sound")
    await pool.execute("insert into history values ('shop/broken:1', 1, 0, now(), 'no turn at all')")

    for uid in (broken, sound):
        projector.mark(uid, is_urgent=True)
    name, _ = await server.next()

    assert name == "sound"
    assert projector.failures == 1


async def test_a_missing_right_is_said_until_it_is_given(
    pool: connect.Pool, server: FakeServer, projector: Projector
) -> None:
    """Who may not write statuses is not ready, and says which right it lacks; the next write that is taken ends it."""
    uid = await make_run(pool, "db")
    before = projector.why_not_writing

    async def is_refused() -> bool:
        return bool(projector.why_not_writing)

    async def is_taken() -> bool:
        return not projector.why_not_writing

    server.answer = 403
    projector.mark(uid, is_urgent=True)
    await until(is_refused)
    refused = projector.why_not_writing

    server.answer = 200
    projector.mark(uid, is_urgent=True)
    await until(is_taken)

    assert before == ""
    assert "verbs [patch], resources [orchestrations/status]" in refused


async def test_a_status_that_is_refused_is_written_without_what_is_not_needed(
    pool: connect.Pool, server: FakeServer, projector: Projector
) -> None:
    """What the API server will not take is shortened to the least, which says why; the resource is never stuck."""
    uid = await make_run(pool, "db", turn=1)
    command = history.SetCustomStatus(msgspec.Raw(b'"' + b"x" * 3_000 + b'"'))
    turn = history.encode_turn([], [command])
    await pool.execute("insert into history values ('shop/db:1', 1, 0, now(), $1)", turn)
    server.largest = 3_000

    projector.mark(uid, is_urgent=True)
    _, status = await server.next()

    assert (status["phase"], status["truncated"][-1]) == ("Running", "customStatus")
    assert "status: too long" in status["conditions"][0]["message"]
    assert projector.failures == 0


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
    pool: connect.Pool, server: FakeServer, projector: Projector, bucket: EmptyBucket
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

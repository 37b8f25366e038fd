"""What becomes of the statuses of signals and schedules, answer by answer: a real database, a scripted API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from perdure._kube import budget
from perdure._kube.api import base
from perdure._kube.client import Api
from perdure._kube.reach import Reach
from perdure._kube.schedules.keeper import Keeper
from perdure._kube.signal_showing import Showing
from perdure._kube.status_writer import StatusWriter
from perdure._store.schedules import Schedules, SeenSchedule
from perdure._store.signal_resources import SeenSignal, SignalResources
from perdure._store.store import Store
from tests.e2e.operator_process import until
from tests.e2e.scripted import ScriptedServer

pytestmark = pytest.mark.slow

SPEC = {"cron": "@daily", "suspend": True, "orchestrationTemplate": {"spec": {"orchestration": "greet"}}}


class Desk:
    """The loops that show signals and schedules, and what they have told."""

    def __init__(self, store: Store, api: Api) -> None:
        self.store = store
        self.signals = SignalResources(store.pool)
        self.schedules = Schedules(store.pool)
        self.written: list[tuple[base.Reference, Any, Any]] = []
        self.missing: list[str] = []
        reach = Reach()
        self.writer = StatusWriter(api, bucket=budget.TokenBucket(1_000, 1_000), reach=reach)
        self.showing = Showing(
            self.signals,
            api,
            writer=self.writer,
            availability=store.availability,
            on_missing=lambda _uid, _namespace, name: self.missing.append(name),
            on_written=lambda *told: self.written.append(told),
        )
        self.keeper = Keeper(store, api, reach=reach, writer=self.writer, namespaces=[])

    async def signal(self, name: str, why: str = "No name.") -> UUID:
        """Take in a signal that can never be sent."""
        uid = uuid4()
        await self.signals.ingest([SeenSignal(uid, "shop", name, 1, refusal="SignalInvalid", refusal_detail=why)])
        return uid

    async def schedule(self, name: str) -> UUID:
        """Take in a schedule that creates nothing."""
        uid = uuid4()
        await self.schedules.ingest([SeenSchedule(uid, "shop", name, 1, json.dumps(SPEC).encode(), "daily")])
        return uid

    async def resource_version(self, uid: UUID) -> int | None:
        """Give the resource version that the store knows of the status of a schedule."""
        known: int | None = await self.store.pool.fetchval(
            "select status_resource_version from schedules where uid = $1", uid
        )
        return known


@contextlib.asynccontextmanager
async def running(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run these until the end of the block; none of them ends by itself."""
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def server() -> ScriptedServer:
    """Give the API server."""
    return ScriptedServer()


@pytest.fixture
async def desk(dsn: str, server: ScriptedServer, tmp_path: Path) -> AsyncIterator[Desk]:
    """Give the loops; a test runs them."""
    store = await Store.open(dsn)
    async with server.listening(tmp_path) as api:
        yield Desk(store, api)
    await store.close()


async def test_a_status_that_is_taken_is_told_and_remembered(desk: Desk, server: ScriptedServer) -> None:
    """Whoever tells Events hears of a signal's; the store has the resource version of a schedule's."""
    uid, schedule = await desk.signal("go"), await desk.schedule("daily")

    async def is_remembered() -> bool:
        return await desk.resource_version(schedule) is not None and not await desk.signals.unshown([])

    async with running(lambda: desk.showing.run([]), desk.keeper.run):
        await until(is_remembered)

    ((about, before, shown),) = desk.written
    assert (about, before) == (base.Reference("OrchestrationSignal", "shop", "go", uid), None)
    assert shown["conditions"][2]["reason"] == "SignalInvalid"
    assert await desk.resource_version(schedule) in {101, 102}
    assert server.asked == 2


async def test_a_resource_that_is_gone_is_forgotten(desk: Desk, server: ScriptedServer) -> None:
    """Somebody looks for the signal, and the end of the schedule is taken in."""
    server.answer = 404
    await desk.signal("go")
    await desk.schedule("daily")
    (_, take_in), *_ = desk.keeper.kind().loops

    async def is_forgotten() -> bool:
        return bool(desk.missing) and not await desk.schedules.known([])

    async with running(lambda: desk.showing.run([]), desk.keeper.run, take_in):
        await until(is_forgotten)

    assert desk.missing == ["go"]
    assert desk.written == []


async def test_a_status_that_is_refused_leaves_the_others_shown(desk: Desk, server: ScriptedServer) -> None:
    """It is left alone for a while; what may be taken is, of the same kind and of others."""
    server.largest = 2_000
    await desk.signal("wordy", "x" * 900)
    await desk.schedule("daily")
    await desk.signal("go")

    async def are_shown() -> bool:
        return len(desk.written) == 1 and server.asked == 3

    async with running(lambda: desk.showing.run([]), desk.keeper.run):
        await until(are_shown)
        desk.showing.news()

    assert desk.written[0][0].name == "go"


async def test_an_api_server_that_wants_to_be_left_alone_is(desk: Desk, server: ScriptedServer) -> None:
    """By signals and schedules alike; nothing is lost of what they have to show."""
    server.answer, server.headers = 429, {"Retry-After": "60"}
    await desk.signal("go")
    await desk.schedule("daily")

    async def is_left_alone() -> bool:
        return desk.writer.away_seconds > 0

    async with running(lambda: desk.showing.run([]), desk.keeper.run):
        await until(is_left_alone)
        desk.showing.news()

    assert server.asked <= 2
    assert len(await desk.signals.unshown([])) == 1
    assert desk.keeper.failures == 0

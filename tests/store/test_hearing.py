"""What other processes begin and end is heard by the leader, through a real Postgres: it waits for no clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast
from uuid import UUID

import pytest

from perdure._kube import chores, client
from perdure._kube.chores import Chores
from perdure._kube.hearing import Hearing
from perdure._kube.preparation import Preparation
from perdure._kube.reach import Reach
from perdure._store.connect import Pool
from perdure._store.resources import Chore, Policies, Resources, Seen
from perdure._store.store import Store

CUT = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'perdure-controller'"
END = """
with ended as (
    update instances set phase = 'Completed', finished_at = now(), wake_at = null returning instance_id
)
select pg_notify('perdure_finished', '') from ended
"""


class Asked(Reach):
    """An API server that is away, and whether anybody has asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.was_asked = asyncio.Event()

    def lost(self, error: Exception, doing: str) -> None:
        """Note that somebody asked."""
        super().lost(error, doing)
        self.was_asked.set()


class Looked(Resources):
    """The statements about resources, and whether anybody has asked what is due."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.was_asked = asyncio.Event()

    async def due(self, namespaces: Sequence[str], *, grace_seconds: float, at_most: int = 200) -> list[Chore]:
        """Say what is due."""
        found = await super().due(namespaces, grace_seconds=grace_seconds, at_most=at_most)
        self.was_asked.set()
        return found


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    """Give the store of the leader."""
    store = await Store.open(dsn)
    yield store
    await store.close()


def seen(request: str, generation: int) -> Seen:
    """Give a sight of a resource that is to run again when it asks for something else."""
    policies = Policies(rerun="OnChange")
    spec = request.encode()
    return Seen(UUID(int=1), "shop", "db", generation, spec, orchestration="greet", request=request, policies=policies)


async def test_a_run_that_another_process_begins_is_heard(store: Store, dsn: str) -> None:
    """Once when the listening begins, for what was missed before, and then at each batch with a begin."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(Hearing(store, heard=[lambda: heard.put_nowait("one")]).run())
    await heard.get()
    other = await Store.open(dsn)

    await Resources(other.pool).ingest([seen("a", 1)])

    await heard.get()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await other.close()


async def test_whoever_is_cut_off_listens_again(store: Store) -> None:
    """What was notified meanwhile may have been missed: the ears are told."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(Hearing(store, heard=[lambda: heard.put_nowait("one")]).run())
    await heard.get()

    await store.pool.execute(CUT)

    await heard.get()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_changed_request_has_its_turn_when_a_run_of_another_process_ends(
    store: Store, no_api: client.Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock would look in an hour; the end is heard, and the API server asked for the resource that is next."""
    monkeypatch.setattr(chores, "_LOOK_SECONDS", 3600.0)
    resources, reach = Looked(store.pool), Asked()
    await resources.ingest([seen("a", 1)])
    await store.pool.execute("update instances set turn = 1, phase = 'Running'")
    await resources.ingest([seen("b", 2)])
    nobody = cast("Preparation", None)  # while the API server is away nothing is taken in
    looking = Chores(store, resources, api=no_api, queue=nobody, reach=reach, namespaces=[])
    hears = asyncio.Event()
    hearing = Hearing(store, heard=[hears.set, looking.heard])
    running = [asyncio.create_task(looking.run(0)), asyncio.create_task(hearing.run())]
    await hears.wait()
    await resources.was_asked.wait()

    await store.pool.execute(END)
    await reach.was_asked.wait()

    assert [one.chore for one in await resources.due([], grace_seconds=0)] == ["Begin"]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

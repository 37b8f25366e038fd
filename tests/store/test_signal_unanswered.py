"""What becomes of signals of which the database's answer was lost: they wait for no clock. Against a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from perdure._kube import client, identity, signal_delivery
from perdure._kube.signal_delivery import Delivery
from perdure._store.connect import Pool
from perdure._store.resources import Resources, Seen
from perdure._store.signal_resources import Body, Round, SeenSignal, SignalResources
from perdure._store.store import Availability

FAR_SECONDS = 1e6


class Unanswered(SignalResources):
    """Delivers, and loses the first answer."""

    has_lost = False

    async def deliver(self, uids: Sequence[UUID], bodies: Mapping[UUID, Body] | None = None) -> Round:
        """Deliver, and let the first caller not know."""
        came_to = await super().deliver(uids, bodies)
        if not self.has_lost:
            self.has_lost = True
            raise ConnectionResetError
        return came_to


@pytest.fixture(autouse=True)
def clocks_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let looks by the clock come in days."""
    for name in ("_LOOK_SECONDS", "_BRISK_LOOK_SECONDS", "_IDLE_LOOK_SECONDS"):
        monkeypatch.setattr(signal_delivery, name, FAR_SECONDS)


@pytest.fixture
def identities(no_api: client.Api) -> identity.Identities:
    """Give those of an API server that nobody asks: no payload here stands in a ConfigMap."""
    return identity.Identities(no_api)


def signal(target: str) -> SeenSignal:
    """Give the signal that is sent to a run of this name."""
    uid = uuid4()
    return SeenSignal(uid, "shop", f"to-{uid.hex}", 1, target=target, message=b"{}", signal="go")


async def start(pool: Pool) -> None:
    """Let `db` run."""
    await Resources(pool).ingest([Seen(uuid4(), "shop", "db", 1, b"{}", orchestration="greet")])


async def until(pool: Pool, sql: str) -> None:
    """Wait until the database says so."""
    async with asyncio.timeout(20):
        while not await pool.fetchval(sql):  # noqa: ASYNC110 - it happens in the database
            await asyncio.sleep(0.01)


async def test_a_signal_that_nobody_was_told_of_is_looked_for(pool: Pool, identities: identity.Identities) -> None:
    """Ingest knows of news and not of which: while other signals wait, too, the look is at once."""
    await start(pool)
    table = SignalResources(pool)
    delivery = Delivery(table, identities, availability=Availability(), on_decided=lambda: None)
    await table.ingest([signal("db"), signal("nobody")])
    running = asyncio.create_task(delivery.run([]))
    await until(pool, "select count(*) = 1 from signal_resources where phase = 'Delivered'")

    await table.ingest([signal("db")])
    delivery.arrived([])

    await until(pool, "select count(*) = 2 from signal_resources where phase = 'Delivered'")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_delivery_whose_answer_was_lost_is_shown(pool: Pool, identities: identity.Identities) -> None:
    """The repetition finds the signal decided, and whoever shows statuses hears of it."""
    await start(pool)
    table, shown = Unanswered(pool), asyncio.Event()

    def decided() -> None:
        if table.has_lost:
            shown.set()

    delivery = Delivery(table, identities, availability=Availability(), on_decided=decided)
    delivery.arrived(await table.ingest([signal("db")]))
    running = asyncio.create_task(delivery.run([]))

    async with asyncio.timeout(20):
        await shown.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert await pool.fetchval("select phase from signal_resources") == "Delivered"

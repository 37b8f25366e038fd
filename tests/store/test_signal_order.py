"""In which order signals reach a run when more of them wait than go into one transaction. Against a real Postgres."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from perdure._kube import client, identity, signal_delivery
from perdure._kube.signal_delivery import Delivery
from perdure._store import connect
from perdure._store.connect import Pool
from perdure._store.resources import Resources, Seen
from perdure._store.signal_resources import SeenSignal, SignalResources
from perdure._store.store import Availability

MANY = 450
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Give a migrated database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


@pytest.fixture
def identities(no_api: client.Api) -> identity.Identities:
    """Give those of an API server that nobody asks: no payload here stands in a ConfigMap."""
    return identity.Identities(no_api)


def made(number: int) -> SeenSignal:
    """Give the signal that was made as so manieth, by a name and a uid that say nothing of that."""
    message = b'{"type":"SignalReceived","name":"say","payload":%d}' % number
    at = MADE_AT.replace(minute=number // 60, second=number % 60)
    uid = UUID(int=random.Random(number).getrandbits(128))
    return SeenSignal(uid, "shop", f"say-{uid.hex}", 1, target="db", message=message, created_at=at, signal="say")


async def received(pool: Pool) -> list[int]:
    """Read what the run was sent, in order."""
    rows = await pool.fetch("select payload from inbox where kind = 'Signal' order by message_id")
    return [json.loads(row["payload"])["payload"] for row in rows]


@pytest.mark.parametrize("found_by", ["the begin of the run", "the clock"])
async def test_many_that_wait_for_a_run_come_in_the_order_in_which_they_were_made(
    pool: Pool, identities: identity.Identities, found_by: str
) -> None:
    """However many transactions it takes, and whatever their uids and names: the older first."""
    table, all_sent = SignalResources(pool), asyncio.Event()
    await Resources(pool).ingest([Seen(uuid4(), "shop", "db", 1, b"{}", orchestration="greet")])
    await table.ingest([made(number) for number in range(MANY)])
    if found_by == "the begin of the run":
        await pool.execute("update signal_resources set reason = 'Tried', retry_at = now() + interval '1 hour'")

    def decided() -> None:
        if delivery.delivered == MANY:
            all_sent.set()

    delivery = Delivery(table, identities, availability=Availability(), on_decided=decided)
    delivery.begun(["shop/db:1"])
    running = asyncio.create_task(delivery.run([]))
    await all_sent.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert MANY > 2 * signal_delivery._BATCH  # noqa: SLF001 - else this proves nothing
    assert await received(pool) == list(range(MANY))

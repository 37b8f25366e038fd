"""How instances leave their worker: what comes in meanwhile is not lost, and nothing leaves that has gone on since."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import AsyncIterator

import pytest

from perdure._store.store import Store
from tests.store.desk import Desk

NEVER = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
async def store(desk: Desk) -> AsyncIterator[Store]:
    """A store on the desk's database."""
    store = await Store.open(desk.dsn)
    yield store
    await store.close()


async def claim(store: Store, worker_id: uuid.UUID, *, leaving: tuple[str, ...] = ()) -> set[str]:
    """Claim what there is; name what was claimed and what has news."""
    return {row["instance_id"] for row in await store.fetch("claim", worker_id, ["flow"], ["1.0.0"], 10, list(leaving))}


async def test_the_news_of_one_that_is_leaving_stay_for_its_next_owner(desk: Desk, store: Store) -> None:
    """Its old owner claims at the same moment: it neither takes the mark nor the instance, were that free already."""
    await desk.start("one", "two")
    worker_id = await desk.claimed("one", "two")
    await desk.client.send_signal("one", "word")
    await desk.client.send_signal("two", "word")

    assert await claim(store, worker_id, leaving=("one",)) == {"two"}
    await store.fetch("release", worker_id, ["one"], [None], [1])
    assert await claim(store, worker_id, leaving=("one",)) == set()
    assert await claim(store, worker_id) == {"one"}


async def test_one_that_has_gone_on_is_not_given_back(desk: Desk, store: Store) -> None:
    """A release that is repeated, or lands late, after its worker took the instance up again and took a turn."""
    await desk.start("one")
    worker_id = await desk.claimed("one")

    assert await store.fetch("release", worker_id, ["one"], [None], [0]) == []
    assert (await desk.row("one"))["owner_id"] == worker_id
    assert await store.fetch("release", worker_id, ["one"], [NEVER], [1]) != []
    row = await desk.row("one")
    assert (row["owner_id"], row["wake_at"]) == (None, NEVER)


async def test_one_that_nobody_has_worked_on_keeps_its_recoveries(desk: Desk, store: Store) -> None:
    """Given back because the answer to its claim was lost, it has not outlived its owner."""
    await desk.start("one", "two")
    worker_id = await desk.claimed("one", "two")
    await desk.fetch("update instances set recoveries = 3")

    await store.fetch("release", worker_id, ["one", "two"], [NEVER, NEVER], [None, 1])

    assert [(await desk.row(name))["recoveries"] for name in ("one", "two")] == [3, 0]


async def test_one_that_has_gone_on_is_not_put_on_hold(desk: Desk, store: Store) -> None:
    """A hold that is repeated, or lands late, after the instance was resumed and took a turn."""
    await desk.start("one")
    worker_id = await desk.claimed("one")

    assert await store.fetch("hold", worker_id, "one", "Nondeterminism", b"{}", None, True, 0) == []
    assert (await desk.row("one"))["phase"] == "Running"
    assert await store.fetch("hold", worker_id, "one", "Nondeterminism", b"{}", None, True, 1) != []
    assert (await desk.row("one"))["phase"] == "Suspended"


async def test_one_that_is_paused_while_it_comes_off_hold_stays_paused(desk: Desk, store: Store) -> None:
    """Its code fits again, and it was told to stand still before that was written down; a resume lets it go on."""
    await desk.start("one")
    worker_id = await desk.claimed("one")
    await store.fetch("hold", worker_id, "one", "Nondeterminism", b"{}", 0.0, True, 1)
    assert await claim(store, worker_id) == {"one"}

    await desk.client.suspend_instance("one")
    await store.fetch("resume_held", worker_id, ["one"])

    assert (await desk.row("one"))["phase"] == "Suspended"
    await desk.client.resume_instance("one")
    row = await desk.row("one")
    assert (row["phase"], row["is_suspended"], row["wakes"]) == ("Running", False, True)


async def test_one_that_is_paused_can_be_resumed_whatever_its_phase_says(desk: Desk) -> None:
    """What counts is that it takes no turns."""
    await desk.start("one")
    await desk.asleep("one")
    await desk.fetch("update instances set is_suspended = true")

    await desk.client.resume_instance("one")

    row = await desk.row("one")
    assert (row["is_suspended"], row["wakes"]) == (False, True)

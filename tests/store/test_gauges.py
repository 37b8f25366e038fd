"""The numbers of the database that metrics show: right, cheap beside what has ended, and asked seldom."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure._kube.gauges import DatabaseGauges
from perdure._kube.metrics import Labelled
from perdure._store import statements
from perdure._store.store import Store
from tests.store.desk import Desk


class Clock:
    """A time that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Give it."""
        return self.now


def shown(gauges: DatabaseGauges, name: str) -> dict[tuple[str, ...], float]:
    """Give the values of one name."""
    (found,) = [one for one in gauges.readings() if isinstance(one, Labelled) and one.name == name]
    return dict(found.values)


@pytest.fixture
def clock() -> Clock:
    """Give a time."""
    return Clock()


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    """Give the store of the desk's database."""
    opened = await Store.open(dsn)
    yield opened
    await opened.close()


@pytest.fixture
def gauges(store: Store, clock: Clock) -> DatabaseGauges:
    """Give the numbers of the desk's database."""
    return DatabaseGauges(store, clock=clock)


async def test_what_is_open_is_counted_and_what_has_ended_is_not(desk: Desk, gauges: DatabaseGauges) -> None:
    """By orchestration, version and phase."""
    await desk.start("one", "two", "three")
    await desk.start("other", name="other")
    await desk.ended("three")
    await desk.fetch("update instances set phase = 'Running', version = '1.0.0' where instance_id = 'two'")

    await gauges.refresh()

    name = (await desk.client.get_instance_info("one")).name
    assert shown(gauges, "instances_open") == {
        (name, "", "Pending"): 1,
        (name, "1.0.0", "Running"): 1,
        ("other", "", "Pending"): 1,
    }


async def test_one_look_serves_many_scrapes(desk: Desk, gauges: DatabaseGauges, clock: Clock) -> None:
    """A young look is not repeated, an old one is."""
    await gauges.refresh()
    await desk.start("late")
    clock.now = 10.0
    await gauges.refresh()
    young = sum(shown(gauges, "instances_open").values())

    clock.now = 20.0
    await gauges.refresh()

    assert (young, sum(shown(gauges, "instances_open").values())) == (0, 1)


async def test_queues_are_counted_with_their_oldest(desk: Desk, gauges: DatabaseGauges) -> None:
    """What waits, what runs, who serves, and how long the oldest waits; a pause between attempts is no waiting."""
    await desk.fetch(
        "insert into tasks (instance_id, execution, seq, queue, command, activity, asked_at, visible_at, worker_id)"
        " select 'a', 1, seq, 'gpu', '{}', 'train', now() + asked * hour, now() + due * hour, worker_id"
        " from (values (1, -1, -1, null), (2, 0, 0, null), (3, 0, 0, gen_random_uuid()), (4, -3, 1, null))"
        " as task (seq, asked, due, worker_id), (values (interval '1 hour')) as unit (hour)"
    )

    await gauges.refresh()

    assert shown(gauges, "queue_waiting") == {("gpu",): 3}
    assert shown(gauges, "queue_running") == {("gpu",): 1}
    assert shown(gauges, "queue_workers") == {("gpu",): 0}
    assert 3600 <= shown(gauges, "queue_oldest_age_seconds")["gpu",] < 3 * 3600


async def test_what_has_ended_is_not_read(desk: Desk, store: Store) -> None:
    """Beside thousands of finished instances the index of the open ones is what is looked at."""
    await desk.fetch(
        "insert into instances (instance_id, name, version, phase, turn, input, started_at, finished_at)"
        " select format('run-%s', n), 'chain', '1', 'Completed', 6, '{}', now(), now()"
        " from generate_series(1, 5000) as n"
    )
    await desk.fetch("analyze instances")

    rows = await store.pool.fetch(f"explain {statements.load()['instances_open']}")
    plan = "\n".join(str(row[0]) for row in rows)

    assert "instances_open" in plan
    assert "Seq Scan" not in plan

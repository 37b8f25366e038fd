"""The line for requests to the API server, in two processes that share one budget in a real database."""

from __future__ import annotations

import asyncio
from typing import cast

import asyncpg
import pytest
import structlog.testing

from perdure._kube.pacing import Pace
from perdure._store import connect
from perdure._store.api_budget import ApiBudget
from tests.store.test_api_budget import NEVER

UNDER_WAY = """
select count(*) from pg_stat_activity
where datname = current_database() and state = 'active' and backend_type = 'client backend' and pid <> pg_backend_pid()
"""


def pace_of(pool: connect.Pool, rate: float) -> Pace:
    """Give the line of a process."""
    return Pace(ApiBudget(pool, per_second=rate), availability=connect.Availability())


async def test_two_processes_together_stay_within_the_budget(pool: connect.Pool) -> None:
    """Everybody gets a token, one each, and no faster than they gather."""
    rate, began = 100.0, await pool.fetchval("select clock_timestamp()")
    paces = pace_of(pool, rate), pace_of(pool, rate)

    await asyncio.gather(*(pace.take() for pace in paces for _ in range(90)))
    seconds = await pool.fetchval("select extract(epoch from clock_timestamp() - $1)::float8", began)

    assert [pace.taken for pace in paces] == [90, 90]
    assert 180 <= await pool.fetchval("select taken from api_budget") <= rate + rate * seconds
    assert sum(pace.spent for pace in paces) > 0


async def test_who_waits_hears_of_it_and_may_go(pool: connect.Pool) -> None:
    """A wait is told while it lasts; who is cancelled leaves the line, and whoever is behind moves up."""
    pace, heard, seconds = pace_of(pool, NEVER), asyncio.Event(), list[float]()
    await pace.take()

    def hear(waited: float) -> None:
        seconds.append(waited)
        heard.set()

    first, second = asyncio.create_task(pace.take(hear)), asyncio.create_task(pace.take())
    await heard.wait()
    first.cancel()
    await asyncio.wait({first})
    await pool.execute("update api_budget set tokens = 1, refilled_at = clock_timestamp()")
    await second

    assert first.cancelled()
    assert min(seconds) >= 0
    assert pace.waiting == 0


async def test_what_the_api_server_asks_of_one_process_holds_for_the_other(pool: connect.Pool) -> None:
    """After a pause of one, the other waits; when it is over, it goes on."""
    told, other, heard = pace_of(pool, 100), pace_of(pool, 100), asyncio.Event()
    await other.take()

    told.pause(9)
    await paused(pool)
    waiting = asyncio.create_task(other.take(lambda _: heard.set()))
    await heard.wait()
    was_waiting = other.waiting
    await pool.execute("update api_budget set tokens = 1, refilled_at = clock_timestamp()")
    await waiting

    assert was_waiting == 1
    assert told.taken == 0


async def paused(pool: connect.Pool) -> None:
    """Return when the row says so."""
    while not await pool.fetchval("select refilled_at > clock_timestamp() from api_budget"):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)


@pytest.mark.slow
async def test_without_an_answer_a_process_goes_on_with_its_share(pool: connect.Pool, dsn: str) -> None:
    """Three workers were there when the database answered last: a third of the budget each, and later all of it.

    The question that hangs is left to end by itself: nobody waits until its connection has been broken off.
    """
    await pool.execute(
        "insert into workers (worker_id, lease_until, description, orchestrations) "
        "select gen_random_uuid(), now() + interval '1 hour', 'test', '{}' from generate_series(1, 3)"
    )
    pace = pace_of(pool, 60)
    await pace.take()
    silence = await asyncpg.connect(dsn)

    with structlog.testing.capture_logs() as logs:
        async with silence.transaction():
            await silence.execute("lock table api_budget in access exclusive mode")
            await asyncio.gather(*(pace.take() for _ in range(3)))
            alone = pace.taken, pace.taken_alone
            hanging = await silence.fetchval(UNDER_WAY)
        async with asyncio.timeout(60):
            await cast("asyncio.Task[object]", pace._asking)  # noqa: SLF001 - nobody else is told when it has ended
        await pace.take()
    await silence.close()

    assert hanging == 1
    assert alone == (1, 3)
    assert (pace.taken, pace.taken_alone) == (2, 3)
    assert [line["per_second"] for line in logs if "per_second" in line] == [20.0]


async def test_who_knows_that_the_database_is_away_does_not_ask_it(pool: connect.Pool) -> None:
    """And who was never told how many share the budget takes little of it."""
    availability = connect.Availability()
    pace = Pace(ApiBudget(pool, per_second=1_000), availability=availability)
    availability.lost(OSError("away"), "a test")

    with structlog.testing.capture_logs() as logs:
        await pace.take()

    assert (pace.taken, pace.taken_alone) == (0, 1)
    assert [line["per_second"] for line in logs if "per_second" in line] == [100.0]
    assert await pool.fetchval("select count(*) from api_budget") == 0


async def test_what_was_taken_in_advance_is_good_for_a_second_and_not_in_a_pause(pool: connect.Pool) -> None:
    """The second question takes one ahead, which serves the third request; one that is too old serves nobody."""
    now = 0.0
    pace = Pace(ApiBudget(pool, per_second=1_000), availability=connect.Availability(), clock=lambda: now)
    asked = "select count(*) from api_budget"
    for _ in range(2):
        await pace.take()
    await pool.execute("truncate api_budget")

    await pace.take()
    from_what_was_there = await pool.fetchval(asked)
    await pace.take()  # this one asks, and takes two ahead
    await pool.execute("truncate api_budget")
    now = 1.5
    await pace.take()
    when_too_old = await pool.fetchval(asked)
    pace.pause(5)
    last = asyncio.create_task(pace.take())
    await paused(pool)
    is_waiting = not last.done()
    last.cancel()

    assert (from_what_was_there, when_too_old) == (0, 1)
    assert is_waiting
    assert pace.taken == 5


async def test_nobody_in_line_asks_nothing(pool: connect.Pool) -> None:
    """The loop ends with the line: what is taken later begins it anew."""
    pace = pace_of(pool, 100)
    await pace.take()
    await pool.execute("truncate api_budget")

    idle = await pool.fetchval("select count(*) from api_budget")
    await pace.take()

    assert (idle, pace.taken) == (0, 2)

"""The budget of requests to the API server in the database: who gets how much, however many ask. No process takes part.

Time passes by moving the row into the past: what is asserted never depends on how fast the test runs.
"""

from __future__ import annotations

import asyncio

import asyncpg

from perdure._core import limits
from perdure._store import connect, statements
from perdure._store.api_budget import ApiBudget

SQL = statements.load()
NEVER = 0.001
"""A rate so slow that nothing gathers while a test lasts; its burst is one token."""


async def pass_time(pool: connect.Pool, seconds: float) -> None:
    """Let the row be so much older."""
    await pool.execute("update api_budget set refilled_at = refilled_at - make_interval(secs => $1)", seconds)


async def test_what_one_has_taken_the_other_does_not_get(pool: connect.Pool) -> None:
    """Two processes have one budget; one token is there at the least, however slow they gather."""
    first, second = ApiBudget(pool, per_second=NEVER), ApiBudget(pool, per_second=NEVER)

    one, other = await first.take(25), await second.take(25)

    assert (one.granted, other.granted) == (1, 0)


async def test_many_who_ask_at_once_never_get_more_than_there_was(pool: connect.Pool) -> None:
    """Forty at the same time, on several connections: the counts add up to the burst and what time has brought."""
    rate, began = 20.0, await pool.fetchval("select clock_timestamp()")
    budgets = [ApiBudget(pool, per_second=rate) for _ in range(40)]

    granted = sum(taken.granted for taken in await asyncio.gather(*(each.take(7) for each in budgets)))
    seconds = await pool.fetchval("select extract(epoch from clock_timestamp() - $1)::float8", began)

    assert rate <= granted <= rate + rate * seconds
    assert await pool.fetchval("select taken from api_budget") == granted


async def test_who_meets_another_waits_and_sees_what_is_left(dsn: str) -> None:
    """A statement that began before another was committed counts on the row as that left it."""
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    async with first.transaction():
        one = await first.fetchrow(SQL["api_budget_take"], 1, 5, NEVER, 0.0, 10.0)
        meeting = asyncio.create_task(second.fetchrow(SQL["api_budget_take"], 1, 5, NEVER, 0.0, 10.0))
        await blocked(first)
    other = await meeting
    await first.close()
    await second.close()

    assert one is not None
    assert other is not None
    assert (one["granted"], other["granted"]) == (1, 0)


async def blocked(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Return when somebody waits for this connection."""
    query = "select exists (select from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid)))"
    while not await connection.fetchval(query):  # noqa: ASYNC110 - the other side is a backend: it has no event
        await asyncio.sleep(0)


async def test_time_brings_tokens_up_to_those_of_one_second(pool: connect.Pool) -> None:
    """A quiet hour is worth one second; a part of a second is worth its part."""
    budget = ApiBudget(pool, per_second=NEVER)
    await budget.take(1)

    none = await budget.take(1)
    await pass_time(pool, 3_600)
    one = await budget.take(5)

    assert (none.granted, one.granted) == (0, 1)
    assert 0 < none.again_seconds <= 1 / NEVER


async def test_a_pause_holds_for_everybody_and_leaves_no_burst(pool: connect.Pool) -> None:
    """The API server has asked one of them; afterwards tokens gather anew."""
    told, other = ApiBudget(pool, per_second=20), ApiBudget(pool, per_second=20)
    await told.take(0)

    pausing = await told.take(3, pause_seconds=8)
    during = await other.take(3)
    await pass_time(pool, 8.1)
    after = await other.take(20)

    assert (pausing.granted, during.granted) == (0, 0)
    assert 0 < during.again_seconds <= 8 + 1 / 20
    assert after.granted < 20


async def test_a_clock_that_was_set_back_holds_nobody_for_long(pool: connect.Pool) -> None:
    """To the statement it looks like a pause, and a pause has a limit."""
    budget = ApiBudget(pool, per_second=20)
    await budget.take(20)

    await pass_time(pool, -3_600)
    asked = await budget.take(1)

    assert asked.granted == 0
    assert asked.again_seconds <= limits.API_PAUSE_SECONDS + 1 / 20


async def test_a_database_that_crashed_begins_with_a_full_budget(pool: connect.Pool) -> None:
    """The table is unlogged: a crash empties it, and who asks first makes the row again."""
    budget = ApiBudget(pool, per_second=20)
    await budget.take(20)

    await pool.execute("truncate api_budget")

    assert (await budget.take(30)).granted == 20


async def test_in_advance_one_gets_half_of_what_is_left(pool: connect.Pool) -> None:
    """Who takes more than it needs leaves something for the others, and takes nothing when there is too little."""
    await pool.execute(
        "insert into api_budget (tokens, refilled_at, granted, taken) values (10, clock_timestamp(), 0, 0)"
    )
    budget = ApiBudget(pool, per_second=10)

    first = await budget.take(2, ahead=100)
    await pass_time(pool, 10)
    second = await budget.take(10, ahead=100)

    assert (first.granted, second.granted) == (6, 10)


async def test_it_is_said_how_many_workers_share_it(pool: connect.Pool) -> None:
    """Those whose lease stands and who have a cluster: nobody else asks the API server for runs."""
    await pool.execute(
        "insert into workers (worker_id, lease_until, description, orchestrations, has_cluster) values "
        "(gen_random_uuid(), now() + interval '1 hour', 'lives', '{}', true), "
        "(gen_random_uuid(), now() + interval '1 hour', 'lives too', '{}', true), "
        "(gen_random_uuid(), now() - interval '1 hour', 'is dead', '{}', true), "
        "(gen_random_uuid(), now() + interval '1 hour', 'is without a cluster', '{}', false)"
    )

    assert (await ApiBudget(pool, per_second=20).take(1)).workers == 2

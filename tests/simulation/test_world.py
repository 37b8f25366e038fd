"""The instruments of the simulation: its loop, its processes, its database. What they promise, every seed relies on."""

from __future__ import annotations

import asyncio
import datetime

import pytest

from tests.simulation.database import BEGIN, Blocked, Database, Outcome
from tests.simulation.loop import Actor, Standstill, VirtualLoop

INSERT = """
insert into workers (worker_id, lease_until, description, orchestrations) values (gen_random_uuid(), $1, '', '{}')
"""
DESCRIBED = "select description from workers"


async def tick(heard: list[float], loop: VirtualLoop, *, seconds: float = 1.0) -> None:
    """Note the time again and again."""
    while True:
        await asyncio.sleep(seconds)
        heard.append(loop.now)


def test_time_jumps_to_where_something_happens() -> None:
    """Who sleeps for an hour wakes at its end, without anybody having waited."""
    loop = VirtualLoop.begin()

    loop.run(asyncio.sleep(3_600))

    assert loop.now == 3_600


def test_who_waits_for_nobody_is_found() -> None:
    """A world in which nothing will ever happen again is an error, not a wait."""
    loop = VirtualLoop.begin()

    with pytest.raises(Standstill):
        loop.run(asyncio.Event().wait())


def test_a_killed_process_runs_no_line_more() -> None:
    """Not even a `finally` of a killed process runs, as with SIGKILL."""
    loop, actor, heard = VirtualLoop.begin(), Actor("mortal"), list[str]()

    async def life() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            heard.append("cleaned up")

    async def death() -> list[str]:
        actor.start(loop, life())
        await asyncio.sleep(5)
        loop.kill(actor)
        await asyncio.sleep(60)
        until_the_funeral = list(heard)
        loop.bury(actor)
        await asyncio.sleep(0)
        return until_the_funeral

    assert loop.run(death()) == []


def test_a_frozen_process_goes_on_where_it_stood() -> None:
    """What comes due for a frozen process happens when it goes on, in the old order, and nothing of it before."""
    loop, actor, heard = VirtualLoop.begin(), Actor("sleeper"), list[float]()

    async def freeze() -> None:
        task = actor.start(loop, tick(heard, loop))
        await asyncio.sleep(2.5)
        loop.freeze(actor)
        await asyncio.sleep(10)
        loop.thaw(actor)
        await asyncio.sleep(2)
        task.cancel()

    loop.run(freeze())

    assert heard == [1.0, 2.0, 12.5, 13.5]


def test_a_clock_may_stand_still_with_its_process() -> None:
    """On a suspended machine the monotonic clock stands still: what was half waited for is waited for to the end."""
    loop, actor, heard = VirtualLoop.begin(), Actor("sleeper", offset=7_200.0), list[float]()

    async def freeze() -> None:
        task = actor.start(loop, tick(heard, loop))
        await asyncio.sleep(2.5)
        loop.freeze(actor)
        await asyncio.sleep(10)
        loop.thaw(actor, lag=10)
        await asyncio.sleep(2)
        task.cancel()

    loop.run(freeze())

    assert heard == [1.0, 2.0, 13.0, 14.0]


def test_the_database_has_the_time_of_the_world(database: Database) -> None:
    """Statements and defaults of the schema take the world's time for the time."""
    database.reset()
    now = BEGIN + datetime.timedelta(days=400)

    outcome = database.statement("select now() as now, clock_timestamp() as clock", (), now=now)
    database.statement(INSERT, (now,), now=now)

    assert isinstance(outcome, Outcome)
    assert dict(outcome.rows[0]) == {"now": now, "clock": now}
    assert [row["started_at"] for row in database.look("select started_at from workers")] == [now]


def test_who_meets_a_lock_is_answered_when_it_is_free(database: Database) -> None:
    """A statement that waits for an open transaction is found waiting, and answered after the commit."""
    database.reset()
    answers: list[Outcome] = []
    database.statement(INSERT, (BEGIN,), now=BEGIN)
    lane = database.begin(BEGIN)
    database.inside(lane, "update workers set description = 'first'", ())

    second = database.statement("update workers set description = description || ' second'", (), now=BEGIN)
    assert isinstance(second, Blocked)
    second.then = answers.append
    database.end(lane, commits=True)

    assert len(answers) == 1
    assert [row["description"] for row in database.look(DESCRIBED)] == ["first second"]
    assert database.is_quiet


def test_a_notification_is_heard_when_its_statement_is_committed(database: Database) -> None:
    """A statement alone tells at once whom it woke; one in a transaction when that is committed."""
    database.reset()
    notify = "select pg_notify('perdure_wake', '')"

    alone = database.statement(notify, (), now=BEGIN)
    lane = database.begin(BEGIN)
    inside = database.inside(lane, notify, ())
    committed = database.end(lane, commits=True)

    assert isinstance(alone, Outcome)
    assert isinstance(inside, Outcome)
    assert (alone.heard, inside.heard, committed.heard) == (["perdure_wake"], [], ["perdure_wake"])

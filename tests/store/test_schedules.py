"""Schedules in the store: what is decided once stays decided, whoever else decides, and what became of it is known.

Against a real Postgres, through `Schedules` alone; no cluster. The cast is one namespace, `shop`, and a schedule named
`report`. Ticks are moments of a day long past: nothing here waits for one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from perdure._store import connect
from perdure._store.schedules import Decided, Due, Look, MissedTicks, Problem, Schedules, SeenSchedule, TickKey

DAY = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.UTC)
UID = uuid4()
SIGHT = SeenSchedule(UID, "shop", "report", 1, b'{"cron":"@daily"}', "daily")


def at(minutes: int) -> datetime.datetime:
    """Give a moment of that day."""
    return DAY + datetime.timedelta(minutes=minutes)


@dataclasses.dataclass
class Book:
    """The schedules of a fresh database, and a look behind them."""

    pool: connect.Pool
    schedules: Schedules

    async def see(self, **changes: Any) -> list[tuple[UUID, bool]]:
        """Take in a sight of the schedule; tell what it changed."""
        return [
            (news.uid, news.is_gone) for news in await self.schedules.ingest([dataclasses.replace(SIGHT, **changes)])
        ]

    async def row(self) -> asyncpg.Record:
        """Give the schedule as it stands."""
        [row] = await self.pool.fetch("select *, next_at <= now() as is_due from schedules where uid = $1", UID)
        return row

    async def ticks(self) -> list[asyncpg.Record]:
        """Give the ticks that are run."""
        return list(await self.pool.fetch("select * from schedule_ticks order by tick_at"))

    async def due(self) -> Due:
        """Give the schedule, which is due."""
        [due] = await self.schedules.due([])
        return due

    async def decide_to_run(self, *minutes: int) -> None:
        """Have these ticks run."""
        run = [(at(minute), f"report-{minute}") for minute in minutes]
        assert await self.schedules.decide([Decided(await self.due(), await self.now(), None, run)]) == {UID}

    async def created(self, minute: int) -> UUID:
        """Have the Orchestration of a tick created, and give its uid."""
        uid = uuid4()
        await self.schedules.created([(TickKey(UID, at(minute)), uid)])
        return uid

    async def begun(self, minute: int) -> UUID:
        """Have the Orchestration of a tick created, and its run begun by ingest."""
        uid = await self.created(minute)
        await self.ingest(uid, f"report-{minute}")
        return uid

    async def ingest(self, uid: UUID, name: str) -> None:
        """Have an Orchestration seen for the first time, as ingest does it: a resource, a number, a run."""
        instance_id = f"shop/{name}:1"
        await self.pool.execute("insert into resource_runs (namespace, name, last_run) values ('shop', $1, 1)", name)
        await self.pool.execute(
            "insert into resources (uid, namespace, name, generation, spec, run, instance_id) "
            "values ($1, 'shop', $2, 1, '{}', 1, $3)",
            *(uid, name, instance_id),
        )
        await self.pool.execute(
            "insert into instances (instance_id, name, input, resource_uid, wake_at) "
            "values ($1, 'flow', '1', $2, now())",
            *(instance_id, uid),
        )

    async def gone(self, uid: UUID, name: str) -> None:
        """Have it seen that an Orchestration is no more; whether it was seen before or not."""
        await self.pool.execute(
            "insert into resources (uid, namespace, name, generation, gone_at) values ($1, 'shop', $2, 0, now()) "
            "on conflict (uid) do update set gone_at = now()",
            *(uid, name),
        )

    async def finish(self, uid: UUID, phase: str = "Completed") -> None:
        """Let the run of an Orchestration come to its end."""
        await self.pool.execute(
            "update instances set phase = $2, finished_at = now(), wake_at = null where resource_uid = $1", uid, phase
        )

    async def now(self) -> datetime.datetime:
        """Ask the database for the time."""
        moment: datetime.datetime = await self.pool.fetchval("select now()")
        return moment

    async def due_in_seconds(self) -> float:
        """Ask for how long there is nothing to do."""
        seconds = (await self.schedules.look([], lost_after_seconds=60)).due_in_seconds
        assert seconds is not None
        return seconds

    async def look_again(self) -> None:
        """Let the schedule be due."""
        await self.pool.execute("update schedules set next_at = now()")


@pytest.fixture
async def empty(dsn: str) -> AsyncIterator[Book]:
    """Give a fresh database."""
    pool = await connect.create_pool(dsn)
    yield Book(pool, Schedules(pool))
    await pool.close()


@pytest.fixture
async def book(empty: Book) -> Book:
    """Give a database that has the schedule."""
    assert await empty.see() == [(UID, False)]
    return empty


async def test_a_first_sight_is_due_at_once_and_counts_from_then_on(book: Book) -> None:
    """What was before it is not made up for: nobody asked for it then."""
    row = await book.row()

    assert (row["is_due"], row["decided_until"]) == (True, row["observed_at"])
    assert (await book.due()).spec == SIGHT.spec


async def test_the_same_sight_again_changes_nothing(book: Book) -> None:
    """Nor does an older one, nor any after the end."""
    await book.see(generation=3)
    before = await book.row()

    assert await book.see(generation=3) == []
    assert await book.see(generation=2, spec=b"{}") == []
    assert await book.row() == before

    assert await book.see(gone=True) == [(UID, True)]
    assert await book.see(gone=True) == []
    assert await book.see(generation=4, spec=b"{}") == []
    assert await book.schedules.known([]) == {}


async def test_a_restored_backup_counts_and_what_is_decided_stays_decided(book: Book) -> None:
    """A lower generation that was read while exactly the higher one was known is the newer one; once is enough."""
    after = {"generation": 3, "spec": b'{"cron":"@hourly"}', "timing": "hourly"}
    await book.see(**after)
    await book.decide_to_run(1)
    until = (await book.row())["decided_until"]
    restored = {"generation": 2, "instead_of": 3}
    found = []
    for sight in (restored, restored, after, restored, {"generation": 4}, restored):
        news = await book.see(**sight)
        row = await book.row()
        found.append((len(news), row["generation"], row["timing"]))
    last = await book.row()

    assert found == [
        *[(1, 2, "daily"), (0, 2, "daily")],
        *[(1, 3, "hourly"), (1, 2, "daily")],
        *[(1, 4, "daily"), (0, 4, "daily")],
    ]
    assert last["decided_until"] > until
    assert [tick["tick_at"] for tick in await book.ticks()] == [at(1)]


async def test_a_schedule_whose_deletion_is_not_in_the_backup_goes_on(book: Book) -> None:
    """It was leaving, held by somebody's finalizer; in the backup nobody has deleted it."""
    await book.see(generation=2, deleting=True)
    assert (await book.row())["is_due"] is None

    await book.see(generation=1, instead_of=2)

    row = await book.row()
    assert (row["generation"], row["deleting"], row["is_due"]) == (1, False, True)


@pytest.mark.parametrize("generation", [2, 3])
async def test_a_schedule_that_is_edited_in_a_restored_api_server_goes_on_too(book: Book, generation: int) -> None:
    """The edit has brought the generation up to that of the deletion, or above it, before anybody compared."""
    await book.see(generation=2, deleting=True)

    assert await book.see(generation=generation) == [(UID, False)]

    row = await book.row()
    assert (row["generation"], row["deleting"], row["is_due"]) == (generation, False, True)
    assert await book.see(generation=generation) == []


async def test_another_time_counts_from_now_and_other_changes_leave_it(book: Book) -> None:
    """What the new cron would have had before is none; what the old one had and nobody saw is still to be decided."""
    await book.pool.execute("update schedules set decided_until = $1, next_at = null", DAY)

    await book.see(generation=2, spec=b'{"cron":"@daily","suspend":false}')
    row = await book.row()
    assert (row["decided_until"], row["is_due"]) == (DAY, True)

    await book.see(generation=3, spec=b'{"cron":"@hourly"}', timing="hourly")
    row = await book.row()
    assert row["decided_until"] == row["observed_at"] > DAY


async def test_of_two_decisions_one_counts(book: Book) -> None:
    """Two controllers have read the same, and both decide: a tick has one row, and is counted once."""
    due = await book.due()
    decided = Decided(due, await book.now(), None, [(at(1), "report-1")], MissedTicks(2, at(0), "TooLate", "Late."))

    written = await asyncio.gather(*(book.schedules.decide([decided]) for _ in range(4)))

    assert sorted(written, key=len) == [set(), set(), set(), {UID}]
    assert [tick["tick_at"] for tick in await book.ticks()] == [at(1)]
    row = await book.row()
    assert (row["missed"], row["missed_tick_at"], row["last_tick_at"]) == (2, at(0), at(1))


@pytest.mark.parametrize("change", [{"generation": 2, "spec": b"{}"}, {"deleting": True}, {"gone": True}])
async def test_a_decision_on_what_has_changed_is_refused(book: Book, change: dict[str, Any]) -> None:
    """Whoever decided had read another spec, or a schedule that is going away."""
    due = await book.due()
    await book.see(**change)

    assert await book.schedules.decide([Decided(due, await book.now(), None, [(at(1), "report-1")])]) == set()
    assert await book.ticks() == []


async def test_what_is_decided_stays_decided(book: Book) -> None:
    """The moment up to which all is decided never goes back, whatever a later decision says."""
    await book.decide_to_run(1)
    until = (await book.row())["decided_until"]
    await book.created(1)
    await book.look_again()

    await book.schedules.decide([Decided(await book.due(), DAY, None)])

    assert (await book.row())["decided_until"] == until


async def test_a_schedule_with_something_to_create_is_not_due(book: Book) -> None:
    """First what was decided is done: an outage lets nothing pile up."""
    await book.decide_to_run(1)
    await book.look_again()

    assert await book.schedules.due([]) == []
    assert (await book.schedules.look([], lost_after_seconds=60)).due_in_seconds is None

    await book.created(1)
    assert (await book.due()).uid == UID


async def test_a_run_is_unfinished_until_its_instance_has_ended(book: Book) -> None:
    """From the creation on, before any run was begun, and after its resource is gone while the run goes on."""
    await book.decide_to_run(1)
    uid = await book.created(1)
    await book.look_again()
    assert (await book.due()).unfinished == 1

    await book.ingest(uid, "report-1")
    assert (await book.due()).unfinished == 1
    await book.gone(uid, "report-1")
    assert (await book.due()).unfinished == 1

    await book.finish(uid)
    assert (await book.due()).unfinished == 0


async def test_an_orchestration_that_went_before_it_ran_is_not_waited_for(book: Book) -> None:
    """It is gone for the store, or nobody ever saw it and somebody looked for it."""
    await book.decide_to_run(1, 2)
    first, _ = await book.created(1), await book.created(2)
    await book.gone(first, "report-1")
    await book.look_again()
    assert (await book.due()).unfinished == 1

    [lost] = await book.schedules.lost([], after_seconds=0)
    assert lost.orchestration == "report-2"
    await book.schedules.gone(lost.key)
    await book.schedules.ended([])

    assert (await book.due()).unfinished == 0
    assert [tick["outcome"] for tick in await book.ticks()] == ["Gone", "Gone"]


async def test_a_run_that_was_removed_from_the_database_is_not_waited_for(book: Book) -> None:
    """Somebody removed its history, or its age did, before anybody noted how it had ended."""
    await book.decide_to_run(1)
    await book.begun(1)
    await book.pool.execute("delete from instances")
    await book.look_again()
    assert (await book.due()).unfinished == 0

    await book.schedules.ended([])

    assert [tick["outcome"] for tick in await book.ticks()] == ["Gone"]


async def test_how_runs_end_is_noted_once(book: Book) -> None:
    """The latest good end is remembered; a failure is an end too."""
    await book.decide_to_run(1, 2, 3)
    good, bad, _ = [await book.begun(minute) for minute in (1, 2, 3)]
    await book.finish(good)
    await book.finish(bad, "Failed")
    assert (await book.schedules.look([], lost_after_seconds=60)).has_ended

    await book.schedules.ended([])
    row = await book.row()
    await book.schedules.ended([])

    assert [tick["outcome"] for tick in await book.ticks()] == ["Completed", "Failed", None]
    assert await book.row() == row
    assert row["last_successful_at"] == await book.pool.fetchval(
        "select finished_at from instances where resource_uid = $1", good
    )
    assert not (await book.schedules.look([], lost_after_seconds=60)).has_ended


async def test_what_a_crash_left_uncreated_is_found(book: Book) -> None:
    """It is there until it is known to be created; that is remembered once."""
    await book.decide_to_run(1)

    [tick] = await book.schedules.uncreated([])
    assert (tick.orchestration, tick.name, tick.spec, tick.seen_uid) == ("report-1", "report", SIGHT.spec, None)

    uid = await book.created(1)
    await book.created(1)
    assert await book.schedules.uncreated([]) == []
    assert [row["orchestration_uid"] for row in await book.ticks()] == [uid]


async def test_one_whose_run_has_begun_is_known_though_nobody_remembered_its_creation(book: Book) -> None:
    """Also when it is deleted again before anybody asks: it must not be created a second time."""
    await book.decide_to_run(1)
    uid = uuid4()
    await book.ingest(uid, "report-1")
    await book.gone(uid, "report-1")

    [tick] = await book.schedules.uncreated([])

    assert tick.seen_uid == uid


async def test_a_tick_that_is_given_up_is_missed_once(book: Book) -> None:
    """Its row goes, the count grows; what is the schedule's problem stays until something can be created again."""
    await book.decide_to_run(1, 2)
    first, second = TickKey(UID, at(1)), TickKey(UID, at(2))
    problem = Problem("CreationRefused", "No.")

    for _ in range(2):
        await book.schedules.troubled(first, problem, is_given_up=True, is_lasting=True)
    row = await book.row()
    assert (row["missed"], row["missed_tick_at"], row["missed_reason"]) == (1, at(1), "CreationRefused")
    assert (row["problem_reason"], row["problem_message"]) == ("CreationRefused", "No.")

    await book.schedules.troubled(second, Problem("TooLate", "Late."), is_given_up=True, is_lasting=False)
    row = await book.row()
    assert (row["missed"], row["missed_reason"], row["problem_reason"]) == (2, "TooLate", "CreationRefused")

    await book.look_again()
    await book.decide_to_run(3)
    await book.created(3)
    assert (await book.row())["problem_reason"] == ""


async def test_a_problem_that_stays_the_same_is_nothing_new_to_show(book: Book) -> None:
    """A missing right is met again every half minute; that is one write of the status."""
    await book.decide_to_run(1)
    problem = Problem("CreationForbidden", "No right.")

    await book.schedules.troubled(TickKey(UID, at(1)), problem, is_given_up=False, is_lasting=True)
    changes = (await book.row())["changes"]
    await book.schedules.troubled(TickKey(UID, at(1)), problem, is_given_up=False, is_lasting=True)

    assert (await book.row())["changes"] == changes
    assert len(await book.ticks()) == 1


async def test_those_that_make_room_are_unfinished_and_not_asked_yet(book: Book) -> None:
    """A finished one, one that is being cancelled, and the one that takes their place are not among them."""
    await book.decide_to_run(1, 2, 3, 4, 5)
    ended, asked, running, unseen = [
        await (book.begun(minute) if minute < 4 else book.created(minute)) for minute in (1, 2, 3, 4)
    ]
    await book.finish(ended)
    await book.pool.execute("update resources set cancel_reason = 'stop' where uid = $1", asked)

    found = await book.schedules.replaced(TickKey(UID, at(5)))

    assert found == [("report-3", running), ("report-4", unseen)]


async def test_what_is_shown_is_remembered_with_what_it_shows(book: Book) -> None:
    """Nothing is left to show; what changes afterwards is."""
    [facts] = await book.schedules.facts([])
    await book.schedules.shown(facts, b'{"a":1}', resource_version=7)
    assert await book.schedules.facts([]) == []
    assert not (await book.schedules.look([], lost_after_seconds=60)).has_unshown

    await book.decide_to_run(1)
    [facts] = await book.schedules.facts([])

    assert (facts.status, facts.status_resource_version) == (b'{"a":1}', 7)
    assert [(tick.at, tick.name, tick.outcome, tick.is_gone) for tick in facts.ticks] == [
        (at(1), "report-1", None, False)
    ]
    assert await book.schedules.facts([], without=[UID]) == []


async def test_of_two_writers_the_later_one_is_remembered(book: Book) -> None:
    """A slow writer that was overtaken hides nothing; one that overwrote what is newer makes somebody look again."""
    [slow] = await book.schedules.facts([])
    await book.see(generation=2)
    [fast] = await book.schedules.facts([])

    await book.schedules.shown(fast, b'"fast"', resource_version=8)
    await book.schedules.shown(slow, b'"slow"', resource_version=7)
    assert (await book.row())["status"] == b'"fast"'
    assert await book.schedules.facts([]) == []

    await book.schedules.shown(slow, b'"slow"', resource_version=9)
    [facts] = await book.schedules.facts([])
    assert facts.status == b'"slow"'


async def test_ticks_are_forgotten_with_their_orchestrations(book: Book) -> None:
    """An Orchestration that somebody deleted is told as gone, and nothing is kept of its tick; an open one is."""
    await book.decide_to_run(1, 2)
    uid, _ = await book.begun(1), await book.begun(2)
    await book.finish(uid)
    await book.gone(uid, "report-1")
    await book.schedules.ended([])

    [facts] = await book.schedules.facts([])
    assert [(tick.outcome, tick.is_gone) for tick in facts.ticks] == [("Completed", True), (None, False)]
    await book.schedules.tidied([TickKey(UID, tick.at) for tick in facts.ticks])

    assert [tick["name"] for tick in await book.ticks()] == ["report-2"]


async def test_a_schedule_that_is_gone_takes_nothing_but_its_ticks_along(book: Book) -> None:
    """Its runs are those of its Orchestrations; long afterwards nothing of it is left."""
    await book.decide_to_run(1)
    await book.begun(1)
    await book.see(gone=True)
    nothing = Look(None, has_uncreated=False, has_open=False, has_ended=False, has_lost=False, has_unshown=False)
    assert await book.schedules.look([], lost_after_seconds=0) == nothing

    await book.pool.execute("update schedules set gone_at = now() - interval '2 days'")
    await book.schedules.forget(older_than_seconds=86_400)

    assert await book.ticks() == []
    assert await book.pool.fetchval("select count(*) from instances") == 1


async def test_other_namespaces_are_left_to_others(book: Book) -> None:
    """An operator that looks after some namespaces neither sees nor decides for the rest."""
    await book.decide_to_run(1)
    await book.begun(1)
    await book.look_again()

    assert await book.schedules.due(["elsewhere"]) == []
    assert await book.schedules.facts(["elsewhere"]) == []
    assert await book.schedules.known(["elsewhere"]) == {}
    look = await book.schedules.look(["elsewhere"], lost_after_seconds=0)
    assert (look.due_in_seconds, look.has_unshown, look.has_ended, look.has_lost) == (None, False, False, False)
    assert len(await book.schedules.due(["shop"])) == 1


async def test_the_next_one_is_known_without_reading_them_all(book: Book) -> None:
    """How long there is nothing to do is the database's to say; what is late is negative."""
    await book.pool.execute("update schedules set next_at = now() + interval '1 hour'")
    assert 3_590 < await book.due_in_seconds() <= 3_600

    await book.pool.execute("update schedules set next_at = now() - interval '1 hour'")
    assert await book.due_in_seconds() <= -3_600

"""Schedules, followed by real operators on a real API server, while the clock of the database is moved by days.

What people see: an Orchestration a tick, named and labelled, run; policies, limits, suspension; a status that tools
read. And what they must never see, whatever dies: a tick that is run twice, or not at all.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import pytest_asyncio
import yaml

from perdure._kube.api.base import timestamp
from perdure._kube.schedules import runs
from tests.cluster.handle import Cluster
from tests.e2e import shifted_clock
from tests.e2e.operator_process import Operator, until
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = pytest.mark.slow

DAY = datetime.timedelta(days=1)
LASTING = {"orchestration": "test::orchestration::wait", "input": 10**9}
QUICK = {"orchestration": "test::orchestration::wait", "input": 0}
FAILING = {"orchestration": "test::orchestration::fail"}

IsReached: TypeAlias = Callable[[dict[str, Any]], bool]
"""What is waited for in a status."""


def because(reason: str) -> IsReached:
    """Wait for a status whose conditions give this reason."""
    return lambda status: all(condition["reason"] == reason for condition in status["conditions"])


def missed(reason: str) -> IsReached:
    """Wait for a status whose latest missed tick was missed for this reason."""
    return lambda status: status.get("lastMissed", {}).get("reason") == reason


class Calendar:
    """A world whose days a test lets pass."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kubectl = world.scene.kubectl
        self._nudges = 0

    async def schedule(self, name: str, run: dict[str, Any] = QUICK, **spec: Any) -> None:
        """Apply a schedule, at midnight unless told otherwise, and wait until an operator follows it."""
        await self.apply(name, run, **spec)
        await self.followed(name)

    async def apply(self, name: str, run: dict[str, Any] = QUICK, **spec: Any) -> None:
        """Apply a schedule."""
        manifest = {
            "apiVersion": "perdure.dev/v1alpha1",
            "kind": "OrchestrationSchedule",
            "metadata": {"name": name},
            "spec": {"cron": "@daily", "orchestrationTemplate": {"spec": run}, **spec},
        }
        await self.kubectl("apply", "--server-side", "--field-manager=test", "-f-", input=yaml.safe_dump(manifest))

    async def patch(self, name: str, **spec: Any) -> None:
        """Change the spec of a schedule, and wait until an operator has seen it."""
        await self.kubectl("patch", "orchsched", name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")
        await self.followed(name)

    async def followed(self, name: str) -> None:
        """Wait until the status speaks of the present generation."""

        async def is_followed() -> bool:
            found = await self.read(name)
            return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])

        await until(is_followed)

    async def pass_day(self) -> datetime.datetime:
        """Let a day pass; give the tick of midnight that came with it."""
        now = await shifted_clock.advance(self.world.database, DAY)
        await self._nudge()
        return now.astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    async def read(self, name: str) -> dict[str, Any]:
        """Give a schedule."""
        found: dict[str, Any] = json.loads(await self.kubectl("get", "orchsched", name, "-ojson"))
        return found

    async def shown(self, name: str, is_reached: IsReached | None = None, **fields: Any) -> dict[str, Any]:
        """Wait until the status of a schedule says this, be it in fields or otherwise, and give it."""
        assert is_reached or fields, "what is waited for?"
        status: dict[str, Any] = {}

        async def is_shown() -> bool:
            status.clear()
            status.update((await self.read(name))["status"])
            says = all(status.get(field) == value for field, value in fields.items())
            return (says and (is_reached is None or is_reached(status))) or await self._nudge()

        try:
            await until(is_shown)
        except TimeoutError:
            raise AssertionError(f"{name} shows {json.dumps(status)}\n{self.world.log[-4000:]}") from None
        return status

    async def orchestrations(self, name: str) -> dict[str, dict[str, Any]]:
        """Give the Orchestrations that carry the name of a schedule, by name."""
        found = await self.kubectl("get", "orch", f"--selector=perdure.dev/schedule={name}", "-ojson")
        return {item["metadata"]["name"]: item for item in json.loads(found)["items"]}

    async def decided(self, name: str, count: int) -> None:
        """Wait until so many ticks of a schedule are decided to run or missed, and all of them are created."""

        async def are_decided() -> bool:
            row = await self.world.database.fetchrow(
                "select missed + (select count(*) from instances where instance_id like '%/' || $1 || '-%') as decided "
                "from schedules where name = $1",
                name,
            )
            return (row is not None and row["decided"] >= count) or await self._nudge()

        await until(are_decided)

    async def _nudge(self) -> bool:
        """Have the operators look now and not only within seconds: a schedule that never runs is changed.

        That they look without it is proved by `test_a_tick_is_run_and_shown_in_its_time_although_nobody_tells_of_it`.
        """
        self._nudges += 1
        await self.apply("nudge", suspend=True, failedRunsHistoryLimit=self._nudges % 1_000)
        return False

    async def runs(self, name: str) -> list[str]:
        """Name the runs that there were of a schedule, without the namespace."""
        rows = await self.world.database.fetch(
            "select instance_id from instances where instance_id like '%/' || $1 || '-%' order by 1", name
        )
        return [row["instance_id"].partition("/")[2] for row in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Calendar]:
    """Give a namespace and a database with an operator."""
    namespace = await asyncio.to_thread(cluster.make_namespace)
    with postgres.database("template0") as dsn:
        await shifted_clock.prepare(dsn)
        async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path_factory.mktemp("notes")) as world:
            await world.operator()
            yield Calendar(world)
    await asyncio.to_thread(cluster.delete_namespace, namespace)


@pytest_asyncio.fixture(loop_scope="module")
async def calendar(shared: Calendar) -> AsyncIterator[Calendar]:
    """Give the shared world, and remove the schedules of the test: days pass for all of them."""
    yield shared
    await shared.kubectl("delete", "orchsched", "--all", "--wait=false")


@pytest_asyncio.fixture(loop_scope="module")
async def lonely(cluster: Cluster, namespace: str, empty_dsn: str, tmp_path: Path) -> AsyncIterator[Calendar]:
    """Give a namespace and a database of the test's own, without an operator."""
    await shifted_clock.prepare(empty_dsn)
    async with World.opened(cluster, namespace, dsn=empty_dsn, folder=tmp_path) as world:
        yield Calendar(world)


module_loop = pytest.mark.asyncio(loop_scope="module")


@module_loop
async def test_a_tick_creates_an_orchestration_that_runs(calendar: Calendar) -> None:
    """It is named after its tick, labelled, annotated, owned by its schedule, and completes; the status says so."""
    await calendar.schedule("daily")
    fresh = await calendar.shown("daily", activeCount=0, missed=0)
    tick = await calendar.pass_day()
    status = await calendar.shown("daily", lastScheduleTime=timestamp(tick), activeCount=0)

    [made] = (await calendar.orchestrations("daily")).values()
    assert made["metadata"]["name"] == runs.name_of("daily", tick)
    assert made["metadata"]["annotations"] == {"perdure.dev/scheduled-at": timestamp(tick)}
    [owner] = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"], owner["blockOwnerDeletion"]) == (
        *("OrchestrationSchedule", "daily"),
        *(True, True),
    )
    assert (await calendar.world.scene.completed(made["metadata"]["name"]))["output"] == "waited"
    assert fresh["nextScheduleTime"] == timestamp(tick)
    assert status["nextScheduleTime"] == timestamp(tick + DAY)
    assert status["lastSuccessfulTime"]
    assert status["active"] == []
    assert {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]} == {
        "Ready": ("True", "Scheduled"),
        "Reconciling": ("False", "Scheduled"),
        "Stalled": ("False", "Scheduled"),
    }


@module_loop
async def test_a_tick_is_run_and_shown_in_its_time_although_nobody_tells_of_it(lonely: Calendar) -> None:
    """An operator knows by itself when a schedule is due, and looks how its run has ended: nothing else happens."""
    await lonely.world.operator()
    now = await lonely.world.database.fetchval("select now()")
    await shifted_clock.advance(lonely.world.database, datetime.timedelta(seconds=(55 - now.second) % 60))
    await lonely.schedule("minutely", cron="* * * * *")

    async def has_succeeded() -> bool:
        return "lastSuccessfulTime" in (await lonely.read("minutely"))["status"]

    await until(has_succeeded)

    first, *_ = await lonely.runs("minutely")
    assert await lonely.world.instances(first.partition(":")[0]) == {first: "Completed"}


@module_loop
async def test_what_cannot_be_followed_stalls_and_is_followed_when_it_is_corrected(calendar: Calendar) -> None:
    """Schema and rules take a minute 61 and a zone of Mars; the condition names both, one after the other."""
    await calendar.schedule("wrong", cron="61 * * * *", timeZone="Mars/Olympus")
    status = await calendar.shown("wrong", because("UnknownTimeZone"))
    assert [item["status"] for item in status["conditions"] if item["type"] == "Stalled"] == ["True"]
    assert "nextScheduleTime" not in status

    await calendar.patch("wrong", timeZone="Europe/Berlin")
    await calendar.shown("wrong", because("InvalidCron"))
    await calendar.patch("wrong", cron="0 12 * * *")
    await calendar.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "orchsched/wrong")

    await calendar.pass_day()
    await calendar.decided("wrong", 1)
    assert len(await calendar.orchestrations("wrong")) == 1


@module_loop
async def test_a_forbidden_tick_is_left_out(calendar: Calendar) -> None:
    """While a run lasts the next tick is missed; the status says why, and shows the run that is in the way."""
    await calendar.schedule("careful", LASTING, concurrencyPolicy="Forbid")
    first = await calendar.pass_day()
    await calendar.shown("careful", activeCount=1)
    second = await calendar.pass_day()

    status = await calendar.shown("careful", missed=1)

    assert (status["lastMissed"]["scheduledAt"], status["lastMissed"]["reason"]) == (
        timestamp(second),
        "StillRunning",
    )
    assert status["active"] == [{"name": runs.name_of("careful", first), "scheduledAt": timestamp(first)}]
    assert list(await calendar.orchestrations("careful")) == [runs.name_of("careful", first)]


@module_loop
async def test_a_forbidden_tick_waits_within_its_deadline(calendar: Calendar) -> None:
    """It begins when the run that was in its way has ended, as with a CronJob."""
    await calendar.schedule("patient", LASTING, concurrencyPolicy="Forbid", startingDeadlineSeconds=100_000)
    first = await calendar.pass_day()
    await calendar.shown("patient", activeCount=1)
    second = await calendar.pass_day()
    patch = json.dumps({"spec": {"cancel": {"reason": "enough"}}})
    await calendar.kubectl("patch", "orch", runs.name_of("patient", first), "--type=merge", f"--patch={patch}")

    status = await calendar.shown("patient", lastScheduleTime=timestamp(second))

    assert status["missed"] == 0
    assert len(await calendar.orchestrations("patient")) == 2


@module_loop
async def test_a_run_is_replaced_by_the_next(calendar: Calendar) -> None:
    """The one that lasts is cancelled, with a reason that names its successor, and the next begins at once."""
    await calendar.schedule("latest", LASTING, concurrencyPolicy="Replace")
    first = await calendar.pass_day()
    await calendar.shown("latest", activeCount=1)
    await calendar.world.scene.shown(runs.name_of("latest", first), "Running")
    second = await calendar.pass_day()

    await calendar.shown("latest", active=[_active("latest", second)])
    await calendar.world.scene.shown(runs.name_of("latest", first), "Cancelled")

    replaced = (await calendar.orchestrations("latest"))[runs.name_of("latest", first)]
    assert replaced["status"]["phase"] == "Cancelled"
    assert runs.name_of("latest", second) in replaced["spec"]["cancel"]["reason"]


@module_loop
async def test_runs_go_on_beside_each_other_when_that_is_allowed(calendar: Calendar) -> None:
    """Allow is the default, as with a CronJob."""
    await calendar.schedule("crowd", LASTING)
    first = await calendar.pass_day()
    await calendar.shown("crowd", activeCount=1)
    second = await calendar.pass_day()

    status = await calendar.shown("crowd", activeCount=2)

    assert status["active"] == [_active("crowd", first), _active("crowd", second)]


@module_loop
async def test_old_orchestrations_are_deleted_and_their_runs_stay_in_the_database(calendar: Calendar) -> None:
    """Of five that completed two are kept, the latest; of those that failed as many as their own limit says."""
    await calendar.schedule("tidy", successfulRunsHistoryLimit=2, failedRunsHistoryLimit=0, catchUpLimit=5)
    for _ in range(4):
        await calendar.pass_day()
    tick = await calendar.pass_day()
    await calendar.shown("tidy", lastScheduleTime=timestamp(tick), activeCount=0)

    async def are_two() -> bool:
        return len(await calendar.orchestrations("tidy")) == 2

    await until(are_two)
    assert set(await calendar.orchestrations("tidy")) == {runs.name_of("tidy", tick - DAY), runs.name_of("tidy", tick)}
    assert len(await calendar.runs("tidy")) == 5

    await calendar.patch("tidy", orchestrationTemplate={"spec": {**FAILING, "input": None}})
    tick = await calendar.pass_day()
    await calendar.shown("tidy", lastScheduleTime=timestamp(tick), activeCount=0)
    await until(are_two)
    assert runs.name_of("tidy", tick) not in await calendar.orchestrations("tidy")


@module_loop
async def test_a_suspended_schedule_makes_up_for_the_latest_tick_when_it_is_resumed(calendar: Calendar) -> None:
    """As a CronJob without a deadline does; nothing is created meanwhile, and a suspended one is no failure."""
    await calendar.schedule("resting", suspend=True)
    status = await calendar.shown("resting", because("Suspended"))
    assert "nextScheduleTime" not in status
    await calendar.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "orchsched/resting")
    await calendar.pass_day()
    await calendar.pass_day()
    tick = await calendar.pass_day()

    await calendar.patch("resting", suspend=False)

    status = await calendar.shown("resting", lastScheduleTime=timestamp(tick))
    assert (status["missed"], status["lastMissed"]["reason"]) == (2, "CatchUpLimit")
    assert list(await calendar.orchestrations("resting")) == [runs.name_of("resting", tick)]


@module_loop
async def test_a_resumed_schedule_with_a_deadline_makes_up_for_nothing_that_is_older(calendar: Calendar) -> None:
    """A tick of days ago is too late, and is told as missed."""
    await calendar.schedule("strict", suspend=True, startingDeadlineSeconds=1, cron="0 0 1 1 *")
    await shifted_clock.advance(calendar.world.database, 400 * DAY)

    await calendar.patch("strict", suspend=False)

    status = await calendar.shown("strict", missed("TooLate"))
    assert status["nextScheduleTime"] > status["lastMissed"]["scheduledAt"]
    assert await calendar.orchestrations("strict") == {}
    assert await calendar.runs("strict") == []


@module_loop
async def test_a_name_that_somebody_else_has_is_left_to_them(calendar: Calendar) -> None:
    """What was there before is not touched, the tick counts as missed, and the next one is run."""
    await calendar.schedule("taken")
    tick = datetime.datetime.fromisoformat((await calendar.shown("taken", because("Scheduled")))["nextScheduleTime"])
    foreign = {
        "apiVersion": "perdure.dev/v1alpha1",
        "kind": "Orchestration",
        "metadata": {"name": runs.name_of("taken", tick)},
        "spec": LASTING,
    }
    await calendar.kubectl("create", "-f-", input=json.dumps(foreign))
    await calendar.pass_day()
    status = await calendar.shown("taken", missed=1)
    assert status["lastMissed"]["reason"] == "NameTaken"
    assert status["conditions"][0]["status"] == "True"

    await calendar.pass_day()

    await calendar.shown("taken", lastScheduleTime=timestamp(tick + DAY))
    assert list(await calendar.orchestrations("taken")) == [runs.name_of("taken", tick + DAY)]


@module_loop
async def test_a_template_that_the_api_server_refuses_stalls_until_it_is_corrected(calendar: Calendar) -> None:
    """An Orchestration that nobody can create is given up, and the sentence of the API server is in the condition."""
    bad = {"metadata": {"labels": {"not a key": "x"}}, "spec": QUICK}
    await calendar.schedule("faulty", orchestrationTemplate=bad)
    await calendar.pass_day()
    status = await calendar.shown("faulty", missed=1)
    [stalled] = [item for item in status["conditions"] if item["type"] == "Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", "CreationRefused")
    assert "not a key" in stalled["message"]

    await calendar.patch("faulty", orchestrationTemplate={"metadata": {"labels": {"not a key": None}}})
    await calendar.pass_day()

    await calendar.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "orchsched/faulty")
    assert len(await calendar.orchestrations("faulty")) == 1


@module_loop
async def test_a_schedule_takes_its_orchestrations_along(calendar: Calendar) -> None:
    """They belong to it; what becomes of their runs says the deletionPolicy of each, here that they are cancelled."""
    await calendar.schedule("leaving", LASTING)
    tick = await calendar.pass_day()
    await calendar.world.scene.shown(runs.name_of("leaving", tick), "Running")

    await calendar.kubectl("delete", "orchsched", "leaving")

    async def is_gone() -> bool:
        return not await calendar.orchestrations("leaving")

    await until(is_gone)
    await calendar.world.in_phase(f"{runs.name_of('leaving', tick)}:1", "Cancelled")


# --- what dies -------------------------------------------------------------------------------------------------------


@module_loop
async def test_a_tick_that_was_decided_before_a_crash_is_run_once_after_it(lonely: Calendar) -> None:
    """A crash between the row and the creation, and one between the creation and what is remembered of it."""
    operator = await lonely.world.operator()
    await lonely.schedule("daily")
    tick = await lonely.pass_day()
    await lonely.shown("daily", lastScheduleTime=timestamp(tick), activeCount=0)
    await operator.kill()
    await lonely.world.database.execute(
        "update schedule_ticks set orchestration_uid = null, created_at = null, outcome = null"
    )
    await lonely.world.database.execute(
        "insert into schedule_ticks (schedule_uid, tick_at, name) select uid, $1, $2 from schedules",
        tick - DAY,
        runs.name_of("daily", tick - DAY),
    )

    await lonely.world.operator()
    await lonely.decided("daily", 2)
    await lonely.shown("daily", activeCount=0)

    names = [runs.name_of("daily", tick - DAY), runs.name_of("daily", tick)]
    assert list(await lonely.orchestrations("daily")) == names
    assert await lonely.runs("daily") == [f"{name}:1" for name in names]


@module_loop
async def test_what_was_created_in_time_is_not_given_up_when_that_is_found_out_late(lonely: Calendar) -> None:
    """The deadline is one for the creation: a crash before it is noted makes no missed tick of a run that goes on."""
    operator = await lonely.world.operator()
    await lonely.schedule("daily", startingDeadlineSeconds=24 * 3600)
    tick = await lonely.pass_day()
    await lonely.shown("daily", lastScheduleTime=timestamp(tick), activeCount=0)
    await operator.kill()
    await lonely.world.database.execute(
        "update schedule_ticks set orchestration_uid = null, created_at = null, outcome = null"
    )
    await shifted_clock.advance(lonely.world.database, DAY)

    await lonely.world.operator()
    await lonely.decided("daily", 2)
    await lonely.shown("daily", activeCount=0, lastScheduleTime=timestamp(tick + DAY))

    assert list(await lonely.orchestrations("daily")) == [runs.name_of("daily", at) for at in (tick, tick + DAY)]
    assert await lonely.world.database.fetchval("select missed from schedules where name = 'daily'") == 0


@module_loop
async def test_a_suspended_schedule_creates_nothing_that_was_decided_before(lonely: Calendar) -> None:
    """What could not be created waits until the schedule is resumed, and is created then."""
    await lonely.world.operator()
    await lonely.schedule("daily", suspend=True)
    tick = await lonely.world.database.fetchval("select date_trunc('day', now(), 'UTC')")
    await lonely.world.database.execute(
        "insert into schedule_ticks (schedule_uid, tick_at, name) select uid, $1, $2 from schedules where name = $3",
        tick,
        runs.name_of("daily", tick),
        "daily",
    )
    for _ in range(2):
        await lonely.pass_day()
        await lonely.shown("nudge", observedGeneration=(await lonely.read("nudge"))["metadata"]["generation"])
    assert await lonely.orchestrations("daily") == {}

    await lonely.patch("daily", suspend=False)
    await lonely.decided("daily", 1)

    assert runs.name_of("daily", tick) in await lonely.orchestrations("daily")


@module_loop
async def test_what_was_created_and_deleted_around_a_crash_is_not_created_again(lonely: Calendar) -> None:
    """Its name is free and nobody remembers its creation, but its run is known."""
    operator = await lonely.world.operator()
    await lonely.schedule("daily")
    tick = await lonely.pass_day()
    await lonely.shown("daily", lastScheduleTime=timestamp(tick), activeCount=0)
    await lonely.kubectl("delete", "orch", runs.name_of("daily", tick))
    await operator.kill()
    await lonely.world.database.execute(
        "update schedule_ticks set orchestration_uid = null, created_at = null, outcome = null"
    )

    await lonely.world.operator()
    await lonely.pass_day()
    await lonely.decided("daily", 2)

    assert list(await lonely.orchestrations("daily")) == [runs.name_of("daily", tick + DAY)]
    assert [run.rpartition(":")[2] for run in await lonely.runs("daily")] == ["1", "1"]


@module_loop
async def test_a_tick_that_nobody_may_create_yet_is_run_when_somebody_may(lonely: Calendar) -> None:
    """A quota stands for a missing right: the condition has the words of the API server, and the tick is not lost."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"count/orchestrations.perdure.dev": "0"}},
    }
    await lonely.kubectl("create", "-f-", input=json.dumps(quota))
    await lonely.kubectl("wait", "--for=jsonpath={.status.hard}", "--timeout=60s", "resourcequota/none")
    operator = await lonely.world.operator()
    await lonely.schedule("daily")
    tick = await lonely.pass_day()
    await lonely.kubectl("wait", "--for=condition=Stalled", "--timeout=60s", "orchsched/daily")
    status = await lonely.shown("daily", because("CreationForbidden"))
    [stalled] = [item for item in status["conditions"] if item["type"] == "Stalled"]
    assert "exceeded quota" in stalled["message"]

    await operator.kill()
    await lonely.kubectl("delete", "resourcequota", "none")
    await lonely.world.operator()

    await lonely.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "orchsched/daily")
    await lonely.shown("daily", lastScheduleTime=timestamp(tick), activeCount=0, missed=0)
    assert list(await lonely.orchestrations("daily")) == [runs.name_of("daily", tick)]


@module_loop
async def test_operators_that_are_killed_run_each_tick_once(lonely: Calendar) -> None:
    """Two controllers beside each other, one of them killed each day at another moment: a run a day for each."""
    names = [f"s{number}" for number in range(4)]
    operators: list[Operator] = [await lonely.world.operator(), await lonely.world.operator()]
    for name in names:
        await lonely.apply(name, successfulRunsHistoryLimit=100)
    for name in names:
        await lonely.followed(name)
    ticks = []
    for day in range(3):
        ticks.append(await lonely.pass_day())
        await until_decided(lonely, names, len(ticks) if day % 2 else len(ticks) - 1)
        await operators[day % 2].kill()
        operators[day % 2] = await lonely.world.operator()
        await until_decided(lonely, names, len(ticks))

    for name in names:
        await lonely.shown(name, activeCount=0)
        expected = [runs.name_of(name, tick) for tick in ticks]
        assert list(await lonely.orchestrations(name)) == expected
        assert await lonely.runs(name) == [f"{one}:1" for one in expected]


async def until_decided(calendar: Calendar, names: list[str], count: int) -> None:
    """Wait until so many ticks of each schedule are run."""
    for name in names:
        await calendar.decided(name, count)


def _active(schedule: str, tick: datetime.datetime) -> dict[str, str]:
    return {"name": runs.name_of(schedule, tick), "scheduledAt": timestamp(tick)}

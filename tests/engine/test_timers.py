"""Timers on a worker: by the database's clock, never early, through every restart."""

from __future__ import annotations

import asyncio
import datetime

import msgspec
import pytest

from perdure import JsonValue, OrchestrationContext, orchestration
from perdure._core import history, replay
from perdure._engine.clock import Clock
from perdure._engine.resident import Resident
from perdure._engine.timers import Timers
from tests.engine.world import ALONE, World

HOUR = 3_600.0


@orchestration("test::orchestration::nap")
async def nap(ctx: OrchestrationContext, input: float) -> str:
    """Sleep once."""
    await ctx.schedule_timer(input)
    return "awake"


async def lateness(world: World, instance_id: str) -> list[float]:
    """Give how many seconds after its time each timer of an instance fired, in the order of firing."""
    due: dict[int, datetime.datetime] = {}
    late = []
    for turn in await world.client.get_history(instance_id):
        late += [
            (turn.at - due[event.seq]).total_seconds() for event in turn.events if isinstance(event, history.TimerFired)
        ]
        due |= {command.seq: command.fire_at for command in turn.commands if isinstance(command, history.CreateTimer)}
    return late


@pytest.mark.parametrize("seconds", [0, 0.001, 0.2])
async def test_a_timer_fires_and_never_early(world: World, seconds: float) -> None:
    """By the database's clock, also one of no length at all; nobody polls for it."""
    await world.worker(nap, settings=ALONE)

    info = await world.run(nap, seconds)

    assert info.output == "awake"
    assert all(late >= 0 for late in await lateness(world, info.instance_id))


async def test_timers_fire_in_the_order_in_which_they_are_due(world: World) -> None:
    """Not in the order in which they were asked for; also when one asked for later is due first."""

    @orchestration("test::orchestration::alarms")
    async def alarms(ctx: OrchestrationContext) -> list[float]:
        rung: list[float] = []

        async def alarm(seconds: float) -> None:
            await ctx.schedule_timer(seconds)
            rung.append(seconds)

        await ctx.join(*(alarm(seconds) for seconds in (0.3, 0.1, 0.2, 0.0)))
        return rung

    await world.worker(alarms)

    info = await world.run(alarms)

    assert info.output == [0.0, 0.1, 0.2, 0.3]
    assert all(late >= 0 for late in await lateness(world, info.instance_id))


async def test_a_timer_that_came_due_while_nobody_was_there_fires_once(world: World) -> None:
    """The worker dies, the moment passes, the next worker fires it at once and not again."""
    hand = await world.worker(nap)
    instance_id = await world.start(nap, 0.3)
    await world.until("select 1 from history")
    await world.crash(hand)
    await world.until("select 1 from history where at < now() - interval '0.4 s'")

    await world.worker(nap)

    assert (await world.end(instance_id)).output == "awake"
    [late] = await lateness(world, instance_id)
    assert late > 0


async def test_a_timer_outlives_a_graceful_stop(world: World) -> None:
    """What is given back carries the moment of its earliest timer, and is not claimed before it."""
    hand = await world.worker(nap)
    instance_id = await world.start(nap, 0.5)
    await world.until("select 1 from history")
    await hand.stop()
    [row] = await world.fetch("select owner_id, wake_at from instances")
    [timer] = [command for command in await world.commands(instance_id) if isinstance(command, history.CreateTimer)]

    await world.worker(nap)

    assert (row["owner_id"], row["wake_at"]) == (None, timer.fire_at)
    assert (await world.end(instance_id)).output == "awake"
    assert all(late >= 0 for late in await lateness(world, instance_id))


async def test_time_does_not_stand_still_for_one_who_sleeps(world: World) -> None:
    """The time of a turn is the database's: past the timer after it, and the same on every replay."""

    @orchestration("test::orchestration::clock")
    async def clock(ctx: OrchestrationContext) -> list[str]:
        before = ctx.utcnow()
        await ctx.schedule_timer(0.2)
        after = ctx.utcnow()
        await ctx.schedule_timer(0.3)
        return [before.isoformat(), after.isoformat()]

    hand = await world.worker(clock)
    instance_id = await world.start(clock)
    await world.until("select 1 from history where turn = 1")
    await world.crash(hand)
    await world.worker(clock)

    output: JsonValue = (await world.end(instance_id)).output

    turns = await world.client.get_history(instance_id)
    assert output == [turns[0].at.isoformat(), turns[1].at.isoformat()]
    assert turns[1].at - turns[0].at >= datetime.timedelta(seconds=0.2)


async def test_timers_that_were_given_up_do_not_pile_up() -> None:
    """A timeout of an hour that is not needed after a second takes no memory for an hour."""
    execution = replay.Execution(nap, replay.Identity("nap", 1))
    resident = Resident("nap", "", None, execution, turn=1, phase="Running")
    clock = Clock(asyncio.get_running_loop().time)
    timers = Timers(clock, lambda _resident, _event: None)

    for seq in range(10_000):
        timers.add(clock.now() + datetime.timedelta(seconds=HOUR), resident, event=history.TimerFired(seq))

    assert len(timers) < 2_000
    timers.close()


async def test_a_timer_rings_while_the_turn_that_gave_it_up_may_still_be_taken_back() -> None:
    """Before that turn is committed nobody knows whether it is taken anew, and then waits for the timer."""
    execution = replay.Execution(nap, replay.Identity("nap", 1))
    resident = Resident("nap", "", None, execution, turn=1, phase="Running", is_in_flight=True)
    rung: asyncio.Future[history.Event] = asyncio.get_running_loop().create_future()
    clock = Clock(asyncio.get_running_loop().time)
    timers = Timers(clock, lambda _resident, event: rung.set_result(event))

    timers.add(clock.now(), resident, event=history.TimerFired(1))

    assert await rung == history.TimerFired(1)
    timers.close()


async def test_a_turn_is_no_earlier_than_the_timers_that_rang_in_it() -> None:
    """A message of a later moment lets a timer ring on a worker whose clock is late: the turn has the timer's time."""
    execution = replay.Execution(nap, replay.Identity("nap", 1))
    resident = Resident("nap", "", None, execution, turn=1, phase="Running")
    noon = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
    started = history.OrchestrationStarted(nap.name, nap.version, msgspec.Raw(b"60.0"), history.PROTOCOL)
    execution.advance(noon, [started])

    moments = resident.moments([history.SignalReceived("go", msgspec.Raw(b"null")), history.TimerFired(1)])

    assert moments == [noon + datetime.timedelta(seconds=60)]
    execution.close()


async def test_the_loser_of_a_race_with_a_timer_is_given_up(world: World) -> None:
    """A timeout by select: the timer that lost is cancelled in history, and does not keep the instance waiting."""

    @orchestration("test::orchestration::race")
    async def race(ctx: OrchestrationContext) -> int:
        index, _ = await ctx.select(ctx.schedule_timer(HOUR), ctx.schedule_timer(0.01))
        return index

    await world.worker(race)

    info = await world.run(race)

    assert info.output == 1
    assert history.CancelTimer(1) in await world.commands(info.instance_id)

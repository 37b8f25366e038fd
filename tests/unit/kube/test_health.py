"""Alive and ready: what makes a process which of the two, and when."""

from __future__ import annotations

import asyncio

from perdure._kube.health import Health, Need, Pulse
from tests.unit.engine.virtual import in_virtual_time


class Loop:
    """Has work or not, and has done so much."""

    def __init__(self) -> None:
        self.has_work = True
        self.done = 0

    def pulse(self) -> Pulse:
        """Give its sign of life."""
        return Pulse("the loop", has_work=lambda: self.has_work, done=lambda: self.done)


async def after(health: Health, seconds: float) -> dict[str, str]:
    """Give what only a restart would cure, so much later."""
    await asyncio.sleep(seconds)
    return health.deaths()


@in_virtual_time
async def test_a_loop_that_has_work_and_does_nothing_is_dead_after_a_while() -> None:
    """Not before, and no more once it moves; one without work is well however long it rests."""
    health, stuck, resting = Health(), Loop(), Loop()
    resting.has_work = False
    health.add_vital("stuck", stuck.pulse(), seconds=300)
    health.add_vital("resting", resting.pulse(), seconds=300)
    looking = asyncio.create_task(health.run())

    early, late = await after(health, 290), await after(health, 20)
    stuck.done += 1
    moving = await after(health, 1)
    looking.cancel()

    assert (early, moving) == ({}, {})
    assert late == {"stuck": "the loop has work and does nothing for 310 s"}


@in_virtual_time
async def test_a_loop_that_moves_now_and_then_lives() -> None:
    """Slow is not stuck."""
    health, slow = Health(), Loop()
    health.add_vital("slow", slow.pulse(), seconds=300)
    looking = asyncio.create_task(health.run())
    deaths = []
    for _ in range(10):
        deaths.append(await after(health, 200))
        slow.done += 1
    looking.cancel()

    assert deaths == [{}] * 10


@in_virtual_time
async def test_nobody_who_looks_is_a_death_of_its_own() -> None:
    """When the task that looks has ended, nobody would find the others dead."""
    health = Health()
    looking = asyncio.create_task(health.run())
    await asyncio.sleep(1)
    looking.cancel()

    assert (await after(health, 120))["loop"].startswith("nothing was looked at for 120")


@in_virtual_time
async def test_a_need_that_is_not_met_makes_nothing_dead() -> None:
    """A database that is away is waited for; the process says so and is not ready."""
    health = Health()
    health.add("database", lambda: Need(ok=False, why="away"))
    looking = asyncio.create_task(health.run())

    deaths = await after(health, 3600)
    looking.cancel()

    assert (health.is_ready, deaths) == (False, {})


@in_virtual_time
async def test_who_asks_whether_it_is_alive_changes_nothing() -> None:
    """A loop that moves again is found alive, also when a probe came between its move and the next look."""
    health, slow = Health(), Loop()
    health.add_vital("slow", slow.pulse(), seconds=300)
    looking = asyncio.create_task(health.run())
    dead = await after(health, 310)

    slow.done += 1
    probed = health.deaths()
    alive = await after(health, 1)
    looking.cancel()

    assert {*dead} == {*probed} == {"slow"}
    assert alive == {}

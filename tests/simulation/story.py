"""The story of a seed: a storm, the calm after it, the end; and what must be true when it is over.

It says in which order the scenes come; who acts in them is the crew's and the crowd's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tests.simulation.crew import Crew
from tests.simulation.crowd import Crowd

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["perform"]

_PATIENCE_SECONDS: Final = 900.0
_QUIET_SECONDS: Final = 60.0
_IDLE_SHARE: Final = 0.1  # it is the same every time, and takes as long as all the rest
_UNFINISHED: Final = """
select instance_id, phase, owner_id, wake_at, turn, execution, is_suspended
from instances where finished_at is null order by instance_id
"""
_EXISTING: Final = "select instance_id from instances"
_OWNED: Final = "select instance_id from instances where owner_id is not null"
_LISTED: Final = "select worker_id from workers"


async def perform(world: World) -> None:
    """Play the whole story."""
    crew, crowd = Crew(world), Crowd(world)
    keeper = asyncio.create_task(crew.keep())
    crowd.gather()
    await crew.weather_the_storm(world.dice.choice((10.0, 60.0, 120.0)) * world.dice.uniform(0.5, 1.0))
    world.grow_calm()
    crew.renew()
    await _until_all_ended(world, crowd)
    is_idle = world.dice.random() < _IDLE_SHARE
    if is_idle:
        await _be_idle(world, crew)
    keeper.cancel()
    await crew.dismiss()
    world.checks.tables_now()
    world.checks.histories()
    if left := world.database.look(_OWNED):
        world.violated(f"I5: whoever stops gives everything back; still owned: {left}")
    if is_idle and (left := world.database.look(_LISTED)):
        world.violated(f"the dead are found, and whoever stops goes off the list: {left}")


async def _until_all_ended(world: World, crowd: Crowd) -> None:
    """Wait for the end of everything: in calm weather nothing may wait for ever (liveness)."""
    deadline = world.loop.now + _PATIENCE_SECONDS
    while (rows := world.database.look(_UNFINISHED)) or not crowd.is_content:
        if world.loop.now > deadline:
            world.violated(
                f"liveness: not ended {_PATIENCE_SECONDS:g} s after the storm: {[dict(row) for row in rows]}; "
                f"clients that wait: {sorted(crowd.waiting)}"
            )
        crowd.help({row["instance_id"]: row["phase"] == "Suspended" for row in rows})
        await asyncio.sleep(3.0)
    existing = {row["instance_id"] for row in world.database.look(_EXISTING)}
    missing = {name for name in crowd.started - existing if not world.ledger.was_removed(name)}
    if missing:
        world.violated(f"what was started is there: {missing}")


async def _be_idle(world: World, crew: Crew) -> None:
    """With nothing to do, a worker asks less than once a second (I14)."""
    await asyncio.sleep(_QUIET_SECONDS)  # the last of the dead is found, the last retry is over
    before = world.database.statements
    await asyncio.sleep(_QUIET_SECONDS)
    a_second = (world.database.statements - before) / _QUIET_SECONDS / crew.size
    if a_second > crew.idle_statements_a_second:
        world.violated(f"I14: idle costs nearly nothing: {a_second:.2f} statements a second and worker")

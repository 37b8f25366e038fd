"""The activities of a worker's own instances, from slot to attempt: who does not begin, and who waits for that."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Collection, Sequence

import msgspec

from perdure import ActivityContext, ActivityRegistry, OrchestrationContext, activity, orchestration
from perdure._core import history
from perdure._core.replay import Execution, Identity
from perdure._engine.activities import ActivityRunner, FailedAttempt, Known, LocalJob
from perdure._engine.attempt import Job
from perdure._engine.attempts import Attempts, Capacity
from perdure._engine.clock import Clock
from perdure._engine.resident import Resident
from perdure._engine.trials import ActivityTrials
from tests.unit.engine.virtual import in_virtual_time

AT = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@orchestration("unit::orchestration::asking-once")
async def asking_once(ctx: OrchestrationContext) -> None:
    """Ask for the activity."""
    await ctx.schedule_activity("unit::activity::noted")


def resident_of(instance_id: str) -> Resident:
    """Give an instance whose first turn has asked for the activity."""
    execution = Execution(asking_once, Identity(instance_id, 1))
    started = history.OrchestrationStarted(
        asking_once.name, asking_once.version, msgspec.Raw(b"null"), history.PROTOCOL
    )
    execution.advance(AT, [started])
    return Resident(instance_id, "", None, execution, turn=1, phase="Running")


class Blank:
    """A book in which nothing is written."""

    async def record(self, attempt: FailedAttempt) -> bool:  # noqa: ARG002 - a blank page
        """Say that the activity is ours."""
        return True

    async def note(self, jobs: Sequence[LocalJob]) -> None:
        """Forget what heartbeats said."""

    async def due(self, jobs: Sequence[LocalJob]) -> list[LocalJob]:
        """Say that all of them may go on."""
        return list(jobs)


class Shop:
    """A runner with one activity, which notes whose it was; what is said to the database is only heard."""

    def __init__(self, *, slots: int) -> None:
        """Open with so many slots."""
        self.begun: list[str] = []

        @activity("unit::activity::noted")
        async def noted(ctx: ActivityContext) -> None:
            self.begun.append(ctx.info.instance_id)

        clock = Clock(asyncio.get_running_loop().time)
        clock.sync(AT)
        capacity = Capacity(slots, 1)
        self.attempts = Attempts(ActivityRegistry.of(noted), clock, capacity=capacity, kubernetes=None)
        self.trials = ActivityTrials(self.mark, self.quiet)
        self.runner = ActivityRunner(self.attempts, clock, trials=self.trials, book=Blank(), deliver=lambda *_: None)
        self.leaving: Resident | None = None
        self.trying = asyncio.create_task(self.trials.run())

    async def mark(self, jobs: list[Job]) -> Collection[Job]:
        """Let somebody leave while the database notes who is on trial."""
        if self.leaving is not None:
            self.leaving.is_gone = True
        return jobs

    async def quiet(self) -> None:
        """Wait for nobody."""

    def start(self, resident: Resident, *, losses: int = 0) -> None:
        """Have its activity run."""
        [operation] = resident.execution.pending.values()
        known = Known(0, losses, AT) if losses else None
        self.runner.start(resident, operation, known=known, is_found=bool(losses))


@in_virtual_time
async def test_who_leaves_while_it_waits_for_a_slot_does_not_begin() -> None:
    """Its slot is for the next, and is free in the end."""
    shop = Shop(slots=1)
    first, second, third = (resident_of(name) for name in ("first", "second", "third"))
    for resident in (first, second, third):
        shop.start(resident)

    second.is_gone = True
    await asyncio.sleep(1)

    assert (shop.begun, shop.attempts.slots.free) == (["first", "third"], 1)
    shop.trying.cancel()


@in_virtual_time
async def test_who_leaves_between_its_slot_and_its_lane_does_not_begin() -> None:
    """It gives its slot back."""
    shop = Shop(slots=2)
    stays, leaves = resident_of("stays"), resident_of("leaves")
    shop.start(leaves)
    shop.start(stays)

    leaves.is_gone = True
    await asyncio.sleep(1)

    assert (shop.begun, shop.attempts.slots.free) == (["stays"], 2)
    shop.trying.cancel()


@in_virtual_time
async def test_no_trial_waits_for_a_suspect_that_leaves() -> None:
    """The next suspect is tried at once, however long the database takes to let the first go."""
    shop = Shop(slots=2)
    shop.leaving = resident_of("leaves")
    shop.start(shop.leaving, losses=1)
    shop.start(resident_of("stays"), losses=1)

    await asyncio.sleep(60)

    assert (shop.begun, shop.attempts.slots.free) == (["stays"], 2)
    shop.trying.cancel()

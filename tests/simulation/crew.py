"""The workers of a world: they come, are killed, frozen and asked to stop, and some offer only what is old.

It knows how a worker process is made and what its one activity does; when which of them is struck, the dice say.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
from typing import TYPE_CHECKING, Final

from perdure import ActivityContext, ActivityRegistry, JsonValue, NonRetryableError, activity
from perdure._core.definition import ActivityDefinition
from perdure._engine.worker import Worker, WorkerSettings
from tests.simulation import programs
from tests.simulation.ledger import Key
from tests.simulation.link import SimulatedStore
from tests.simulation.loop import Actor
from tests.simulation.weather import Point, Strike

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Crew", "Hand"]

_LONG_SECONDS: Final = 100_000.0
_STOP_SECONDS: Final = 120.0


@dataclasses.dataclass(eq=False)
class Hand:
    """A worker process."""

    actor: Actor
    worker: Worker
    stop: asyncio.Event
    task: asyncio.Task[object] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process is there, frozen or not."""
        return not self.actor.is_dead and self.task is not None and not self.task.done()


class Crew:
    """The workers: `size` of them, a missing one is replaced."""

    def __init__(self, world: World) -> None:
        """Draw what they are like."""
        self._world = world
        dice = world.dice
        self.size = dice.choice((1, 2, 3, 3))
        self._settings = WorkerSettings(
            lease_seconds=dice.choice((2.0, 5.0, 10.0)),
            poll_seconds=dice.choice((1.0, 3.0, 3.0)),
            max_instances=dice.choice((2, 5, 5_000)),
            max_activities=dice.choice((1, 3, 200)),
            cancel_grace_seconds=dice.choice((3.0, 60.0)),
            retention_seconds=dice.choice((None, None, None, 20.0)),
            is_watched=False,
        )
        world.ledger.is_forgetful = self._settings.retention_seconds is not None
        self._numbers = itertools.count(1)
        self._hands: list[Hand] = []
        self._is_old_offered = dice.random() < 0.3
        self._is_picky = dice.random() < 0.3

    @property
    def idle_statements_a_second(self) -> float:
        """What an idle worker may ask: two claims each poll, three heartbeats a lease, a look for what is too old."""
        return 1.05 * (2 / self._settings.poll_seconds + 3 / self._settings.lease_seconds + 0.1)

    async def keep(self) -> None:
        """Start as many workers as are missing, as long as somebody waits for this."""
        while True:
            for _ in range(self.size - sum(hand.is_alive for hand in self._hands)):
                self._start()
            await asyncio.sleep(self._world.dice.uniform(0.1, 1.0))

    async def weather_the_storm(self, seconds: float) -> None:
        """Let a storm of this length pass."""
        dice = self._world.dice
        try:
            async with asyncio.timeout(seconds):
                pause = dice.choice((1.0, 5.0, 20.0))
                while True:
                    await asyncio.sleep(dice.expovariate(1 / pause))
                    self._blow(dice)
        except TimeoutError:
            self._world.note(None, "the storm is over")

    def renew(self) -> None:
        """Let those go who offer only what is old or serve not all queues."""
        self._is_old_offered = self._is_picky = False
        for hand in self._hands:
            offers_all = hand.worker.orchestrations is self._world.orchestrations
            if hand.is_alive and not (offers_all and hand.worker.settings.queues == programs.QUEUES):
                hand.stop.set()

    async def dismiss(self) -> None:
        """Let everybody stop in good order."""
        alive = [hand for hand in self._hands if hand.is_alive]
        for hand in alive:
            hand.stop.set()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*(hand.task for hand in alive if hand.task is not None))
        except TimeoutError:
            self._world.violated(f"who is asked to stop stops: {[h.actor.name for h in alive if h.is_alive]}")

    def _blow(self, dice: random.Random) -> None:
        alive = [hand for hand in self._hands if hand.is_alive]
        if not alive:
            return
        hand, world = dice.choice(alive), self._world
        match dice.choice(("kill", "freeze", "freeze", "stop", "away", "nothing")):
            case "kill":
                world.kill(hand.actor)
            case "freeze":
                seconds = self._settings.lease_seconds * dice.uniform(0.1, 4.0)
                world.strike(hand.actor, Strike(Point.BEFORE, seconds, clock_stops=dice.random() < 0.5))
            case "stop":
                world.note(hand.actor, "is asked to stop")
                hand.stop.set()
            case "away":
                world.go_away(dice.choice((0.1, 2.0, 20.0, 90.0)) * dice.random())
            case _:
                pass

    def _start(self) -> None:
        world, dice = self._world, self._world.dice
        hours = dice.uniform(-48, 48)
        actor = Actor(f"worker-{next(self._numbers)}", offset=3_600 * hours + 1_000_000)
        is_old = self._is_old_offered and dice.random() < 0.5
        world.note(actor, f"starts, its clock is {hours:.1f} hours away{', it offers only what is old' * is_old}")
        store = SimulatedStore(world.join(actor))
        offered = programs.orchestrations(has_old_only=True) if is_old else world.orchestrations
        queues = programs.QUEUES[: dice.randint(0, 2)] if self._is_picky else programs.QUEUES
        settings = dataclasses.replace(self._settings, queues=queues)
        worker = Worker(store, offered, ActivityRegistry.of(_step(world, actor)), settings=settings)
        hand = Hand(actor, worker, asyncio.Event())
        hand.task = actor.start(world.loop, worker.run(hand.stop))
        hand.task.add_done_callback(lambda task: self._ended(hand, task))
        self._hands.append(hand)

    def _ended(self, hand: Hand, task: asyncio.Task[object]) -> None:
        """A worker ends when it is asked to, and never by itself."""
        if self._world.is_over:
            return
        self._world.note(hand.actor, "has ended")
        error = None if task.cancelled() else task.exception()
        if error is not None or not hand.stop.is_set():
            self._world.violated(f"a worker lives until it is told to stop: {hand.actor.name}: {error!r}")


async def _work(ctx: ActivityContext, plan: programs.Plan) -> None:
    """Take the time that the plan says, beating all along if it says so."""
    pieces = 4 if plan.beats else 1
    for piece in range(pieces):
        await asyncio.sleep(plan.takes / pieces)
        if plan.beats:
            ctx.heartbeat({"piece": piece})


def _step(world: World, actor: Actor) -> ActivityDefinition[JsonValue, JsonValue]:
    """Make the one activity: it does what its plan says."""

    @activity(programs.STEP)
    async def step(ctx: ActivityContext, input: JsonValue) -> JsonValue:
        if world.is_over:
            raise asyncio.CancelledError
        plan, key = programs.plan_of(input), Key(ctx.info.instance_id, ctx.info.execution, ctx.info.seq)
        count, run = world.ledger.begin(ctx.info, actor.name)
        word = plan.words[min(count, len(plan.words) - 1)]
        world.note(actor, f"runs {key.instance_id}/{key.execution}/{key.seq} as attempt {ctx.attempt}: {word}")
        if ctx.attempt > plan.attempts:
            world.violated(f"I10: attempts are counted: {key} is run as attempt {ctx.attempt} of {plan.attempts}")
        world.checks.asked_for(key)
        await _work(ctx, plan)
        match word:
            case "fail":
                raise ConnectionError(f"no luck the {count + 1}. time")
            case "fatal":
                raise NonRetryableError("no use in trying again")
            case "hang" | "silent":
                await asyncio.sleep(_LONG_SECONDS)
            case "kill" if not world.weather.is_calm:
                world.kill(actor)
                await asyncio.sleep(_LONG_SECONDS)
            case _:
                pass
        run.result = f"{plan.tag} {key.instance_id}/{key.execution}/{key.seq}#{count + 1}"
        return run.result

    return step

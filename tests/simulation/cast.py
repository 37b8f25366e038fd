"""Who acts in a world: workers that come and go, clients that ask, and the storm that passes over them.

It knows the story of a seed, from the first start to the last look; each scene draws from the world's dice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
from typing import TYPE_CHECKING, Final

from perdure import ActivityContext, ActivityRegistry, JsonValue, NonRetryableError, activity, errors
from perdure._engine.worker import Worker, WorkerSettings
from perdure.client import Client
from tests.simulation import programs
from tests.simulation.ledger import Key
from tests.simulation.link import Link, SimulatedStore
from tests.simulation.loop import Actor
from tests.simulation.weather import Point, Strike

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Hand", "perform"]

_PATIENCE_SECONDS: Final = 900.0
_LONG_SECONDS: Final = 100_000.0
_UNFINISHED: Final = "select instance_id, phase, owner_id, wake_at, turn from instances where finished_at is null"
_EXISTING: Final = "select instance_id from instances"
_OWNED: Final = "select instance_id from instances where owner_id is not null"


async def perform(world: World) -> None:
    """Play the whole story: a storm, the calm after it, the end."""
    crew, crowd = Crew(world), Crowd(world)
    keeper = asyncio.create_task(crew.keep())
    crowd.gather()
    await crew.weather_the_storm(world.dice.uniform(15.0, 60.0))
    world.note(None, "calm")
    world.weather.is_calm = True
    world.come_back()
    world.thaw_all()
    await _until_all_ended(world, crowd)
    keeper.cancel()
    await crew.dismiss()
    world.checks.tables_now()
    world.checks.histories()
    if left := world.database.look(_OWNED, now=world.now()):
        world.violated(f"I5: whoever stops gives everything back: {left}")


async def _until_all_ended(world: World, crowd: Crowd) -> None:
    """Wait for the end of everything: in calm weather nothing may wait for ever (liveness)."""
    deadline = world.loop.now + _PATIENCE_SECONDS
    while not crowd.is_content or world.database.look(_UNFINISHED, now=world.now()):
        await asyncio.sleep(1.0)
        if world.loop.now > deadline:
            rows = [dict(row) for row in world.database.look(_UNFINISHED, now=world.now())]
            world.violated(f"liveness: not ended {_PATIENCE_SECONDS:g} s after the storm: {rows}; {crowd.waiting}")
    existing = {row["instance_id"] for row in world.database.look(_EXISTING, now=world.now())}
    if missing := crowd.started - existing:
        world.violated(f"what was started is there: {missing}")


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
    """The workers: never for long less than one, never more than three."""

    def __init__(self, world: World) -> None:
        """Draw what they are like."""
        self._world = world
        dice = world.dice
        self._size = dice.randint(1, 3)
        self._settings = WorkerSettings(
            lease_seconds=dice.choice((2.0, 5.0, 10.0)),
            poll_seconds=dice.choice((1.0, 3.0)),
            max_instances=dice.choice((2, 5, 5_000)),
            max_activities=dice.choice((1, 3, 200)),
            cancel_grace_seconds=dice.choice((3.0, 60.0)),
        )
        self._numbers = itertools.count(1)
        self._hands: list[Hand] = []

    async def keep(self) -> None:
        """Start as many workers as are missing, as long as somebody waits for this."""
        while True:
            for _ in range(self._size - sum(hand.is_alive for hand in self._hands)):
                self._start()
            await asyncio.sleep(self._world.dice.uniform(0.1, 1.0))

    async def weather_the_storm(self, seconds: float) -> None:
        """Let a storm of this length pass."""
        world, dice = self._world, self._world.dice
        storm = asyncio.timeout(seconds)
        try:
            async with storm:
                pause = dice.choice((1.0, 5.0, 20.0))
                while True:
                    await asyncio.sleep(dice.expovariate(1 / pause))
                    self._blow(dice)
        except TimeoutError:
            world.note(None, "the storm is over")

    async def dismiss(self) -> None:
        """Let everybody stop in good order."""
        for hand in self._hands:
            hand.stop.set()
        alive = [hand.task for hand in self._hands if hand.is_alive and hand.task is not None]
        async with asyncio.timeout(60):
            await asyncio.gather(*alive)

    def _blow(self, dice: random.Random) -> None:
        alive = [hand for hand in self._hands if hand.is_alive]
        if not alive:
            return
        hand = dice.choice(alive)
        match dice.choice(("kill", "freeze", "stop", "away", "nothing")):
            case "kill":
                self._world.kill(hand.actor)
            case "freeze":
                seconds = dice.choice((1.0, 10.0, 30.0)) * dice.random()
                self._world.strike(hand.actor, Strike(Point.BEFORE, seconds, clock_stops=dice.random() < 0.5))
            case "stop":
                self._world.note(hand.actor, "is asked to stop")
                hand.stop.set()
            case "away":
                self._world.go_away(dice.choice((0.1, 2.0, 20.0)) * dice.random())
            case _:
                pass

    def _start(self) -> None:
        world = self._world
        hours = world.dice.uniform(-48, 48)
        actor = Actor(f"worker-{next(self._numbers)}", offset=3_600 * hours + 1_000_000)
        world.note(actor, f"starts, its clock is {hours:.1f} hours away")
        store = SimulatedStore(join(world, actor))
        activities = ActivityRegistry.of(_step(world, actor))
        worker = Worker(store, world.orchestrations, activities, settings=self._settings)
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


def join(world: World, actor: Actor) -> Link:
    """Connect a process with the world."""
    world.actors.append(actor)
    world.links.append(Link(world, actor, world.options.rewrites))
    link: Link = world.links[-1]
    return link


def _step(world: World, actor: Actor) -> object:
    """Make the one activity: it does what its plan says."""

    @activity(programs.STEP)
    async def step(ctx: ActivityContext, input: JsonValue) -> JsonValue:
        if world.is_over:
            raise asyncio.CancelledError
        plan, key = programs.plan_of(input), Key(ctx.info.instance_id, ctx.info.execution, ctx.info.seq)
        count, run = world.ledger.begin(ctx.info, actor.name)
        word = plan.words[min(count, len(plan.words) - 1)]
        world.note(actor, f"runs {key.instance_id}/{key.execution}/{key.seq} as attempt {ctx.attempt}: {word}")
        world.checks.asked_for(key)
        await asyncio.sleep(plan.takes)
        match word:
            case "fail":
                raise ConnectionError(f"no luck the {count + 1}. time")
            case "fatal":
                raise NonRetryableError("no use in trying again")
            case "hang":
                await asyncio.sleep(_LONG_SECONDS)
            case "kill" if not world.weather.is_calm:
                world.kill(actor)
                await asyncio.sleep(_LONG_SECONDS)
            case _:
                pass
        run.result = f"{key.instance_id}/{key.execution}/{key.seq}#{count + 1}"
        return run.result

    return step


class Crowd:
    """The clients: they start instances, twice now and then, cancel some, and wait for some."""

    def __init__(self, world: World) -> None:
        """Have asked for nothing yet."""
        self._world = world
        self.started: set[str] = set()
        self.waiting: set[str] = set()
        self._busy: list[asyncio.Task[object]] = []

    @property
    def is_content(self) -> bool:
        """Whether all have got what they asked for."""
        return all(task.done() for task in self._busy)

    def gather(self) -> None:
        """Begin to ask."""
        world = self._world
        dice = world.dice
        actor = Actor("client", is_mortal=False)
        client = Client(SimulatedStore(join(world, actor)))
        for number in range(dice.randint(2, 8)):
            program = programs.draw(dice)
            world.note(actor, f"will start i{number}: {program}")
            story = self._story(client, f"i{number}", program, random.Random(f"{world.seed} i{number}"))
            self._busy.append(actor.start(world.loop, story))
        for task in self._busy:
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        if not self._world.is_over and (task.cancelled() or task.exception()):
            error = None if task.cancelled() else task.exception()
            self._world.violated(f"clients get answers: {error!r}")

    async def _story(self, client: Client, instance_id: str, program: programs.Program, dice: random.Random) -> None:
        await asyncio.sleep(dice.choice((0.0, 10.0)) * dice.random())
        for _ in range(dice.choice((1, 1, 2))):
            await _patiently(lambda: client.start_orchestration(instance_id, "sim::orchestration::program", program))
            self.started.add(instance_id)
        if dice.random() < 0.3:
            await asyncio.sleep(dice.choice((0.1, 20.0)) * dice.random())
            for _ in range(dice.choice((1, 1, 3))):
                await _patiently(lambda: client.cancel_instance(instance_id, "enough"))
        if dice.random() < 0.5:
            self.waiting.add(instance_id)
            await _patiently(lambda: client.wait_for_orchestration(instance_id))
            self.waiting.discard(instance_id)


async def _patiently(call: object) -> None:
    """Do what a client does while the database is away: call again."""
    while True:
        try:
            await call()  # type: ignore[operator]
            return
        except errors.DatabaseUnavailableError:
            await asyncio.sleep(0.3)

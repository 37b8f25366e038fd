"""A world for one seed: its time, its weather, its processes, what they did, and the verdict.

It brings the parts together and decides nothing that chance or the engine decide. The same seed gives the same trace,
line by line: all chance comes from dice that the seed makes, all order from one loop, all answers from one database.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import datetime
import hashlib
import random
import uuid
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any
from unittest import mock

import structlog

from perdure._core import limits
from perdure._core.definition import OrchestrationRegistry
from tests.simulation import programs, story
from tests.simulation.checks import Checks, Violation
from tests.simulation.database import BEGIN, Database, Outcome
from tests.simulation.ledger import Ledger
from tests.simulation.link import Link, Request, Rewrites
from tests.simulation.loop import ACTOR, Actor, Standstill, VirtualLoop
from tests.simulation.weather import Fate, Kind, Strike, Weather

__all__ = ["Options", "Violation", "World", "play"]

_TRANSACTION_SECONDS = 15.0  # how long the server bears a client that stands still in a transaction


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """How a seed is played: how often the tables are looked at, what is changed on the way, who is told of each step.

    `rewrites` changes statements on their way to the database, `mutation` whatever else for the time of the play.
    """

    check_every: int = 10
    rewrites: Rewrites = dataclasses.field(default_factory=dict)
    mutation: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    watch: Callable[[str], None] | None = None


class World:
    """Everything there is for one seed."""

    def __init__(self, database: Database, seed: int, options: Options) -> None:
        """Make it, empty."""
        self.seed = seed
        self.options = options
        self.database = database
        self.loop = VirtualLoop.begin()
        self.dice = random.Random(f"{seed} world")
        self.weather = Weather(random.Random(f"{seed} weather"))
        self.checks = Checks(self, every=options.check_every)
        self.ledger = Ledger()
        self.orchestrations: OrchestrationRegistry = programs.orchestrations()
        self.actors: list[Actor] = []
        self.links: list[Link] = []
        self._away_until = 0.0
        self.calm_since = BEGIN
        self.is_over = False
        self.has_overlapped = False
        self.met: set[tuple[str, str]] = set()
        self.steps = 0
        self._context = contextvars.copy_context()
        self._trace = hashlib.sha256()

    # Time.

    def now(self) -> datetime.datetime:
        """Give the database's time."""
        return BEGIN + datetime.timedelta(seconds=self.loop.now)

    def later(self, seconds: float, callback: Callable[..., object], *arguments: object) -> None:
        """Let something happen that belongs to no process."""
        self._context.run(self.loop.call_later, seconds, callback, *arguments)

    # What is seen.

    @property
    def digest(self) -> str:
        """A number for all that happened, in its order."""
        return self._trace.hexdigest()

    def note(self, actor: Actor | None, what: str, fate: Fate | None = None) -> None:
        """Write a line of the trace."""
        self.steps += 1
        line = f"{self.loop.now:10.4f}  {actor.name if actor else 'world':9} {what}"
        if fate is not None:
            self.met.update((what, part) for part in fate.parts)
        if fate is not None and (fate.kind is not Kind.FINE or fate.strike):
            line += f"  [{fate.kind.value}{f' ({fate.seconds:.3f} s)' if fate.kind in _LONG else ''}]"
            line += f"  [{fate.strike}]" if fate.strike else ""
        self._trace.update(line.encode())
        if self.options.watch is not None:
            self.options.watch(line)

    def violated(self, what: str) -> None:
        """Stop the world: an invariant does not hold."""
        self.note(None, f"VIOLATION {what}")
        if self.loop.fault is None:
            self.loop.fault = Violation(what)

    # What happens.

    def join(self, actor: Actor) -> Link:
        """Connect a process with the world."""
        self.actors.append(actor)
        self.links.append(Link(self, actor, self.options.rewrites))
        return self.links[-1]

    def executed(self, request: Request, outcome: Outcome) -> None:
        """A statement was done and committed."""
        if outcome.error is not None:
            self.note(request.wire.link.actor, f"{request.name}: {type(outcome.error).__name__}: {outcome.error}")
        self.checks.tables()

    def broadcast(self, channel: str) -> None:
        """Tell everybody who listens to a channel, as far as the weather lets it through."""
        for link in self.links:
            for wire in link.wires:
                for listened, callback in wire.listeners:
                    if listened == channel:
                        for seconds in self.weather.notifications():
                            link.actor.context.copy().run(self.loop.call_later, seconds, callback)

    def strike(self, actor: Actor, strike: Strike) -> None:
        """Kill a process, or freeze it for a while; what was drawn in the storm does not strike in the calm."""
        if self.weather.is_calm or not actor.is_running:
            return
        if strike.freezes is None:
            if actor.is_mortal:
                self.kill(actor)
            return
        self.note(actor, f"is frozen for {strike.freezes:.1f} s")
        self.loop.freeze(actor)
        self.later(strike.freezes, self._thaw, actor, strike.freezes if strike.clock_stops else 0.0)
        if strike.freezes > _TRANSACTION_SECONDS:
            self.later(_TRANSACTION_SECONDS, self._end_transactions, actor)

    def kill(self, actor: Actor) -> None:
        """End a process as SIGKILL does; its connections break."""
        if actor.is_dead:
            return
        self.note(actor, "is killed")
        self.loop.kill(actor)
        for link in self.links:
            if link.actor is actor:
                link.break_all()

    def go_away(self, seconds: float) -> None:
        """Take the database away for a while: every connection breaks, none can be made."""
        self.note(None, f"the database is away for {seconds:.1f} s")
        self._away_until = max(self._away_until, self.loop.now + seconds)
        for link in self.links:
            link.break_all()

    def grow_calm(self) -> None:
        """End the storm: nothing new goes wrong, the database is there, whoever was frozen goes on."""
        self.note(None, "calm")
        self.weather.is_calm = True
        self.calm_since = self.now()
        self._away_until = 0.0
        for actor in self.actors:
            if actor.is_frozen:
                self._thaw(actor, 0.0)

    @property
    def is_away(self) -> bool:
        """Whether the database cannot be reached."""
        return self.loop.now < self._away_until

    def _thaw(self, actor: Actor, lag: float) -> None:
        if actor.is_frozen and not actor.is_dead:
            self.note(actor, "goes on")
            self.loop.thaw(actor, lag=lag)

    def _end_transactions(self, actor: Actor) -> None:
        for link in self.links:
            for wire in list(link.wires):
                if link.actor is actor and actor.is_frozen and wire.lane is not None:
                    wire.terminate()

    # From the first moment to the last.

    def play(self) -> None:
        """Let it happen. Raises `Violation` with the seed in it."""
        self.database.reset()
        try:
            with _seeded(self.seed), self._logs(), self.options.mutation():
                try:
                    self.loop.run(story.perform(self))
                except Standstill as error:
                    raise Violation(f"liveness: {error}") from error
                finally:
                    self._end()
        except Violation as error:
            error.add_note(f"Repeat it with: make simulate SEED={self.seed}")
            raise

    def _end(self) -> None:
        """Put everything away in good order, after the verdict."""
        self.is_over = True
        self.loop.fault = None
        for link in self.links:
            link.break_all()
        for actor in self.actors:
            self.loop.bury(actor)
        self.loop.run(_until_done([task for actor in self.actors for task in actor.tasks]))

    @contextlib.contextmanager
    def _logs(self) -> Iterator[None]:
        """Let what the engine logs be part of the trace."""

        def keep(_: object, level: str, fields: MutableMapping[str, Any]) -> str:
            if not self.is_over:
                event = fields.pop("event", "")
                self.note(ACTOR.get(), f"log {level}: {event} {' '.join(f'{k}={v}' for k, v in fields.items())}")
            raise structlog.DropEvent

        processors = structlog.get_config()["processors"]
        before = list(processors)
        processors[:] = [keep]
        try:
            yield
        finally:
            processors[:] = before


def play(database: Database, seed: int, options: Options | None = None) -> World:
    """Play one seed; give the world as it was at its end. Raises `Violation`."""
    world = World(database, seed, options or Options())
    world.play()
    return world


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let chance that the engine uses itself (jitter, ids of workers) come from the seed, and two of its limits.

    These are how many signals somebody takes, and how many turns make a batch: so few that the next is often full.
    """
    state, ids = random.getstate(), random.Random(f"{seed} ids")
    room = random.Random(f"{seed} room").choice((1, limits.UNCONSUMED_SIGNALS, limits.UNCONSUMED_SIGNALS))
    batch = random.Random(f"{seed} batch").choice((1, 3, limits.TURNS_PER_COMMIT))

    def drawn() -> uuid.UUID:
        return uuid.UUID(int=ids.getrandbits(128), version=4)

    random.seed(seed)
    try:
        with (
            mock.patch.object(uuid, "uuid4", drawn),
            mock.patch.multiple(limits, UNCONSUMED_SIGNALS=room, TURNS_PER_COMMIT=batch),
        ):
            yield
    finally:
        random.setstate(state)


async def _until_done(tasks: Sequence[asyncio.Task[object]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


_LONG = (Kind.LATE, Kind.HELD)

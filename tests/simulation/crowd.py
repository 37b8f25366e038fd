"""The clients of a world: they start instances, send them signals, cancel, pause and end them, and wait for some.

They do what people's programs do: ask again while the database is away, with the same id and the same dedupe key. What
they have asked for, and when they were told that it is there, is kept for the checks.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from perdure import errors
from perdure.client import Client
from tests.simulation import programs
from tests.simulation.ledger import Letter
from tests.simulation.link import SimulatedStore
from tests.simulation.loop import Actor

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Crowd"]

T = TypeVar("T")


class Crowd:
    """One process with many who ask."""

    def __init__(self, world: World) -> None:
        """Have asked for nothing yet."""
        self._world = world
        self._actor = Actor("client", is_mortal=False)
        self._client = Client(SimulatedStore(world.join(self._actor)))
        self._busy: list[asyncio.Task[object]] = []
        self._letters = itertools.count(1)
        self.started: set[str] = set()
        self.waiting: set[str] = set()

    @property
    def is_content(self) -> bool:
        """Whether all have got what they asked for."""
        return all(task.done() for task in self._busy)

    def gather(self) -> None:
        """Begin to ask."""
        world = self._world
        if world.dice.random() < 0.5:
            most, rate = world.dice.choice((1, 2, None)), world.dice.choice((0.5, 5.0, None))
            self._do(_patiently(lambda: self._client.set_queue_limits("narrow", max_running=most, per_second=rate)))
        for number in range(world.dice.randint(2, 10)):
            program = programs.draw(world.dice)
            rounds = world.dice.choice((1, 1, 1, 3))
            world.note(self._actor, f"will start i{number}, {rounds} rounds of {program}")
            dice = random.Random(f"{world.seed} i{number}")
            self._do(self._story(f"i{number}", {"rounds": rounds, "program": program}, dice))

    def help(self, unfinished: Mapping[str, bool]) -> None:
        """Give those that have not ended what they may be waiting for; whether they are suspended says the value."""
        for instance_id, is_suspended in unfinished.items():
            if is_suspended:
                self._do(self._resume(instance_id))
            for name in programs.SIGNALS:
                self._do(self._send(instance_id, name, times=1))

    def _do(self, work: Awaitable[object]) -> None:
        async def doing() -> object:
            return await work

        task = self._actor.start(self._world.loop, doing())
        self._busy.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        if not self._world.is_over and (task.cancelled() or task.exception()):
            error = None if task.cancelled() else task.exception()
            self._world.violated(f"clients get answers: {error!r}")

    async def _story(self, instance_id: str, input: object, dice: random.Random) -> None:
        client = self._client
        await asyncio.sleep(dice.choice((0.0, 10.0)) * dice.random())
        for _ in range(dice.choice((1, 1, 2))):
            await _patiently(lambda: client.start_orchestration(instance_id, programs.NAME, input))
            self.started.add(instance_id)
        if dice.random() < 0.5:
            self._do(self._wait(instance_id))
        for _ in range(dice.choice((0, 1, 3))):
            await asyncio.sleep(dice.choice((0.1, 20.0)) * dice.random())
            match dice.choice(("signal", "signal", "signal", "cancel", "pause", "end")):
                case "signal":
                    await self._send(instance_id, dice.choice(programs.SIGNALS), times=dice.choice((1, 1, 3)))
                case "cancel":
                    for _ in range(dice.choice((1, 1, 3))):
                        await _patiently(lambda: client.cancel_instance(instance_id, "enough"))
                case "pause":
                    await self._pause(instance_id)
                    await asyncio.sleep(dice.choice((0.1, 20.0)) * dice.random())
                    await self._resume(instance_id)
                case _ if dice.random() < 0.3:
                    await _patiently(lambda: client.terminate_instance(instance_id, "at once"))
                case _:
                    pass

    async def _wait(self, instance_id: str) -> None:
        self.waiting.add(instance_id)
        info = await _patiently(lambda: self._client.wait_for_orchestration(instance_id))
        if not info.is_finished:
            self._world.violated(f"who waited for the end gets the end: {info}")
        self.waiting.discard(instance_id)

    async def _send(self, instance_id: str, name: str, *, times: int) -> None:
        """Send a signal, perhaps several times under one key."""
        letter = Letter(instance_id, name, next(self._letters))
        self._world.ledger.letters.append(letter)
        for _ in range(times):
            fate = await _patiently(
                lambda: self._client.send_signal(instance_id, name, letter.text, dedupe_key=f"key {letter.number}")
            )
            if fate == "Sent" and letter.told_at is None:
                letter.told_at = self._world.now()

    async def _pause(self, instance_id: str) -> None:
        try:
            await _patiently(lambda: self._client.suspend_instance(instance_id, "a break"))
        except errors.InstanceFinishedError:
            return

    async def _resume(self, instance_id: str) -> None:
        try:
            await _patiently(lambda: self._client.resume_instance(instance_id))
        except errors.InstanceFinishedError:
            return


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Do what a client does while the database is away: call again."""
    while True:
        try:
            return await call()
        except errors.DatabaseUnavailableError:
            await asyncio.sleep(0.3)

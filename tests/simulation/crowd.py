"""The clients of a world: they start instances, signal, cancel, pause, end and remove them, and wait for some.

They do what people's programs do: ask again while the database is away, with the same id and the same dedupe key. What
they have asked for, and when they were told that it is there, is kept for the checks.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
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
        self._do("narrow", self._begin())

    async def _begin(self) -> None:
        """Limit a queue before anything is in it, and let the stories begin."""
        dice = self._world.dice
        if dice.random() < 0.5:
            most, rate = dice.choice((1, 2, None)), dice.choice((0.5, 5.0, None))
            await _patiently(lambda: self._client.set_queue_limits("narrow", max_running=most, per_second=rate))
        for number in range(dice.randint(2, 10)):
            self._do(f"i{number}", self._story(f"i{number}", random.Random(f"{self._world.seed} i{number}")))

    def help(self, unfinished: Mapping[str, bool]) -> None:
        """Give those that have not ended what they may be waiting for; whether they are suspended says the value."""
        for instance_id, is_suspended in unfinished.items():
            if is_suspended:
                self._do(instance_id, self._resume(instance_id))
            for name in programs.SIGNALS:
                self._do(instance_id, self._send(instance_id, name, times=1))

    def _do(self, about: str, work: Coroutine[object, object, object]) -> None:
        task = self._actor.start(self._world.loop, work)
        self._busy.append(task)
        task.add_done_callback(functools.partial(self._ended, about))

    def _ended(self, about: str, task: asyncio.Task[object]) -> None:
        if self._world.is_over or not (task.cancelled() or task.exception()):
            return
        error = None if task.cancelled() else task.exception()
        was_removed = self._world.ledger.was_removed(about)
        if not (was_removed and isinstance(error, errors.InstanceNotFoundError | errors.InstanceConflictError)):
            self._world.violated(f"clients get answers: {about}: {error!r}")

    async def _story(self, instance_id: str, dice: random.Random) -> None:
        await asyncio.sleep(dice.choice((0.0, 10.0)) * dice.random())
        await self._start(instance_id, dice)
        if dice.random() < 0.5:
            self._do(instance_id, self._wait(instance_id))
        for _ in range(dice.choice((0, 1, 3))):
            await asyncio.sleep(dice.choice((0.1, 20.0)) * dice.random())
            await dice.choice(self._deeds)(instance_id, dice)

    # What one may do to an instance.

    @property
    def _deeds(self) -> Sequence[Callable[[str, random.Random], Awaitable[None]]]:
        return (
            *(self._signal, self._signal, self._signal),
            *(self._cancel, self._pause, self._hasten, self._terminate, self._remove),
        )

    async def _start(self, instance_id: str, dice: random.Random) -> None:
        program = programs.draw(dice)
        rounds = dice.choice((1, 1, 1, 3))
        self._world.note(self._actor, f"starts {instance_id}, {rounds} rounds of {program}")
        input = {"rounds": rounds, "program": program}
        for _ in range(dice.choice((1, 1, 2))):
            await _patiently(lambda: self._client.start_orchestration(instance_id, programs.NAME, input))
            self.started.add(instance_id)

    async def _wait(self, instance_id: str) -> None:
        self.waiting.add(instance_id)
        try:
            info = await _patiently(lambda: self._client.wait_for_orchestration(instance_id))
        finally:
            self.waiting.discard(instance_id)
        if not info.is_finished:
            self._world.violated(f"who waited for the end gets the end: {info}")

    async def _signal(self, instance_id: str, dice: random.Random) -> None:
        await self._send(instance_id, dice.choice(programs.SIGNALS), times=dice.choice((1, 1, 3)))

    async def _cancel(self, instance_id: str, dice: random.Random) -> None:
        for _ in range(dice.choice((1, 1, 3))):
            await _patiently(lambda: self._client.cancel_instance(instance_id, "enough"))

    async def _pause(self, instance_id: str, dice: random.Random) -> None:
        try:
            await _patiently(lambda: self._client.suspend_instance(instance_id, "a break"))
        except errors.InstanceFinishedError:
            return
        await asyncio.sleep(dice.choice((0.1, 20.0)) * dice.random())
        await self._resume(instance_id)

    async def _hasten(self, instance_id: str, _: random.Random) -> None:
        await self._resume(instance_id)

    async def _resume(self, instance_id: str) -> None:
        try:
            await _patiently(lambda: self._client.resume_instance(instance_id))
        except errors.InstanceFinishedError:
            return

    async def _terminate(self, instance_id: str, dice: random.Random) -> None:
        if dice.random() < 0.3:
            await _patiently(lambda: self._client.terminate_instance(instance_id, "at once"))

    async def _remove(self, instance_id: str, dice: random.Random) -> None:
        """Remove an instance, perhaps while it runs, and start another under its id."""
        is_forced = dice.random() < 0.5
        self._world.ledger.removed.add(instance_id)
        self.started.discard(instance_id)
        try:
            await _patiently(lambda: self._client.delete_instance(instance_id, force=is_forced))
        except errors.InstanceNotRemovableError:
            return
        except errors.InstanceNotFoundError:
            pass  # removed by a try whose answer was lost
        self._world.ledger.forget_letters(instance_id)
        if dice.random() < 0.7:
            await self._start(instance_id, dice)

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


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Do what a client does while the database is away: call again."""
    while True:
        try:
            return await call()
        except errors.DatabaseUnavailableError:
            await asyncio.sleep(0.3)

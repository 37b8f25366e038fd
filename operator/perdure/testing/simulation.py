"""Simulations: what a test holds in its hand.

The door to the world (`perdure.testing.world`): it takes what a test gives, in the forms that are handy there, lets
time pass as the test says, and gives runs to look at. Every call works in `def test_` and in `async def test_` alike.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Self, TypeVar

import msgspec

from perdure import errors
from perdure._core import history, identifiers, payload, retry
from perdure._core.activity import KubernetesApi
from perdure._core.definition import OrchestrationDefinition
from perdure._core.secret import SecretRef
from perdure.testing import standins
from perdure.testing.attempts import Attempts, Outside
from perdure.testing.instance import Instance
from perdure.testing.run import Run
from perdure.testing.virtual import VirtualTimeLoop
from perdure.testing.world import World, signal_event

__all__ = ["BEGINS_AT", "Simulation", "simulate"]

I = TypeVar("I")  # noqa: E741 - I and O are read as input and output
O = TypeVar("O")  # noqa: E741 - see above

BEGINS_AT = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
"""When simulations begin, unless told otherwise: a Tuesday, at midnight."""


class Simulation:
    """Instances under test, and a clock that stands until it is told to go. Use it as a context manager, or close it.

    `activities` says what stands for the activities: definitions (a registry too) for the real ones, or a mapping of
    definitions or names to functions of (ctx, input), to values that are returned, to exceptions that are raised.
    `orchestrations` says the same for children and for detached ones. Real activities find `kubernetes` as
    `ctx.kubernetes`, and the values of `secrets` by `ctx.resolve_secret`.
    """

    def __init__(
        self,
        *,
        activities: standins.GivenActivities = (),
        orchestrations: standins.GivenOrchestrations = (),
        begins_at: datetime.datetime = BEGINS_AT,
        kubernetes: KubernetesApi | None = None,
        secrets: Mapping[SecretRef, str] | None = None,
    ) -> None:
        """Hold no instance yet."""
        loop = VirtualTimeLoop()
        attempts = Attempts(standins.Activities(activities), loop, outside=Outside(kubernetes, secrets))
        self._world = World(standins.to_registry(orchestrations), attempts, loop, begins_at=begins_at)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __del__(self) -> None:
        """Close what a failing test has left open."""
        if hasattr(self, "_world"):
            self._world.close(is_forgotten=True)

    def close(self) -> None:
        """Give up what is under way; its runs can still be looked at."""
        self._world.close()

    def start(
        self,
        orchestration: OrchestrationDefinition[I, O],
        input: I | None = None,
        *,
        instance_id: str = "test",
        signals: Sequence[tuple[str, object]] = (),
    ) -> Run[O]:
        """Start an instance, and let happen what can without time passing.

        Each of `signals`, a (name, payload), is sent once the code waits for that name, the first of a name first.
        """
        known, world = self._world.orchestrations, self._world
        world.refuse_if_closed()
        if not isinstance(orchestration, OrchestrationDefinition):
            raise errors.DefinitionError(
                f"{orchestration!r} is no orchestration; decorate it with @orchestration(name)."
            )
        identifiers.check_instance_id(instance_id)
        if instance_id in world.instances:
            raise errors.InstanceConflictError(f"The simulation has an instance {instance_id!r} already.")
        if known.find_or_none(orchestration.name, orchestration.version) is None:
            known.add(orchestration)
        data = msgspec.Raw(payload.encode(input, f"input of {orchestration.name}"))
        instance = Instance(instance_id, began=world.loop.time())
        instance.signals += signals
        world.begin(instance, orchestration, input=data)
        self._settle()
        return Run(instance, self)

    def find(self, instance_id: str) -> Run[object]:
        """Give the run of an instance, of a child or a detached one too. Raises `InstanceNotFoundError`."""
        return Run(self._world.find(instance_id), self)

    # Time.

    @property
    def elapsed(self) -> float:
        """How many seconds of virtual time have passed."""
        return self._world.elapsed

    def run(self) -> None:
        """Let time pass until nothing more can happen by itself: all have ended, or wait for signals."""
        self._world.drive()

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until the condition holds. Raises `SimulationError` when it never comes true."""
        self._world.drive(is_enough=condition)
        if not condition():
            standing = "; ".join(repr(Run(one, self)) for one in self._world.instances.values())
            raise errors.SimulationError(f"The condition never came true, and nothing more can happen: {standing}.")

    def run_to_end(self, run: Run[object]) -> None:
        """Let time pass until this run has ended, or nothing more can happen by itself."""
        self._world.drive(is_enough=lambda: run.phase != "Running")

    def advance(self, duration: retry.Duration) -> None:
        """Let time pass: what comes due within `duration` (seconds or timedelta) happens, in its order."""
        self._world.drive(until=self._world.loop.time() + retry.seconds(duration, "duration"))

    def _settle(self) -> None:
        self._world.drive(until=self._world.loop.time())

    # What comes from outside.

    def send_signal(self, instance_id: str, name: str, payload: object = None) -> None:
        """Send a signal, and let happen what can without time passing."""
        self._receive(instance_id, signal_event(name, payload))

    def cancel(self, instance_id: str, reason: str) -> None:
        """Cancel an instance, and let happen what can without time passing."""
        self._receive(instance_id, history.CancelRequested(reason))

    def _receive(self, instance_id: str, event: history.Event) -> None:
        self._world.refuse_if_closed()
        self._world.receive(self._world.find(instance_id), event)
        self._settle()


def simulate(
    orchestration: OrchestrationDefinition[I, O],
    input: I | None = None,
    *,
    activities: standins.GivenActivities = (),
    orchestrations: standins.GivenOrchestrations = (),
    signals: Sequence[tuple[str, object]] = (),
    begins_at: datetime.datetime = BEGINS_AT,
) -> Run[O]:
    """Run an orchestration in virtual time until it has ended, or waits for a signal that is not given.

    `activities`, `orchestrations` and `begins_at` are those of `Simulation`, `signals` those of `Simulation.start`.
    """
    with Simulation(activities=activities, orchestrations=orchestrations, begins_at=begins_at) as simulation:
        run = simulation.start(orchestration, input, signals=signals)
        simulation.run_to_end(run)
        return run

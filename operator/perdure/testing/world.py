"""The world of a simulation: its instances, its clock, and whatever turns ask for.

Theory of operation. Everything happens on one loop of virtual time. An event that comes in makes its instance due; a
due instance takes a turn when all that came in the same moment is there. What a turn asks for is carried out after it:
activities begin, timers are set, children start, signals reach their instances. So a run takes the way it takes on
workers, one turn after the other and nothing in between. It stands in for no database and no worker: queues, slots,
leases and lost workers are the engine's, and tested there.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import math
from collections.abc import Callable
from typing import NoReturn

import msgspec

from perdure import errors
from perdure._core import failure, history, identifiers, lifecycle, limits, payload
from perdure._core.activity import ActivityInfo
from perdure._core.definition import AnyOrchestration, OrchestrationRegistry
from perdure._core.replay import Turned
from perdure.testing.attempts import Attempts, note_end, to_call
from perdure.testing.instance import Instance, Parent
from perdure.testing.run import ActivityCall
from perdure.testing.virtual import VirtualTimeLoop

__all__ = ["World", "signal_event"]

Asked = history.ScheduleActivity | history.CreateTimer | history.ScheduleSubOrchestration
GivenUp = history.CancelActivity | history.CancelTimer | history.CancelSubOrchestration


class World:
    """All instances of a simulation."""

    def __init__(
        self,
        orchestrations: OrchestrationRegistry,
        attempts: Attempts,
        loop: VirtualTimeLoop,
        *,
        begins_at: datetime.datetime,
    ) -> None:
        """Hold no instance yet."""
        self.instances: dict[str, Instance] = {}
        self.orchestrations = orchestrations
        self.loop = loop
        self._attempts = attempts
        self._begins_at = begins_at
        self._due: set[str] = set()
        self._turns = 0
        self._is_closing = False
        self._error: BaseException | None = None

    # Time.

    @property
    def elapsed(self) -> float:
        """How many seconds have passed."""
        return round(self.loop.time(), 6)

    def drive(self, *, until: float = math.inf, is_enough: Callable[[], bool] | None = None) -> None:
        """Let happen what can; raise what is the test's."""
        self.refuse_if_closed()
        self.loop.drive(until=until, is_enough=is_enough)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def refuse_if_closed(self) -> None:
        """Raise `SimulationError` once it is closed."""
        if self.loop.is_closed():
            raise errors.SimulationError("The simulation is closed; nothing more can happen in it.")

    def close(self, *, is_forgotten: bool = False) -> None:
        """Put all coroutines away, and end what is under way; activities that are forgotten may not clean up."""
        if self.loop.is_closed() or self.loop.is_running():
            return
        self._is_closing = True
        for instance in self.instances.values():
            instance.close()
        if not is_forgotten:
            self.loop.drive(until=self.loop.time())
        self.loop.close()

    def _at(self, when: float, action: Callable[[], object]) -> asyncio.TimerHandle:
        return self.loop.call_at(when, self._guarded, action)

    def _guarded(self, action: Callable[[], object]) -> None:
        """Do something on the loop; whatever it raises is raised again where the test waits."""
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - it is the test's, whatever it is
            self._error = self._error or error
            self.loop.stop()

    # Instances.

    def find(self, instance_id: str) -> Instance:
        """Give an instance. Raises `InstanceNotFoundError`."""
        if instance_id not in self.instances:
            known = ", ".join(self.instances) or "none"
            raise errors.InstanceNotFoundError(f"The simulation has no instance {instance_id!r}. There is: {known}.")
        return self.instances[instance_id]

    def begin(self, instance: Instance, definition: AnyOrchestration, *, input: msgspec.Raw) -> None:
        """Begin an instance whose id is free."""
        self.instances[instance.instance_id] = instance
        instance.begin(definition, input)
        self._make_due(instance)

    def receive(self, instance: Instance, event: history.Event, *, execution: int | None = None) -> None:
        """Let an event come in; one for another execution, or for an instance that has ended, is dropped."""
        if instance.outcome is not None or execution not in {None, instance.number}:
            return
        instance.inbox.append(event)
        self._make_due(instance)

    def _make_due(self, instance: Instance) -> None:
        if instance.instance_id not in self._due:
            self._due.add(instance.instance_id)
            self.loop.call_soon(self._guarded, functools.partial(self._take_turn, instance))

    def _take_turn(self, instance: Instance) -> None:
        self._due.discard(instance.instance_id)
        self._turns += 1
        if self._turns > limits.SIMULATED_TURNS:
            raise errors.SimulationError(
                f"The simulation has taken {limits.SIMULATED_TURNS} turns and would go on. An orchestration that runs "
                "for ever is tested step by step: Simulation.advance(seconds) or Simulation.run_until(condition)."
            )
        is_cancel = any(isinstance(event, history.CancelRequested) for event in instance.inbox)
        turned = instance.take_turn(self._begins_at + datetime.timedelta(seconds=self.loop.time()))
        instance.elapsed = round(self.loop.time() - instance.began, 6)
        self._carry_out(instance, turned)
        if turned.outcome is not None:
            self._end(instance, turned.outcome)
        elif is_cancel and instance.grace is None:
            ended = functools.partial(self.receive, instance, history.GraceEnded())
            instance.grace = self._at(self.loop.time() + limits.CANCEL_GRACE_SECONDS, ended)
        self._send_scripted(instance)

    def _end(self, instance: Instance, outcome: history.Outcome) -> None:
        instance.stop()
        if isinstance(outcome, history.ContinueAsNew):
            for_all = history.SignalReceived | history.CancelRequested
            late = [event for event in instance.inbox if isinstance(event, for_all)]
            definition = self._definition(instance.definition.name, outcome.version)
            instance.begin(definition, outcome.input, carried=[*outcome.carried, *late])
            self._make_due(instance)
            return
        if instance.grace is not None:
            instance.grace.cancel()
        if (parent := instance.parent) is not None:
            self.receive(parent.instance, _end_of_child(parent.seq, outcome), execution=parent.execution)

    def _send_scripted(self, instance: Instance) -> None:
        """Send the first of the signals that were given beforehand, once the code waits for it."""
        waits = instance.waits
        for number, (name, value) in enumerate(instance.signals):
            if name in waits:
                del instance.signals[number]
                self.receive(instance, signal_event(name, value))
                return

    # What a turn asks for.

    def _carry_out(self, instance: Instance, turned: Turned) -> None:
        dropped = {command.seq for command in turned.commands if isinstance(command, GivenUp)}
        for command in turned.commands:
            match command:
                case history.ScheduleActivity() | history.CreateTimer() | history.ScheduleSubOrchestration():
                    if command.seq not in dropped and turned.outcome is None:
                        self._ask(instance, command)
                case history.CancelActivity() | history.CancelTimer() | history.CancelSubOrchestration():
                    self._give_up(instance, command, turned.outcome)
                case history.StartOrchestration():
                    self._start_detached(command)
                case history.SendSignal():
                    if (other := self.instances.get(command.instance_id)) is not None:
                        self.receive(other, history.SignalReceived(command.name, command.payload))
                case _:
                    pass  # it stands in the history of the instance

    def _ask(self, instance: Instance, command: Asked) -> None:
        match command:
            case history.ScheduleActivity():
                call = to_call(command, execution=instance.number, began=self.loop.time())
                instance.calls.append(call)
                instance.works[command.seq] = self.loop.create_task(self._perform(instance, command, call))
            case history.CreateTimer(seq=seq, fire_at=fire_at):
                event, execution = history.TimerFired(seq), instance.number
                fired = functools.partial(self.receive, instance, event, execution=execution)
                instance.timers[seq] = self._at((fire_at - self._begins_at).total_seconds(), fired)
            case history.ScheduleSubOrchestration():
                self._start_child(instance, command)

    def _give_up(self, instance: Instance, command: GivenUp, outcome: history.Outcome | None) -> None:
        match command:
            case history.CancelActivity(seq=seq):
                if work := instance.works.pop(seq, None):
                    work.cancel()
            case history.CancelTimer(seq=seq):
                if timer := instance.timers.pop(seq, None):
                    timer.cancel()
            case history.CancelSubOrchestration(seq=seq, instance_id=child_id):
                child = self.instances.get(child_id)
                if child is not None and child.parent == Parent(instance, instance.number, seq):
                    self.receive(child, history.CancelRequested(_why(outcome)))

    async def _perform(self, instance: Instance, command: history.ScheduleActivity, call: ActivityCall) -> None:
        info = ActivityInfo(
            instance_id=instance.instance_id,
            orchestration=instance.definition.name,
            execution=instance.number,
            activity=command.name,
            seq=command.seq,
            attempt=1,
        )
        try:
            event = await self._attempts.perform(command, call, info=info)
        except (asyncio.CancelledError, GeneratorExit):
            if not self._is_closing:
                call.state, call.ended = "Cancelled", self.elapsed
            raise
        except BaseException as error:  # noqa: BLE001 - an assertion of the test, or what it forgot to give
            self._guarded(functools.partial(_raise, error))
            return
        note_end(call, event, ended=self.elapsed)
        self.receive(instance, event, execution=call.execution)

    def _start_child(self, instance: Instance, command: history.ScheduleSubOrchestration) -> None:
        definition = self._definition(command.name, command.version)
        if command.instance_id in self.instances:
            message = f"The id {command.instance_id!r} belongs to an instance that was not started by this call."
            taken = failure.of(errors.InstanceConflictError(message))
            self.receive(instance, history.ChildFailed(command.seq, taken), execution=instance.number)
            return
        parent = Parent(instance, instance.number, command.seq)
        child = Instance(command.instance_id, began=self.loop.time(), parent=parent)
        instance.children.append(child)
        self.begin(child, definition, input=command.input)

    def _start_detached(self, command: history.StartOrchestration) -> None:
        """Start one that goes its own way, if it is known and its id is free; else the run has only said so."""
        if command.name in self.orchestrations.names() and command.instance_id not in self.instances:
            definition = self._definition(command.name, command.version)
            instance = Instance(command.instance_id, began=self.loop.time())
            self.begin(instance, definition, input=command.input)

    def _definition(self, name: str, version: str) -> AnyOrchestration:
        known = self.orchestrations
        found = known.find_or_none(name, version) if version else known.latest_or_none(name)
        if found is None:
            given = ", ".join(f"{one.name} {one.version}" for one in known) or "none"
            wanted = f"version {version}" if version else "any version"
            raise errors.SimulationError(
                f"The orchestration asked for {name} in {wanted}, and nothing stands for it. Given: "
                f"{given}. Name it: orchestrations={{{name!r}: lambda ctx, input: ...}}."
            )
        return found


def signal_event(name: str, value: object) -> history.SignalReceived:
    """Say that somebody sent a signal."""
    identifiers.check_signal_name(name)
    return history.SignalReceived(name, msgspec.Raw(payload.encode(value, f"payload of signal {name}")))


def _end_of_child(seq: int, outcome: history.Outcome) -> history.Event:
    if isinstance(outcome, history.CompleteOrchestration):
        return history.ChildCompleted(seq, outcome.output)
    return history.ChildFailed(seq, lifecycle.failure_of(outcome))


def _why(outcome: history.Outcome | None) -> str:
    """Say to a child why it is to end, as workers do."""
    match outcome:
        case None:
            return "The parent no longer waits for it."
        case history.ContinueAsNew():
            return "The parent continued as new."
        case _:
            return "The parent has ended."


def _raise(error: BaseException) -> NoReturn:
    raise error

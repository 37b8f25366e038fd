"""What a test sees of a simulated instance: how it stands, what it gave, and everything it did on the way.

A `Run` is a view, so it may be kept while the simulation goes on. Asking for the output of a run that gave none is an
error that says why, with the tracebacks of the author's code.
"""

from __future__ import annotations

import dataclasses
import json
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

import msgspec

from perdure import errors
from perdure._core import export, failure, history, lifecycle, payload, projection
from perdure._core.history import Command, Turn
from perdure._core.payload import JsonValue
from perdure._core.replay import Trace

if TYPE_CHECKING:
    from perdure.testing.instance import Instance
    from perdure.testing.simulation import Simulation

__all__ = ["ActivityCall", "Run", "Sent", "Started"]

O = TypeVar("O", covariant=True)  # noqa: E741 - the output of an orchestration, as everywhere


@dataclasses.dataclass(slots=True)
class ActivityCall:
    """One activity that an orchestration asked for, and what came of it.

    `attempts` counts those that were begun, `exceptions` has what each failed one raised. `began` and `ended` are
    seconds of virtual time since the simulation began. `traces` are the lines that the activity logged, `heartbeats`
    what its heartbeats said, as JSON text.
    """

    name: str
    input: JsonValue
    execution: int
    seq: int
    began: float
    state: Literal["Running", "Completed", "Failed", "Cancelled"] = "Running"
    attempts: int = 0
    result: JsonValue = None
    failure: failure.Failure | None = None
    exceptions: list[BaseException] = dataclasses.field(default_factory=list)
    ended: float | None = None
    traces: list[Trace] = dataclasses.field(default_factory=list)
    heartbeats: list[bytes] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """A detached orchestration that was started; an empty version is the highest."""

    instance_id: str
    name: str
    input: JsonValue
    version: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """A signal that was sent to another instance."""

    instance_id: str
    signal: str
    payload: JsonValue


class Run(Generic[O]):
    """One simulated instance."""

    def __init__(self, instance: Instance, simulation: Simulation) -> None:
        """Look at an instance of a simulation."""
        self._instance = instance
        self._simulation = simulation

    # What it came to.

    @property
    def instance_id(self) -> str:
        """Its id."""
        return self._instance.instance_id

    @property
    def phase(self) -> str:
        """Running, Completed, Failed or Cancelled, as in the status of a resource."""
        return lifecycle.phase_after(self._instance.outcome)

    @property
    def output(self) -> O:
        """What it returned, read as its annotation says. Raises `SimulationError` when it did not complete."""
        outcome = self._instance.outcome
        if not isinstance(outcome, history.CompleteOrchestration):
            raise self._incomplete() from self.exception
        return cast("O", payload.decoder(self._instance.definition.signature.output_type)(bytes(outcome.output)))

    @property
    def error(self) -> failure.Failure | None:
        """What it failed with, or why it was cancelled: code, type, message, attempts, activity; None for neither."""
        outcome = self._instance.outcome
        failed = isinstance(outcome, history.FailOrchestration | history.CancelOrchestration)
        return lifecycle.failure_of(outcome) if failed else None

    @property
    def exception(self) -> BaseException | None:
        """The exception that its code ended with, with its traceback; None while it has not, or without one."""
        return self._instance.exception

    @property
    def elapsed(self) -> float:
        """How many seconds of virtual time it took, or has taken so far."""
        return self._instance.elapsed

    # What it did.

    @property
    def activities(self) -> list[ActivityCall]:
        """Every activity it asked for, in order, of all executions."""
        return list(self._instance.calls)

    @property
    def children(self) -> list[Run[object]]:
        """Every child it started, in order; those whose id was taken are not among them."""
        return [Run(child, self._simulation) for child in self._instance.children]

    @property
    def started(self) -> list[Started]:
        """Every detached orchestration it asked for."""
        return [
            Started(command.instance_id, command.name, _json(command.input), command.version)
            for command in self._commands()
            if isinstance(command, history.StartOrchestration)
        ]

    @property
    def sent(self) -> list[Sent]:
        """Every signal it sent, in order."""
        return [
            Sent(command.instance_id, command.name, _json(command.payload))
            for command in self._commands()
            if isinstance(command, history.SendSignal)
        ]

    @property
    def traces(self) -> list[Trace]:
        """Every line it logged, as (level, message)."""
        return list(self._instance.traces)

    # What it shows.

    @property
    def progress(self) -> list[projection.Progress]:
        """What it showed of its progress, in order: done, total, message."""
        return [
            projection.Progress(command.done, command.total, command.message)
            for command in self._commands()
            if isinstance(command, history.SetProgress)
        ]

    @property
    def custom_status(self) -> JsonValue:
        """The custom status it shows now; None when it shows none."""
        shown = self._instance.projection.custom_status
        return None if shown is None else _json(shown)

    @property
    def is_ready(self) -> bool | None:
        """Whether it says that it is ready; None when it has not said."""
        said = self._instance.projection.readiness
        return None if said is None else said.ready

    @property
    def waits(self) -> list[str]:
        """The names of the signals it waits for, in the order of its waits."""
        return self._instance.waits

    @property
    def executions(self) -> int:
        """How many executions it has had: one, and one more each time it continued as new."""
        return self._instance.number

    @property
    def history(self) -> list[list[Turn]]:
        """Its turns, execution by execution, as a database would have them."""
        return [list(turns) for turns in self._instance.past] + [list(self._instance.turns)]

    def export(self, execution: int | None = None) -> bytes:
        """Give the history of an execution (the last, unless told which) as a file for `assert_replays`."""
        number = execution or self.executions
        turns = self.history[number - 1]
        started = turns[0].events[0] if turns else None
        if not isinstance(started, history.OrchestrationStarted):
            raise errors.SimulationError(f"{self.instance_id} has taken no turn in execution {number}.")
        exported = export.HistoryExport(
            instance_id=self.instance_id, name=started.name, version=started.version, execution=number, turns=turns
        )
        return export.encode(exported)

    # What a test does to it.

    def signal(self, name: str, payload: object = None) -> None:
        """Send it a signal, and let happen what can without time passing."""
        self._simulation.send_signal(self.instance_id, name, payload)

    def cancel(self, reason: str = "cancelled by the test") -> None:
        """Cancel it, and let happen what can without time passing."""
        self._simulation.cancel(self.instance_id, reason)

    def __repr__(self) -> str:
        """Say how it stands, for a failing assertion."""
        return f"<Run {self.instance_id} of {self._instance.definition.name}: {self._described()}>"

    def _commands(self) -> Sequence[Command]:
        return [command for turns in self.history for turn in turns for command in turn.commands]

    def _described(self) -> str:
        if (error := self.error) is not None:
            return f"{self.phase} with {error.type}: {error.message}"
        if self.phase != "Running":
            return self.phase
        running = [call.name for call in self.activities if call.state == "Running"]
        for_what = [*(f"signal {name}" for name in self.waits), *(f"activity {name}" for name in running)]
        return f"Running, waiting for {', '.join(for_what) or 'time to pass'}"

    def _incomplete(self) -> errors.SimulationError:
        """Say why there is no output, with the tracebacks of the activities that failed."""
        error = errors.SimulationError(f"{self.instance_id} has no output: it is {self._described()}.")
        for call in self.activities:
            if call.state == "Failed" and call.exceptions:
                told = "".join(traceback.format_exception(call.exceptions[-1]))
                error.add_note(f"activity {call.name} failed after {call.attempts} attempt(s):\n{told}")
        return error


def _json(data: msgspec.Raw) -> JsonValue:
    value: JsonValue = json.loads(bytes(data))
    return value

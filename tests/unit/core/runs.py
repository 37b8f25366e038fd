"""A run of an orchestration on the pure core, held in the hand of a test: events in, commands out.

After every turn the whole history, through its stored form, is replayed by a fresh execution: it must ask for the same
and wait for the same (I6). So every test of the core is a test of replay too.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence

import msgspec

from perdure import JsonValue
from perdure._core import failure, history, payload
from perdure._core.definition import AnyOrchestration
from perdure._core.replay import Execution, Identity, Trace

BEGIN = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
_executions: list[Execution] = []


class Run:
    """One execution and its history so far; a second passes with every turn."""

    def __init__(
        self, definition: AnyOrchestration, input: object = None, *, starts: bool = True, number: int = 1
    ) -> None:
        """Take the first turn, unless told not to; `number` is that of the execution."""
        self.definition = definition
        self.number = number
        self.execution = _created(definition, number)
        self.turns: list[history.Turn] = []
        self.traces: list[Trace] = []
        self.started = history.OrchestrationStarted(
            definition.name, definition.version, msgspec.Raw(payload.encode(input, "input")), history.PROTOCOL
        )
        if starts:
            self.turn(self.started)

    def turn(self, *events: history.Event) -> Sequence[history.Command]:
        """Take a turn; give what the code asks for."""
        at = BEGIN + datetime.timedelta(seconds=len(self.turns))
        turned = self.execution.advance(at, events)
        self.traces += turned.traces
        self.turns.append(history.decode_turn(at, history.encode_turn(list(events), turned.commands)))
        again = self.replayed()
        assert again.pending.keys() == self.execution.pending.keys()
        assert again.buffered_signals == self.execution.buffered_signals
        assert type(again.outcome) is type(self.execution.outcome)
        if isinstance(again.outcome, history.ContinueAsNew):
            assert again.outcome == self.execution.outcome
        again.close()
        return turned.commands

    def replayed(self, definition: AnyOrchestration | None = None) -> Execution:
        """Give a fresh execution that has replayed the history, with this or with other code."""
        execution = _created(definition or self.definition, self.number)
        for turn in self.turns:
            execution.replay(turn)
        return execution

    def next(self, definition: AnyOrchestration | None = None) -> Run:
        """Begin the execution that this one, which has ended so, continues as."""
        outcome = self.execution.outcome
        assert isinstance(outcome, history.ContinueAsNew), outcome
        run = Run(definition or self.definition, starts=False, number=self.number + 1)
        run.started = msgspec.structs.replace(run.started, input=outcome.input)
        run.turn(run.started, *outcome.carried)
        return run

    def crash(self) -> None:
        """Lose the coroutine, and rebuild it from history."""
        self.execution.close()
        self.execution = self.replayed()

    @property
    def open(self) -> list[int]:
        """The numbers of the operations that wait for a result."""
        return sorted(self.execution.pending)

    @property
    def commands(self) -> list[history.Command]:
        """All that was asked for so far."""
        return [command for turn in self.turns for command in turn.commands]

    @property
    def output(self) -> JsonValue:
        """What the run returned; only when it has."""
        assert isinstance(self.execution.outcome, history.CompleteOrchestration), self.execution.outcome
        value: JsonValue = json.loads(bytes(self.execution.outcome.output))
        return value

    @property
    def failure(self) -> failure.Failure:
        """What the run failed with; only when it has."""
        assert isinstance(self.execution.outcome, history.FailOrchestration), self.execution.outcome
        return self.execution.outcome.failure


def _created(definition: AnyOrchestration, number: int) -> Execution:
    execution = Execution(definition, Identity("run", number))
    _executions.append(execution)
    return execution


def close_all() -> None:
    """Put all coroutines away, as their owner does: the garbage collector would run their cleanup code."""
    for execution in _executions:
        execution.close()
    _executions.clear()


def completed(seq: int, value: object = None) -> history.ActivityCompleted:
    """Say that an activity returned."""
    return history.ActivityCompleted(seq, msgspec.Raw(payload.encode(value, "result")))


def failed(seq: int, message: str = "broken", *, type: str = "ValueError") -> history.ActivityFailed:
    """Say that an activity failed for good."""
    return history.ActivityFailed(
        seq, failure.Failure(code="PERDURE-1301", type=type, message=message, attempts=3, activity="step")
    )


def fired(seq: int) -> history.TimerFired:
    """Say that a timer came due."""
    return history.TimerFired(seq)


def signal(name: str, payload_: object = None) -> history.SignalReceived:
    """Say that somebody sent a signal."""
    return history.SignalReceived(name, msgspec.Raw(payload.encode(payload_, "payload")))


def child_completed(seq: int, value: object = None) -> history.ChildCompleted:
    """Say that a child returned."""
    return history.ChildCompleted(seq, msgspec.Raw(payload.encode(value, "result")))


def child_failed(seq: int, message: str = "broken", *, retryable: bool = True) -> history.ChildFailed:
    """Say that a child failed."""
    return history.ChildFailed(seq, failure.Failure("PERDURE-1200", "ValueError", message, retryable=retryable))

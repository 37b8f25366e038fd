"""One execution of one orchestration: events in, commands out.

Theory of operation. An `Execution` holds the coroutine of a running orchestration. `replay` feeds it a recorded turn
and compares what the code asks for with what was recorded; `advance` feeds it new events and gives what it asks for
now. Both are the same motion: set the turn's time, deliver the events in order, run until every task waits, collect the
commands. The engine decides when to call which; nothing here knows of databases, clocks or workers (sans I/O).

**Replaying a history with the code that wrote it yields the same commands (I6).** A difference raises
`NondeterminismError` before anything the new code asks for can have an effect.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, NamedTuple, assert_never, cast

import msgspec

from perdure import errors
from perdure._core import failure, futures, history, payload
from perdure._core.context import OrchestrationContext
from perdure._core.definition import AnyOrchestration

__all__ = ["Execution", "Identity", "Operation", "Trace", "Turned"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SHOWN_CHARACTERS: Final = 80
Asked = history.ScheduleActivity | history.CreateTimer


class Identity(NamedTuple):
    """Which run, and which life of it."""

    instance_id: str
    execution: int


class Trace(NamedTuple):
    """A line the code wanted in the log: level (info, warning, error) and text."""

    level: str
    message: str


class Turned(NamedTuple):
    """What a new turn brought: commands in the order asked, lines to log after the commit, the end if it is one."""

    commands: list[history.Command]
    traces: list[Trace]
    outcome: history.Outcome | None


class Operation(futures.DurableFuture[object]):
    """A leaf: something that the outside world works on, until an event ends it or the code gives it up."""

    __slots__ = ("asked_at", "command", "decode", "execution")

    def __init__(self, execution: Execution, command: Asked, decode: Callable[[bytes], object] | None) -> None:
        """Remember what was asked, when, and how its result is read."""
        super().__init__(execution.scheduler)
        self.execution = execution
        self.command = command
        self.asked_at = execution.now
        self.decode = decode

    def cancel(self) -> None:
        """Give it up: the outside world is told by a command."""
        if not self.done:
            self.execution.give_up(self)
        super().cancel()

    def complete(self, data: bytes) -> None:
        """Take a result; one that does not fit the awaited type is an error at the await."""
        try:
            value = self.decode(data) if self.decode else None
        except errors.PayloadError as error:
            self._reject(error)
        else:
            self._resolve(value)

    def fail(self, error: BaseException) -> None:
        """Take a failure."""
        self._reject(error)


class Execution:
    """The coroutine of one execution, and what it waits for (`pending`, by seq)."""

    def __init__(self, definition: AnyOrchestration, identity: Identity) -> None:
        """Stand before the first turn."""
        self.definition = definition
        self.identity = identity
        self.scheduler = futures.Scheduler()
        self.pending: dict[int, Operation] = {}
        self.now = _EPOCH
        self.is_replaying = False
        self.is_closed = False
        self.outcome: history.Outcome | None = None
        self._seq = 0
        self._main: futures.Task[object] | None = None
        self._cancel_reason: str | None = None
        self.cancelled_at: datetime.datetime | None = None
        self._commands: list[history.Command] = []
        self._traces: list[Trace] = []

    # What the engine calls.

    def replay(self, turn: history.Turn) -> None:
        """Take a recorded turn again. Raises `NondeterminismError` when the code asks for something else now."""
        self.is_replaying = True
        self._turn(turn.at, turn.events)
        actual, self._commands = self._commands, []
        self._traces.clear()
        self.is_replaying = False
        _compare(turn.commands, actual)
        for command in turn.commands:
            # What was recorded stands: the fire time of a timer, the retry policy of an activity.
            if isinstance(command, Asked) and (operation := self.pending.get(command.seq)):
                operation.command = command

    def advance(self, at: datetime.datetime, events: Sequence[history.Event]) -> Turned:
        """Take a new turn at the database's time `at`; give what the code asks for."""
        self._turn(at, events)
        turned = Turned(self._commands, self._traces, self.outcome)
        self._commands, self._traces = [], []
        return turned

    @property
    def is_cancelling(self) -> bool:
        """Whether a cancel has been taken in and the code may still be compensating."""
        return self.cancelled_at is not None

    def close(self) -> None:
        """Put the coroutine away; the instance lives on in its history."""
        self.is_closed = True
        self.scheduler.close()
        self.pending.clear()

    # What the context calls.

    def next_seq(self) -> int:
        """Number the next operation."""
        self._seq += 1
        return self._seq

    def ask(self, command: Asked, decode: Callable[[bytes], object] | None) -> Operation:
        """Record a command whose result will come; give its future."""
        operation = Operation(self, command, decode)
        self.pending[command.seq] = operation
        self._commands.append(command)
        return operation

    def say(self, command: history.SetCustomStatus | history.SetProgress) -> None:
        """Record a command that has no result."""
        self._commands.append(command)

    def give_up(self, operation: Operation) -> None:
        """Record that nobody waits for this operation any more."""
        seq = operation.command.seq
        del self.pending[seq]
        if isinstance(operation.command, history.ScheduleActivity):
            self._commands.append(history.CancelActivity(seq))
        else:
            self._commands.append(history.CancelTimer(seq))

    def trace(self, level: str, message: str) -> None:
        """Keep a line for the log, unless this line was logged in an earlier life."""
        if not self.is_replaying:
            self._traces.append(Trace(level, message))

    # The motion.

    def _turn(self, at: datetime.datetime, events: Sequence[history.Event]) -> None:
        if self.outcome is not None:
            return
        self.now = at
        for event in events:
            self._deliver(event)
        if self.outcome is None:
            self.scheduler.run()
            if self.scheduler.fault is not None or self._has_ended():
                self._end(self._outcome())

    def _deliver(self, event: history.Event) -> None:
        match event:
            case history.OrchestrationStarted():
                self._start(bytes(event.input))
            case history.ActivityCompleted():
                if operation := self._take(event.seq, history.ScheduleActivity):
                    operation.complete(bytes(event.result))
            case history.ActivityFailed():
                if operation := self._take(event.seq, history.ScheduleActivity):
                    operation.fail(failure.to_exception(event.failure))
            case history.TimerFired():
                if operation := self._take(event.seq, history.CreateTimer):
                    operation.complete(b"null")
            case history.CancelRequested():
                if self._cancel_reason is None:
                    self._cancel_reason, self.cancelled_at = event.reason, self.now
                    self.scheduler.cancel_all(event.reason)
            case history.GraceEnded():
                self._end(history.CancelOrchestration(self._cancel_reason or "", _grace_failure()))
            case _:
                assert_never(event)

    def _start(self, data: bytes) -> None:
        signature = self.definition.signature
        context = OrchestrationContext(self)
        try:
            arguments = [payload.decoder(signature.input_type)(data)] if signature.takes_input else []
        except errors.PayloadError as error:
            self._end(history.FailOrchestration(failure.of(error)))
            return
        coroutine = cast("Coroutine[object, object, object]", self.definition.function(context, *arguments))
        self._main = self.scheduler.spawn(coroutine)

    def _take(self, seq: int, kind: type[Asked]) -> Operation | None:
        """Give the open operation an event belongs to; None for one that is over already (late, duplicate)."""
        operation = self.pending.get(seq)
        if operation is None:
            if seq > self._seq:
                raise errors.NondeterminismError(f"a result of operation {seq}", "nothing of that number")
            return None
        if not isinstance(operation.command, kind):
            raise errors.NondeterminismError(f"a result of {kind.__name__} {seq}", _describe(operation.command))
        del self.pending[seq]
        return operation

    def _has_ended(self) -> bool:
        """Whether the main coroutine is over and no cancelled one still cleans up behind it."""
        return self._main is not None and self._main.done and not self.scheduler.is_cleaning_up

    def _outcome(self) -> history.Outcome:
        main = cast("futures.Task[object]", self._main)
        error = self.scheduler.fault or main.error_or_none
        if self._cancel_reason is not None:
            failed = failure.of(error) if isinstance(error, Exception) else None
            return history.CancelOrchestration(self._cancel_reason, failed)
        if error is not None:
            return history.FailOrchestration(failure.of(error))
        try:
            output = payload.encode(main.result(), f"output of {self.definition.name}")
        except errors.PayloadError as unfit:
            return history.FailOrchestration(failure.of(unfit))
        return history.CompleteOrchestration(msgspec.Raw(output))

    def _end(self, outcome: history.Outcome) -> None:
        self.outcome = outcome
        self._commands.append(outcome)


def _grace_failure() -> failure.Failure:
    return failure.of(errors.CancelGraceEndedError())


_SHOWN_ONLY = (history.SetCustomStatus, history.SetProgress)


def _compare(recorded: Sequence[history.Command], actual: Sequence[history.Command]) -> None:
    """Raise at the first command that is not what was recorded; what is only shown to people may differ."""
    wanted = [command for command in recorded if not isinstance(command, _SHOWN_ONLY)]
    got = [command for command in actual if not isinstance(command, _SHOWN_ONLY)]
    for old, new in itertools.zip_longest(wanted, got):
        if old is None or new is None or not _is_same(old, new):
            raise errors.NondeterminismError(_describe(old), _describe(new))


def _is_same(old: history.Command, new: history.Command) -> bool:
    match old, new:
        case history.ScheduleActivity(), history.ScheduleActivity():
            return (old.seq, old.name, bytes(old.input)) == (new.seq, new.name, bytes(new.input))
        case (history.CreateTimer(), history.CreateTimer()):
            return old.seq == new.seq
        case (history.CompleteOrchestration(), history.CompleteOrchestration()):
            return bytes(old.output) == bytes(new.output)
        case (history.FailOrchestration(), history.FailOrchestration()):
            return old.failure.type == new.failure.type
        case (history.CancelOrchestration(), history.CancelOrchestration()):
            return old.reason == new.reason
        case _:
            return old == new


def _describe(command: history.Command | None) -> str:
    """Say a command in a few words: kind, number, name and the head of its input."""
    match command:
        case None:
            return "nothing more in this turn"
        case history.ScheduleActivity():
            return f"activity {command.seq} {command.name}({_head(bytes(command.input))})"
        case history.CreateTimer():
            return f"timer {command.seq}"
        case history.CancelActivity() | history.CancelTimer():
            return f"cancelling of {type(command).__name__.removeprefix('Cancel').lower()} {command.seq}"
        case history.CompleteOrchestration():
            return f"completion with {_head(bytes(command.output))}"
        case history.FailOrchestration():
            return f"failure with {command.failure.type}: {command.failure.message}"
        case history.CancelOrchestration():
            return "the end by cancellation"
        case history.SetCustomStatus() | history.SetProgress():
            return type(command).__name__
        case _:
            assert_never(command)


def _head(data: bytes) -> str:
    text = data.decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."

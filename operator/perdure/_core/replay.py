"""One execution of one orchestration: events in, commands out.

Theory of operation. An `Execution` holds the coroutine of a running orchestration. `replay` feeds it a recorded turn
and compares what the code asks for with what was recorded; `advance` feeds it new events and gives what it asks for
now. Both are the same motion: set the turn's time, deliver the events one after the other, after each run until every
task waits, collect the commands. So an event has been dealt with before the next is looked at, and of two that come
together the first in history wins, however many steps the code takes to notice. The engine decides when to call which;
nothing here knows of databases, clocks or workers (sans I/O).

**Replaying a history with the code that wrote it yields the same commands (I6).** A difference raises
`NondeterminismError` before anything the new code asks for can have an effect.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Final, NamedTuple, assert_never, cast

import msgspec

from perdure import errors
from perdure._core import comparison, failure, frames, futures, history, limits, mailbox, payload
from perdure._core.context import OrchestrationContext
from perdure._core.definition import AnyOrchestration
from perdure._core.operation import ASKED_BY, Asked, Operation, Result

__all__ = ["Execution", "Identity", "Trace", "Turned"]

_UNHEARD = "What ctx.spawn(...) began has failed, and nobody awaited it: {error}"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_BEFORE_THE_FIRST_STEP: Final = frozenset({history.OrchestrationStarted, history.SignalRefused})
Heard = (
    history.OrchestrationStarted
    | history.CancelRequested
    | history.GraceEnded
    | history.SignalReceived
    | history.SignalRefused
)
Said = (
    history.StartOrchestration | history.SendSignal | history.SetCustomStatus | history.SetProgress | history.SetReady
)


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


class Execution:
    """The coroutine of one execution, and what it waits for (`pending`, by seq)."""

    def __init__(self, definition: AnyOrchestration, identity: Identity) -> None:
        """Stand before the first turn."""
        self.definition = definition
        self.identity = identity
        self._begin()

    def _begin(self) -> None:
        self.scheduler = futures.Scheduler()
        self.pending: dict[int, Operation] = {}
        self.now = _EPOCH
        self.is_replaying = False
        self.is_closed = False
        self.outcome: history.Outcome | None = None
        self._seq = 0
        self._main: futures.Task[object] | None = None
        self._cancel_reason: str | None = None
        self._is_out_of_time = False
        self.cancelled_at: datetime.datetime | None = None
        self._continues: history.ContinueAsNew | None = None
        self._is_led_out = False
        self._mailbox: mailbox.Mailbox[Operation] = mailbox.Mailbox()
        self._full: set[str] = set()
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
        if actual == turn.commands:
            return
        if any(isinstance(event, history.GraceEnded) for event in turn.events):
            return  # it was ended without its code, which may have been another or have had more to say
        comparison.compare(turn.commands, actual)
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

    def rewind(self, turns: Iterable[history.Turn]) -> None:
        """Stand after these recorded turns again, as if what came later had not been."""
        self.close()
        self._begin()
        for turn in turns:
            self.replay(turn)

    @property
    def buffered_signals(self) -> int:
        """How many signals came in that the code has not waited for."""
        return len(self._mailbox)

    @property
    def is_cancelling(self) -> bool:
        """Whether a cancel has been taken in and the code may still be compensating."""
        return self.cancelled_at is not None

    @property
    def error_or_none(self) -> BaseException | None:
        """The exception that the code ended with in this process, for people; None when there is none."""
        return self.scheduler.fault or (self._main.error_or_none if self._main else None)

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

    def timer(self, seconds: float) -> history.CreateTimer:
        """Give the command of a timer that comes due `seconds` after this turn."""
        try:
            return history.CreateTimer(self.next_seq(), self.now + datetime.timedelta(seconds=seconds))
        except OverflowError:
            message = f"delay of a timer is {seconds:g} s; expected an end before the year 10000."
            raise errors.DefinitionError(message) from None

    def wait(self, command: history.WaitForSignal, decode: Callable[[bytes], object]) -> Operation:
        """Record a wait; when a signal of that name is there already, it ends as soon as the code can do no more."""
        operation = self.ask(command, decode)
        self._mailbox.wait(operation, name=command.name, seq=command.seq)
        return operation

    def check_room(self, instance_id: str) -> None:
        """Raise `SignalsFullError` when this turn was told that an instance takes no signals."""
        if instance_id in self._full:
            raise errors.SignalsFullError(instance_id, limits.UNCONSUMED_SIGNALS)

    def say(self, command: Said) -> None:
        """Record a command that has no result."""
        self._commands.append(command)

    def continue_as_new(self, command: history.ContinueAsNew) -> None:
        """Note what the next execution begins with; the code's way out follows as `OrchestrationContinued`."""
        self._continues = command

    def give_up(self, operation: Operation) -> None:
        """Record that nobody waits for this operation any more."""
        seq = operation.command.seq
        del self.pending[seq]
        match operation.command:
            case history.ScheduleActivity():
                self._commands.append(history.CancelActivity(seq))
            case history.CreateTimer():
                self._commands.append(history.CancelTimer(seq))
            case history.WaitForSignal(name=name):
                self._mailbox.give_up(name, seq)
                self._commands.append(history.CancelWait(seq))
            case history.ScheduleSubOrchestration(instance_id=child):
                self._commands.append(history.CancelSubOrchestration(seq, child))

    def trace(self, level: str, message: str) -> None:
        """Keep a line for the log, unless this line was logged in an earlier life."""
        if not self.is_replaying:
            self._traces.append(Trace(level, message))

    # The motion.

    def _turn(self, at: datetime.datetime, events: Sequence[history.Event]) -> None:
        if self.outcome is not None:
            return
        self.now = at
        ending: history.Outcome | None = None
        has_begun = False
        for event in events:
            if ending is not None:
                ending = self._leave(event, ending)
                continue
            ending = self._deliver(event)
            # The first step waits for what comes with the start: a cancel then finds nothing done.
            has_begun = type(event) not in _BEFORE_THE_FIRST_STEP
            if ending is None and has_begun:
                ending = self._run()
        if ending is None and not has_begun:
            ending = self._run()
        self._full.clear()
        if ending is not None:
            self._end(ending)

    def _run(self) -> history.Outcome | None:
        """Let the code go on until it waits for what is not there; give the outcome when it has ended."""
        while self._main is not None:
            self.scheduler.run()
            if self.scheduler.is_continuing and self._lead_out():
                continue
            ending = self._outcome_or_none()
            if ending is not None or (pair := self._mailbox.match()) is None:
                return ending
            operation, signal = pair
            del self.pending[operation.command.seq]
            operation.complete(bytes(signal.payload))
        return None  # it is ended without its code

    def _lead_out(self) -> bool:
        """Ask all code to end once a coroutine beside the main one has continued as new: nobody need wait for that."""
        main = cast("futures.Task[object]", self._main)
        if main.done or self._is_led_out or self._cancel_reason is not None:
            return False
        self._is_led_out = True
        self.scheduler.cancel_all("continuing as new")
        return True

    def _deliver(self, event: history.Event) -> history.Outcome | None:
        """Let an event end what waits for it; give the outcome when it leaves the code nothing to say."""
        match event:
            case history.ActivityCompleted() | history.ChildCompleted():  # first: one of them is in nearly every turn
                if operation := self._take(event):
                    operation.complete(bytes(event.result))
            case history.ActivityFailed():
                if operation := self._take(event):
                    operation.fail(failure.to_exception(event.failure))
            case history.ChildFailed():
                if operation := self._take(event):
                    child = cast("history.ScheduleSubOrchestration", operation.command)
                    operation.fail(
                        failure.to_child_exception(event.failure, name=child.name, instance_id=child.instance_id)
                    )
            case history.TimerFired():
                if operation := self._take(event):
                    operation.complete(b"null")
            case _:
                return self._hear(event)
        return None

    def _hear(self, event: Heard) -> history.Outcome | None:
        """Take in an event that is no result; give the outcome when it leaves the code nothing to say."""
        match event:
            case history.OrchestrationStarted():
                return self._start(bytes(event.input))
            case history.CancelRequested():
                if self._cancel_reason is None:
                    self._cancel_reason, self.cancelled_at = event.reason, self.now
                    self._is_out_of_time = event.is_timeout
                    self.scheduler.cancel_all(event.reason)
            case history.GraceEnded(is_termination=True):
                reason = self._cancel_reason or ""
                return history.CancelOrchestration(reason, failure.of(errors.InstanceTerminatedError(reason)))
            case history.GraceEnded():
                return self._cancelled(errors.CancelGraceEndedError())
            case history.SignalReceived():
                self._mailbox.put(event)
            case history.SignalRefused():
                self._full.add(event.instance_id)
            case _:
                assert_never(event)
        return None

    def _leave(self, event: history.Event, ending: history.Outcome) -> history.Outcome:
        """Take what comes with the end: a signal is kept for the next execution, a cancel wins over the end."""
        match event:
            case history.SignalReceived():
                self._mailbox.put(event)
            case history.CancelRequested(is_timeout=True) if not isinstance(ending, history.ContinueAsNew):
                pass  # it has ended in time
            case history.CancelRequested() if self._cancel_reason is None:
                self._cancel_reason, self._is_out_of_time = event.reason, event.is_timeout
                if event.is_timeout:
                    return self._cancelled(None)
                failed = ending.failure if isinstance(ending, history.FailOrchestration) else None
                return history.CancelOrchestration(event.reason, failed)
            case _:
                pass
        return ending

    def _start(self, data: bytes) -> history.Outcome | None:
        signature = self.definition.signature
        context = OrchestrationContext(self)
        try:
            read = payload.decoder(signature.input_type, f"input of {self.definition.name}")
            arguments = [read(data)] if signature.takes_input else []
        except (errors.PayloadError, errors.DefinitionError) as error:
            return history.FailOrchestration(failure.of(error))
        coroutine = cast("Coroutine[object, object, object]", self.definition.function(context, *arguments))
        self._main = self.scheduler.spawn(coroutine)
        return None

    def _take(self, event: Result) -> Operation | None:
        """Give the open operation a result belongs to, and close it; None for one that is over (late, duplicate)."""
        operation = self.pending.get(event.seq)
        if operation is None:
            if event.seq > self._seq:
                raise errors.NondeterminismError(f"a result of operation {event.seq}", "nothing of that number")
            return None
        kind = ASKED_BY[type(event)]
        if type(operation.command) is not kind:
            raise errors.NondeterminismError(
                f"a result of {kind.__name__} {event.seq}", comparison.describe(operation.command)
            )
        del self.pending[event.seq]
        return operation

    def _outcome_or_none(self) -> history.Outcome | None:
        """Say how it ended, once the main coroutine is over and no cancelled one still cleans up behind it."""
        main = self._main
        if self.scheduler.fault is None and (main is None or not main.done or self.scheduler.is_cleaning_up):
            return None
        error = self.scheduler.fault or cast("futures.Task[object]", main).error_or_none
        if self._cancel_reason is not None:
            return self._cancelled(error if isinstance(error, Exception) else None)
        if isinstance(error, errors.OrchestrationContinued) or (self._is_led_out and not isinstance(error, Exception)):
            return cast("history.ContinueAsNew", self._continues)
        if isinstance(error, errors.OrchestrationCancelled):  # nobody asked for a cancel: it came out of an await
            error = errors.GivenUpAwaitedError().with_traceback(error.__traceback__)
        if error is not None:
            return history.FailOrchestration(failure.of(error))
        try:
            output = payload.encode(cast("futures.Task[object]", main).result(), f"output of {self.definition.name}")
        except errors.PayloadError as unfit:
            return history.FailOrchestration(failure.of(unfit))
        return history.CompleteOrchestration(msgspec.Raw(output))

    def _cancelled(self, trouble: Exception | None) -> history.Outcome:
        """Say how it ended that was asked to end, given what went wrong on the way: out of time it has failed."""
        reason = self._cancel_reason or ""
        if self._is_out_of_time:
            return history.FailOrchestration(failure.of(errors.RunTimedOutError(reason, trouble)))
        return history.CancelOrchestration(reason, None if trouble is None else failure.of(trouble))

    def _end(self, outcome: history.Outcome) -> None:
        """Give up the children that nobody will hear of, keep the signals for who comes after, and be over."""
        for seq, operation in self.pending.items():
            if isinstance(operation.command, history.ScheduleSubOrchestration):
                self._commands.append(history.CancelSubOrchestration(seq, operation.command.instance_id))
        for task in self.scheduler.unheard:
            if task is not self._main and task.error_or_none is not None:
                self.trace("warning", _UNHEARD.format(error=frames.sentence_of(task.error_or_none)))
        if isinstance(outcome, history.ContinueAsNew):
            outcome = msgspec.structs.replace(outcome, carried=self._mailbox.leftover())
        self.outcome = outcome
        self._commands.append(outcome)

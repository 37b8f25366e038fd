"""One simulated instance: its executions, and a crash after every turn.

After a turn its coroutine is put away and built again from history in its stored form, as when a worker dies and
another takes over. What it asks for then must be what it asked for before (I6); so whatever passes in a test has been
replayed. It takes turns when it is told to and knows nothing of who carries out what it asks for.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from perdure import errors
from perdure._core import history, projection
from perdure._core.definition import AnyOrchestration
from perdure._core.replay import Execution, Identity, Trace, Turned
from perdure.testing.run import ActivityCall

__all__ = ["Instance", "Parent"]

_CRASHES_IN_A_ROW: Final = 100
_CRASHES_PER_DOUBLING: Final = 20
"""A replay costs what the history is long: after so many turns it is made less often, so that long runs stay quick."""


class Parent(NamedTuple):
    """Who waits for a child: the instance, its execution, and the number of the asking."""

    instance: Instance
    execution: int
    seq: int


class Instance:
    """What is known of one instance, and its coroutine."""

    def __init__(self, instance_id: str, *, began: float, parent: Parent | None = None) -> None:
        """Stand before the first execution."""
        self.instance_id = instance_id
        self.parent = parent
        self.began = began
        self.elapsed = 0.0
        self.number = 0
        self.inbox: list[history.Event] = []
        self.turns: list[history.Turn] = []
        self.past: list[list[history.Turn]] = []
        self.projection = projection.Projection()
        self.outcome: history.Outcome | None = None
        self.exception: BaseException | None = None
        self.traces: list[Trace] = []
        self.calls: list[ActivityCall] = []
        self.children: list[Instance] = []
        self.signals: list[tuple[str, object]] = []
        self.works: dict[int, asyncio.Task[None]] = {}
        self.timers: dict[int, asyncio.TimerHandle] = {}
        self.grace: asyncio.TimerHandle | None = None
        self._crash_after = 0

    def begin(self, definition: AnyOrchestration, input: msgspec.Raw, *, carried: Sequence[history.Event] = ()) -> None:
        """Begin the next execution."""
        if self.number:
            self.past.append(self.turns)
            self.execution.close()
        self.number += 1
        self.definition = definition
        self.execution: Execution = Execution(definition, Identity(self.instance_id, self.number))
        self.turns, self._crash_after = [], 0
        started = history.OrchestrationStarted(definition.name, definition.version, input, history.PROTOCOL)
        self.inbox = [started, *carried]

    def take_turn(self, at: datetime.datetime) -> Turned:
        """Take in what is in the inbox; give what the code asks for. Raises `NondeterminismError` after the crash."""
        events, self.inbox = self.inbox, []
        turned = self.execution.advance(at, events)
        self.traces += turned.traces
        turn = history.decode_turn(at, history.encode_turn(events, turned.commands))
        self.turns.append(turn)
        projection.fold(self.projection, turn)
        if not isinstance(turned.outcome, history.ContinueAsNew | None):
            self.outcome, self.exception = turned.outcome, self.execution.error_or_none
        if turned.outcome is not None or len(self.turns) > self._crash_after:
            self._crash()
        return turned

    def stop(self) -> None:
        """Give up all that is under way for this execution."""
        for work in self.works.values():
            work.cancel()
        for timer in self.timers.values():
            timer.cancel()
        self.works.clear()
        self.timers.clear()

    def close(self) -> None:
        """Put the coroutine away."""
        self.stop()
        self.execution.close()

    @property
    def waits(self) -> list[str]:
        """The names of the signals that the code waits for, in the order of its waits."""
        return [wait.name for wait in self.projection.waits.values() if wait.kind == "signal"]

    def _crash(self) -> None:
        """Lose the coroutine, and build it again from history."""
        self.execution.close()
        self.execution = Execution(self.definition, Identity(self.instance_id, self.number))
        for number, turn in enumerate(self.turns, start=1):
            try:
                self.execution.replay(turn)
            except errors.NondeterminismError as error:
                error.add_note(
                    f"It was found when turn {number} of {self.instance_id} (execution {self.number}) was replayed "
                    f"after turn {len(self.turns)}: a simulation replays every turn, as workers do after a crash."
                )
                raise
        if len(self.turns) >= _CRASHES_IN_A_ROW:
            self._crash_after = len(self.turns) + len(self.turns) // _CRASHES_PER_DOUBLING

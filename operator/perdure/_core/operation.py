"""What an execution waits for: what was asked of the outside world, until its result comes or it is given up.

It knows which kind of result belongs to which kind of command; it must not know what is done with either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from perdure import errors
from perdure._core import futures, history

if TYPE_CHECKING:
    from perdure._core.replay import Execution

__all__ = ["ASKED_BY", "Asked", "Operation", "Result"]

Asked = history.ScheduleActivity | history.CreateTimer | history.WaitForSignal | history.ScheduleSubOrchestration
Result = (
    history.TimerFired
    | history.ActivityCompleted
    | history.ActivityFailed
    | history.ChildCompleted
    | history.ChildFailed
)
ASKED_BY: Final[Mapping[type[Result], type[Asked]]] = {
    history.TimerFired: history.CreateTimer,
    history.ActivityCompleted: history.ScheduleActivity,
    history.ActivityFailed: history.ScheduleActivity,
    history.ChildCompleted: history.ScheduleSubOrchestration,
    history.ChildFailed: history.ScheduleSubOrchestration,
}


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

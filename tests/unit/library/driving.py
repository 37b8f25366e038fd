"""An orchestration on the pure core alone, with plain functions for its activities: no database, no cluster, no clock.

Before every turn the execution is thrown away and rebuilt from the turns so far. So whatever passes here has also shown
that it replays. It stands in for no part of the engine: activities are tried once and never time out.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable

import msgspec

from perdure._core import failure, history, payload, replay
from perdure._core.definition import AnyOrchestration

__all__ = ["Ended", "drive"]

Plain = Callable[[object], object]
"""An activity as a test has it: JSON in, a value out, or an error raised."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """What came of a run: its end, and every command on the way."""

    outcome: history.Outcome
    commands: list[history.Command]

    @property
    def output(self) -> object:
        """The output as JSON."""
        assert isinstance(self.outcome, history.CompleteOrchestration), self.outcome
        return json.loads(bytes(self.outcome.output))

    @property
    def failure(self) -> failure.Failure:
        """Why it failed."""
        assert isinstance(self.outcome, history.FailOrchestration), self.outcome
        return self.outcome.failure

    @property
    def activities(self) -> list[str]:
        """The activities that were asked for, in order, by the last part of their name."""
        return [
            command.name.rpartition("::")[2]
            for command in self.commands
            if isinstance(command, history.ScheduleActivity)
        ]

    @property
    def progress(self) -> list[tuple[int, int, str]]:
        """What was shown of the progress, in order."""
        return [
            (command.done, command.total, command.message)
            for command in self.commands
            if isinstance(command, history.SetProgress)
        ]


def drive(
    definition: AnyOrchestration, input: object, *, activities: dict[str, Plain], cancel_at_timer: str = ""
) -> Ended:
    """Run an orchestration to its end; `activities` by the last part of their name.

    Timers fire at once. With `cancel_at_timer` the run is cancelled for that reason when it first waits for one.
    """
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    started = msgspec.Raw(payload.encode(input, "input"))
    events: list[history.Event] = [
        history.OrchestrationStarted(definition.name, definition.version, started, history.PROTOCOL)
    ]
    turns: list[history.Turn] = []
    while True:
        execution = replay.Execution(definition, replay.Identity("shop/pg:1", 1))
        for turn in turns:
            execution.replay(turn)
        turned = execution.advance(now, events)
        execution.close()
        turns.append(history.decode_turn(now, history.encode_turn(events, turned.commands)))
        if turned.outcome is not None:
            return Ended(turned.outcome, [command for turn in turns for command in turn.commands])
        events = []
        for command in turned.commands:
            match command:
                case history.ScheduleActivity():
                    events.append(_perform(command, activities[command.name.rpartition("::")[2]]))
                case history.CreateTimer() if cancel_at_timer:
                    events.append(history.CancelRequested(cancel_at_timer))
                case history.CreateTimer():
                    events.append(history.TimerFired(command.seq))
                    now = max(now, command.fire_at)
                case _:
                    pass  # what is shown to people, or given up, brings no event
        now += datetime.timedelta(seconds=1)


def _perform(command: history.ScheduleActivity, activity: Plain) -> history.Event:
    try:
        result = activity(json.loads(bytes(command.input)))
    except Exception as error:  # noqa: BLE001 - the border to the test's activity: whatever it raises is its outcome
        return history.ActivityFailed(command.seq, failure.of(error, activity=command.name))
    return history.ActivityCompleted(command.seq, msgspec.Raw(payload.encode(result, "result")))

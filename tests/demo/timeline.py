"""The story of one run as Postgres tells it: a line a turn, and between the turns the kill and the rescue.

Which process did what is in history itself: each arrival names the process that brought it there. Pure: turns and
moments in, rows out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from perdure._core import history
from perdure._core.projection import short_name
from tests.demo import proof

__all__ = ["HEADINGS", "rows"]

HEADINGS = ("SECONDS", "TURN", "CAME IN", "ASKED FOR", "BY")


def rows(
    turns: Sequence[history.Turn], moments: Mapping[datetime, str], *, titles: Mapping[int, str]
) -> list[tuple[str, ...]]:
    """Give the rows in order of time: of each turn, and of each moment that happened outside of history.

    `titles` names processes. Seconds count from the first turn.
    """
    began = turns[0].at
    lines = [(turn.at, _turn(number, turn, titles)) for number, turn in enumerate(turns, start=1)]
    lines += [(at, ("", what, "", "")) for at, what in moments.items()]
    return [(f"{(at - began).total_seconds():7.2f}", *line) for at, line in sorted(lines)]


def _turn(number: int, turn: history.Turn, titles: Mapping[int, str]) -> tuple[str, ...]:
    by = {titles.get(arrival.process, str(arrival.process)) for arrival in proof.arrivals(turn)}
    came = ", ".join(_event(event) for event in turn.events)
    asked = ", ".join(filter(None, (_command(command) for command in turn.commands)))
    return str(number), came, asked, ", ".join(sorted(by))


def _event(event: history.Event) -> str:
    match event:
        case history.OrchestrationStarted(name=name, version=version):
            return f"started: {short_name(name)} {version}"
        case history.ActivityCompleted(seq=seq):
            return f"result of #{seq}"
        case history.ActivityFailed(seq=seq, failure=failure):
            return f"failure of #{seq}: {failure.message}"
        case history.TimerFired(seq=seq):
            return f"timer #{seq} fired"
        case history.CancelRequested(reason=reason):
            return f"cancel: {reason}"
        case history.GraceEnded():
            return "grace ended"
        case _:
            return type(event).__name__  # nothing that the demo's journey meets


def _command(command: history.Command) -> str:
    match command:
        case history.ScheduleActivity(seq=seq, name=name):
            return f"{short_name(name)} #{seq}"
        case history.CreateTimer(seq=seq):
            return f"timer #{seq}"
        case history.CancelActivity(seq=seq) | history.CancelTimer(seq=seq):
            return f"give up #{seq}"
        case history.SetProgress(done=done, total=total, message=message):
            return f"{done}/{total} {message}"
        case history.CompleteOrchestration():
            return "complete"
        case history.FailOrchestration(failure=failure):
            return f"fail: {failure.message}"
        case history.CancelOrchestration():
            return "end as cancelled"
        case _:
            return type(command).__name__  # nothing that the demo's journey asks for

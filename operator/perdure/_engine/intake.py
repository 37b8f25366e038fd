"""What goes into the next turn of an instance of all that has come in, and in which order.

It knows events and how large they are, and the rows that go with them; nothing of code, commits or the database. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure._core import history, limits
from perdure._engine.turn import Read

__all__ = ["ordered", "split", "split_messages", "split_tasks"]

_AHEAD = (history.CancelRequested, history.SignalRefused)


def ordered(events: list[history.Event]) -> list[history.Event]:
    """Put a cancel before what came with it, but for the start: whoever is cancelled does not complete in that turn.

    Before that comes who takes no signals, for all that the code does in this turn.
    """
    if len(events) == 1:
        return events
    cancels = [event for event in events if isinstance(event, history.CancelRequested)]
    if not cancels or len(cancels) == len(events):
        return events
    is_first = isinstance(events[0], history.OrchestrationStarted)
    rest = [event for event in events[is_first:] if not isinstance(event, _AHEAD)]
    refusals = [event for event in events if isinstance(event, history.SignalRefused)]
    return [*events[:is_first], *refusals, *cancels, *rest]


def split(events: list[history.Event]) -> tuple[list[history.Event], list[history.Event]]:
    """Take what fits into one turn; what comes after it waits for the next."""
    if len(events) * limits.PAYLOAD_BYTES <= limits.TURN_BYTES:
        return events, []
    total = 0
    for index, event in enumerate(events):
        total += _size(event)
        if total > limits.TURN_BYTES:
            return events[:index], events[index:]
    return events, []


def _size(event: history.Event) -> int:
    match event:
        case history.ActivityCompleted(result=data) | history.ChildCompleted(result=data):
            return len(data)
        case history.SignalReceived(payload=data):
            return len(data)
        case _:
            return 0


def split_messages(messages: list[Read], waiting: Sequence[history.Event]) -> tuple[list[Read], list[Read]]:
    """Keep the rows whose events wait for the next turn: they are deleted by the turn that takes them in."""
    if not waiting:
        return messages, []
    kept = [(message_id, event) for message_id, event in messages if any(event is other for other in waiting)]
    kept_ids = {message_id for message_id, _ in kept}
    return [message for message in messages if message[0] not in kept_ids], kept


def split_tasks(seqs: list[int], waiting: Sequence[history.Event]) -> tuple[list[int], list[int]]:
    """Keep the rows of activities whose results wait for the next turn."""
    if not waiting:
        return seqs, []
    kept = {event.seq for event in waiting if isinstance(event, history.ActivityCompleted)}
    return [seq for seq in seqs if seq not in kept], [seq for seq in seqs if seq in kept]

"""Making events of the messages in an inbox.

A message enters one turn, whose commit deletes it. A resident remembers which it has seen, since its inbox may be read
again before that; what a commit has deleted it may forget once a later reading is over.
"""

from __future__ import annotations

import datetime

import msgspec
import structlog

from perdure import errors
from perdure._core import history
from perdure._engine.resident import Resident, due_or_none
from perdure._store.store import Record

__all__ = ["ring_before", "start_reading", "take_in"]

_log = structlog.get_logger(__name__)


class _Request(msgspec.Struct):
    """The payload of a cancel, also of one because of a deadline, or of a termination."""

    reason: str = ""
    is_timeout: bool = False


_decode_request = msgspec.json.Decoder(_Request).decode


def start_reading(resident: Resident) -> set[int]:
    """Give the messages that a reading which begins now cannot find any more."""
    gone, resident.forgettable = resident.forgettable, set()
    return gone


def take_in(resident: Resident, row: Record) -> None:
    """Make an event of a message. A cancel that cannot be read is still a cancel.

    Raises `MessageUnreadableError` and `PayloadSealedError`; nothing has changed then.
    """
    event: history.Event | None
    if row["kind"] in {"Cancel", "Terminate"}:
        event = _cancel_of(row)
        resident.is_terminated = resident.is_terminated or row["kind"] == "Terminate"
    else:
        try:
            event = history.decode_event(row["payload"])
        except msgspec.DecodeError as error:
            raise errors.MessageUnreadableError(row["instance_id"], row["message_id"], str(error)) from error
    if row["execution"] not in {None, resident.execution.identity.execution}:
        event = None  # for an execution that is over
    resident.seen_messages.add(row["message_id"])
    resident.messages.append((row["message_id"], event))
    if event is not None:
        resident.events.append(event)


def ring_before(resident: Resident, moment: datetime.datetime) -> None:
    """Let timers that were due before a message came go before it."""
    pending = resident.execution.pending
    rung = {event.seq for event in resident.events if isinstance(event, history.TimerFired)}
    due = [
        (at, seq) for seq, operation in pending.items() if (at := due_or_none(operation)) is not None and at < moment
    ]
    for _, seq in sorted(due):
        if seq not in rung and isinstance(pending[seq].command, history.CreateTimer):
            resident.events.append(history.TimerFired(seq))


def _cancel_of(row: Record) -> history.CancelRequested:
    try:
        request = _decode_request(row["payload"])
        return history.CancelRequested(request.reason, request.is_timeout)
    except msgspec.DecodeError:
        _log.warning("message without a readable payload", instance=row["instance_id"], message_id=row["message_id"])
        return history.CancelRequested("")

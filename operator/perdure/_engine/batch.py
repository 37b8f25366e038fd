"""The statement of one commit with the turns as its arguments, and how many go into one.

It knows the parameters of `commit_turns.sql` and `commit_turn.sql` and nothing else. What is small of many turns
travels as one JSON document, a row a turn with what the turn asks of others inside it: one value costs a fifth of what
two dozen arrays cost, most of them empty. What is sealed or may be large travels as bytes, beside the document; its
rows say which. A turn that is alone, and concerns no other instance, travels as it is: its instance waits for it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from perdure._core import history, lifecycle, limits
from perdure._engine.turn import Message, Start, TakenTurn

__all__ = ["parts", "statement"]


class _Start(msgspec.Struct, omit_defaults=True, gc=False):
    """An instance to start; `seq` is the number of the asking when somebody waits for it."""

    instance_id: str
    name: str
    version: str
    input: int
    seq: int | None = None


class _Message(msgspec.Struct, omit_defaults=True, gc=False):
    """A message to send."""

    instance_id: str
    kind: str
    payload: int
    execution: int | None = None


class _Activity(msgspec.Struct, gc=False):
    """An activity for a queue."""

    seq: int
    queue: str
    priority: int
    activity: str
    command: int


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    """A turn; one without a number is somebody outside of the batch who gets a message."""

    instance_id: str
    execution: int | None = None
    turn: int | None = None
    at: datetime.datetime | None = None
    phase: str | None = None
    version: str | None = None
    output: int | None = None
    error: int | None = None
    custom_status: int | None = None
    messages: list[int] | None = None
    tasks: list[int] | None = None
    next_execution: int | None = None
    forgotten: int | None = None
    next_input: int | None = None
    carried: int | None = None
    buffered: int | None = None
    is_ending: bool | None = None
    created_at: datetime.datetime | None = None
    starts: list[_Start] | None = None
    sent: list[_Message] | None = None
    queued: list[_Activity] | None = None


class _Payloads(list[bytes]):
    """Payloads of all rows, numbered from 1."""

    def number(self, data: bytes) -> int:
        """Take a payload in; give its number."""
        self.append(data)
        return len(self)

    def number_or_none(self, data: bytes | None) -> int | None:
        """Take a payload in, if there is one."""
        return None if data is None else self.number(data)


_STATEMENTS = {
    (True, True): "commit_turns",
    (True, False): "commit_turns_without_cleanup",
    (False, True): "commit_turns_without_asks",
    (False, False): "commit_turns_without_asks_cleanup",
}
"""By whether something is asked of others, and whether something is over."""
_encode = msgspec.json.Encoder().encode


def statement(turns: Sequence[TakenTurn], *, keep_executions: int) -> tuple[str, list[object]]:
    """Give the name of the statement that commits these turns, and its arguments that follow the owner.

    It is the one that does no more than these turns need: most need no others, and nothing cleared up.
    """
    asks = any(turn.asks_others for turn in turns)
    cleans_up = any(turn.cleans_up for turn in turns)
    if len(turns) == 1 and not asks and turns[0].continues is None:
        turn, arguments = turns[0], _alone(turns[0])
        if not cleans_up:
            return "commit_turn_without_cleanup", arguments
        return "commit_turn", [*arguments, turn.messages, turn.over_tasks]
    return _STATEMENTS[asks, cleans_up], _together(turns, keep_executions)


def _alone(turn: TakenTurn) -> list[object]:
    resident, execution, outcome = turn.resident, turn.resident.execution, turn.turned.outcome
    return [
        resident.instance_id,
        resident.turn,
        execution.identity.execution,
        turn.at,
        turn.next_version,
        resident.created_at,
        lifecycle.custom_status_of(turn.turned.commands),
        execution.buffered_signals,
        turn.body,
        turn.phase,
        lifecycle.output_of(outcome),
        lifecycle.error_of(outcome),
    ]


def _together(turns: Sequence[TakenTurn], keep_executions: int) -> list[object]:
    endings: dict[str, bool] = {}
    for turn in turns:
        for message in turn.sent:
            endings[message.instance_id] = endings.get(message.instance_id, False) or message.kind == "Cancel"
    payloads = _Payloads()
    rows = [_row(turn, endings, payloads, keep_executions) for turn in turns]
    outsiders = sorted(endings.keys() - {turn.resident.instance_id for turn in turns}) if endings else []
    rows += [_Row(instance_id, is_ending=endings[instance_id]) for instance_id in outsiders]
    return [_encode(rows).decode(), [turn.body for turn in turns], payloads]


def _row(turn: TakenTurn, endings: Mapping[str, bool], payloads: _Payloads, keep_executions: int) -> _Row:
    resident, outcome = turn.resident, turn.turned.outcome
    execution = resident.execution
    row = _Row(
        resident.instance_id,
        execution.identity.execution,
        resident.turn,
        turn.at,
        turn.phase,
        turn.next_version,
        custom_status=payloads.number_or_none(lifecycle.custom_status_of(turn.turned.commands)),
        messages=turn.messages or None,
        tasks=turn.over_tasks or None,
        buffered=execution.buffered_signals,
        is_ending=endings.get(resident.instance_id),
        created_at=resident.created_at,
    )
    if outcome is not None:
        row.output = payloads.number_or_none(lifecycle.output_of(outcome))
        row.error = payloads.number_or_none(lifecycle.error_of(outcome))
    if (continues := turn.continues) is not None:
        row.next_execution = execution.identity.execution + 1
        row.forgotten = row.next_execution - keep_executions
        row.next_input = payloads.number(bytes(continues.input))
        row.carried = payloads.number_or_none(history.encode_carried(continues.carried))
    if turn.starts:
        row.starts = [_start(command, payloads) for command in turn.starts]
    if turn.sent:
        row.sent = [_message(message, payloads) for message in turn.sent]
    if turn.queued:
        row.queued = [_activity(command, payloads) for command in turn.queued]
    return row


def _start(command: Start, payloads: _Payloads) -> _Start:
    seq = command.seq if isinstance(command, history.ScheduleSubOrchestration) else None
    return _Start(command.instance_id, command.name, command.version, payloads.number(bytes(command.input)), seq)


def _message(message: Message, payloads: _Payloads) -> _Message:
    return _Message(message.instance_id, message.kind, payloads.number(message.payload), message.execution)


def _activity(command: history.ScheduleActivity, payloads: _Payloads) -> _Activity:
    data = history.encode_command(command)
    return _Activity(command.seq, command.queue, command.priority, command.name, payloads.number(data))


def parts(turns: Sequence[TakenTurn]) -> Iterator[list[TakenTurn]]:
    """Cut a batch where its bytes would be too many for one statement; nearly always it is one part."""
    part: list[TakenTurn] = []
    total = 0
    for turn in turns:
        total += len(turn.body)
        if part and total > limits.TURN_BYTES:
            yield part
            part, total = [], len(turn.body)
        part.append(turn)
    if part:
        yield part

"""The turns of one commit as the arrays of its statement.

It knows the order of the parameters of `commit_turns.sql` and nothing else. What a turn asks of others stands in arrays
of its own, and the turn's row says which slice of them is its.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perdure._core import history, lifecycle
from perdure._engine.turn import Message, Start, TakenTurn

__all__ = ["columns"]

_TURN_COLUMNS = 23
_encode = history.encode_command


def columns(turns: Sequence[TakenTurn], *, keep_executions: int) -> list[object]:
    """Give the arguments of the commit statement that follow the owner."""
    starts = [row for turn in turns for row in map(_start, turn.starts)]
    sent = [row for turn in turns for row in turn.sent]
    queued = [row for turn in turns for row in map(_queued, turn.queued)]
    endings: dict[str, bool] = {}
    for message in sent:
        endings[message.instance_id] = endings.get(message.instance_id, False) or message.kind == "Cancel"
    rows = _rows(turns, endings)
    outsiders = sorted(endings.keys() - {turn.resident.instance_id for turn in turns}) if endings else []
    rows += [_outsider(instance_id, is_ending=endings[instance_id]) for instance_id in outsiders]
    return [
        *_columns(rows, _TURN_COLUMNS),
        *_columns(starts, 5),
        *_columns(sent, len(Message._fields)),
        *_columns(queued, 5),
        keep_executions,
    ]


def _outsider(instance_id: str, *, is_ending: bool) -> tuple[object, ...]:
    """Give the row of somebody who gets a message without having a turn in this batch."""
    return (instance_id, *(None,) * 15, is_ending, *(None,) * 6)


def _rows(turns: Sequence[TakenTurn], endings: Mapping[str, bool]) -> list[tuple[object, ...]]:
    starts_from = sent_from = queued_from = 1
    rows: list[tuple[object, ...]] = []
    for turn in turns:
        resident, outcome, continues = turn.resident, turn.turned.outcome, turn.continues
        rows.append(
            (
                resident.instance_id,
                resident.execution.identity.execution,
                resident.turn,
                turn.at,
                turn.body,
                turn.phase,
                turn.next_version,
                lifecycle.output_of(outcome),
                lifecycle.error_of(outcome),
                lifecycle.custom_status_of(turn.turned.commands),
                _array(turn.messages),
                _array(turn.over_tasks),
                None if continues is None else resident.execution.identity.execution + 1,
                None if continues is None else bytes(continues.input),
                None if continues is None else history.encode_carried(continues.carried),
                resident.execution.buffered_signals,
                endings.get(resident.instance_id),
                *_slice(starts_from, len(turn.starts)),
                *_slice(sent_from, len(turn.sent)),
                *_slice(queued_from, len(turn.queued)),
            )
        )
        starts_from += len(turn.starts)
        sent_from += len(turn.sent)
        queued_from += len(turn.queued)
    return rows


def _slice(first: int, count: int) -> tuple[int | None, int | None]:
    return (first, first + count - 1) if count else (None, None)


def _start(command: Start) -> tuple[object, ...]:
    seq = command.seq if isinstance(command, history.ScheduleSubOrchestration) else None
    return command.instance_id, command.name, command.version, bytes(command.input), seq


def _queued(command: history.ScheduleActivity) -> tuple[object, ...]:
    return command.seq, command.queue, command.priority, command.name, _encode(command)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _array(numbers: Sequence[int]) -> str | None:
    """Give an array in Postgres' own text form: arrays of arrays of different lengths cannot be sent."""
    return "{" + ",".join(map(str, numbers)) + "}" if numbers else None

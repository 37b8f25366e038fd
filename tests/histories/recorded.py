"""A recorded history as a file: who it was, how it ended, and every turn of every execution as the database had it."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path

import msgspec

from perdure import JsonValue
from perdure._core import history

__all__ = ["FOLDER", "Record", "read", "write"]

FOLDER = Path(__file__).parent / "release_0_1_0"


@dataclasses.dataclass(frozen=True)
class Record:
    """One instance: its id, what it ran, how it ended, and its turns by execution."""

    instance_id: str
    orchestration: str
    version: str
    phase: str
    output: JsonValue
    executions: dict[int, list[history.Turn]]


def write(path: Path, record: Record) -> None:
    """Write a record. Raises `FileExistsError` when there is one: a record is never replaced."""
    fields = dataclasses.asdict(dataclasses.replace(record, executions={}))
    fields["executions"] = {
        str(execution): [
            {"at": turn.at.isoformat(), **json.loads(history.encode_turn(turn.events, turn.commands))} for turn in turns
        ]
        for execution, turns in record.executions.items()
    }
    with path.open("x", encoding="utf-8") as file:
        json.dump(fields, file, indent=1, ensure_ascii=False)
        file.write("\n")


def read(path: Path) -> Record:
    """Read a record."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    executions = {
        int(execution): [
            history.decode_turn(datetime.datetime.fromisoformat(turn.pop("at")), msgspec.json.encode(turn))
            for turn in turns
        ]
        for execution, turns in fields.pop("executions").items()
    }
    return Record(executions=executions, **fields)

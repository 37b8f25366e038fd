"""Histories of every release, replayed for ever by the engine of today."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from perdure import OrchestrationRegistry, errors
from perdure._core import history, lifecycle, payload, replay
from tests.histories import recorded
from tests.histories.release_0_1_0 import orchestrations

RECORDS = sorted(recorded.FOLDER.glob("*.json"))
REGISTRY = OrchestrationRegistry.of(*orchestrations.ORCHESTRATIONS)


def replayed(record: recorded.Record) -> history.Outcome | None:
    """Replay all executions of a record; give how the last one ended."""
    definition = REGISTRY.find_or_none(record.orchestration, record.version)
    assert definition is not None, record
    outcome = None
    for number, turns in record.executions.items():
        execution = replay.Execution(definition, replay.Identity(record.instance_id, number))
        try:
            for turn in turns:
                execution.replay(turn)
            outcome = execution.outcome
        finally:
            execution.close()
    return outcome


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_what_a_release_has_written_is_replayed_to_the_same_commands_and_end(path: Path) -> None:
    """The engine of today takes every turn of a recorded history again, asks for the same, and ends the same."""
    record = recorded.read(path)

    outcome = replayed(record)

    assert lifecycle.phase_after(outcome) == record.phase
    if record.phase == "Completed":
        assert lifecycle.output_of(outcome) == payload.encode(record.output, "output")


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_command_that_was_not_recorded_is_noticed(path: Path) -> None:
    """With one command of any record taken away, the replay says that the history is another: it does compare."""
    record = recorded.read(path)
    turn = record.executions[1][0]
    record.executions[1][0] = msgspec.structs.replace(turn, commands=turn.commands[:-1])

    with pytest.raises(errors.NondeterminismError):
        replayed(record)


def test_every_scene_has_its_record() -> None:
    """No feature of a release goes unrecorded, and no record is without its code."""
    assert [path.stem for path in RECORDS] == sorted(orchestrations.SCENES)


def test_a_record_is_never_replaced() -> None:
    """Writing over a record is refused."""
    with pytest.raises(FileExistsError):
        recorded.write(RECORDS[0], recorded.read(RECORDS[0]))

"""Histories that create-postgres 1.0.0 wrote on a real engine, replayed by what is offered today.

They were recorded before there was a second version, and are never edited: whoever updates the operator has runs like
these open. The names of the files say what happened; the activities were stand-ins.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from perdure import errors
from perdure._core import export
from perdure.testing import assert_replays
from workflows.create_postgres import create_postgres
from workflows.registry import create_orchestration_registry

RECORDS = sorted((Path(__file__).parent / "create_postgres").glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_first_version_still_fits_what_it_wrote(path: Path) -> None:
    """What is offered today asks for the same as version 1.0.0 did, whatever happened to the server."""
    assert export.decode(path.read_bytes()).version == "1.0.0"
    assert_replays(path, create_orchestration_registry())


def test_the_records_tell_the_versions_apart() -> None:
    """The code of 1.1.0 under the name of 1.0.0 is found out: that is why the copy is kept."""
    disguised = dataclasses.replace(create_postgres, version="1.0.0")

    for path in RECORDS:
        if path.stem == "refused":  # its input is refused before any code runs, by whichever version
            continue
        with pytest.raises(errors.NondeterminismError):
            assert_replays(path, [disguised])


def test_each_way_to_end_is_recorded() -> None:
    """Connected at once and after a while, without a connection, never ready, cancelled, and refused at the door."""
    assert {path.stem for path in RECORDS} == {
        "cancelled",
        "connected",
        "connected-at-last",
        "never-ready",
        "not-connected",
        "refused",
    }

"""Recorded histories against the code at hand: the test that says whether a change may be deployed.

What `perdure history INSTANCE -o json` writes, or `Run.export` of a simulation, is kept beside the tests and replayed
by them for ever. Nothing that the code asks for is carried out. `perdure replay` asks the same on the command line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from perdure import errors
from perdure._core import checking, export
from perdure._core.definition import AnyOrchestration, OrchestrationRegistry
from perdure.testing.virtual import beside_loops

__all__ = ["assert_replays"]


def assert_replays(
    history: export.HistoryExport | bytes | str | os.PathLike[str], orchestrations: Iterable[AnyOrchestration]
) -> None:
    """Replay a history (an export, its JSON bytes, or a path to them) with the code that `orchestrations` offers.

    Raises `NondeterminismError` where the code asks for something else than is recorded, with the turn and the likely
    cause; `SimulationError` when the version that wrote the history is not offered; `HistoryUnreadableError`.
    """
    exported = history if isinstance(history, export.HistoryExport) else export.decode(_read(history))
    offered = OrchestrationRegistry.of(*orchestrations)
    definition = offered.find_or_none(exported.name, exported.version)
    if definition is None:
        known = ", ".join(one.version for one in offered if one.name == exported.name) or "none"
        raise errors.SimulationError(
            f"The history of {exported.instance_id} was written by {exported.name} {exported.version}, which is not "
            f"offered; offered versions: {known}. An instance stays on its version for life: keep its code while "
            "instances of it run, or delete this history when none does."
        )
    found = beside_loops(lambda: checking.check(definition, exported))
    if found is not None:
        error = errors.NondeterminismError(found.expected, found.actual)
        error.add_note(f"In turn {found.turn} of {exported.instance_id}, execution {exported.execution}. {found.cause}")
        raise error


def _read(history: bytes | str | os.PathLike[str]) -> bytes:
    return history if isinstance(history, bytes) else Path(history).read_bytes()

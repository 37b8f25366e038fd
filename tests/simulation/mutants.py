"""Mutants: the house with one rule broken, to see that the simulation would find it.

Nothing of the house is touched. A statement is changed on its way to the database, or a rule of the engine is replaced
for the time of a play. A mutant whose place is not found any more is an error: the house was rebuilt, look again.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Mapping
from typing import Final
from unittest import mock

from perdure._engine.clock import Clock
from tests.simulation.world import Options

__all__ = ["MUTANTS"]


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def rewrite(sql: str) -> str:
        if old not in sql:
            message = f"the statement has no {old!r} any more: this mutant is none"
            raise LookupError(message)
        return sql.replace(old, new)

    return rewrite


def _believing_its_own_clock() -> contextlib.AbstractContextManager[object]:
    """A worker that sets its clock at the first look and never again, though a suspended machine's clock stands still.

    A timer is then late, and one whose machine's clock runs ahead early.
    """
    began = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    return mock.patch.object(Clock, "now", lambda clock: began + datetime.timedelta(seconds=clock._monotonic()))  # noqa: SLF001 - a mutant breaks in


MUTANTS: Final[Mapping[str, Options]] = {
    "fence": Options(
        rewrites={"commit_turns": _replaced("i.owner_id is not distinct from $1::uuid and", "$1::uuid is not null and")}
    ),
    "dedupe": Options(rewrites={"commit_turns": _replaced("m.message_id = any(u.messages::bigint[])", "false")}),
    "timer": Options(rewrites={"release": _replaced("else least(i.wake_at, l.wake_at)", "else i.wake_at")}),
    "clock": Options(mutation=_believing_its_own_clock),
}
"""By name: the owner is not asked for at a commit; messages are taken in again; who gives an instance back forgets its
timers; a worker believes its own clock."""

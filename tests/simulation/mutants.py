"""Mutants: the house with one rule broken, to see that the simulation finds it.

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


def _asks_no_owner() -> Options:
    """A commit goes through whoever owns the instance."""
    asks = _replaced("i.owner_id is not distinct from $1::uuid", "$1::uuid is not null")
    return Options(rewrites={"commit_turns": asks, "commit_turn": asks})


def _forgets_keys() -> Options:
    """A signal that is sent twice under one key comes in twice."""
    forget = _replaced("k.dedupe_key is not null as is_known", "false as is_known")
    send = _replaced("and (j.dedupe_key is null or (", "and (true or (")
    return Options(rewrites={"signal_send": lambda sql: send(forget(sql))})


def _forgets_timers() -> Options:
    """Whoever gives an instance back forgets when its next timer is due."""
    return Options(rewrites={"release": _replaced("else least(i.wake_at, l.wake_at)", "else i.wake_at")})


def _believes_its_clock() -> Options:
    """A worker that looked at the database's clock once believes its own from then on, and jumps ahead by a second."""

    def mutation() -> contextlib.AbstractContextManager[object]:
        right = Clock.now
        return mock.patch.object(Clock, "now", lambda clock: right(clock) + datetime.timedelta(seconds=1))

    return Options(mutation=mutation)


MUTANTS: Final[Mapping[str, Callable[[], Options]]] = {
    "fence": _asks_no_owner,
    "dedupe": _forgets_keys,
    "timer": _forgets_timers,
    "clock": _believes_its_clock,
}

"""Who guards the guards: with a rule of the house broken the simulation must find a violation, and soon."""

from __future__ import annotations

import secrets

import pytest

from tests.simulation import world
from tests.simulation.database import Database
from tests.simulation.mutants import MUTANTS

WITHIN = 100


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_found_within_a_hundred_seeds(database: Database, name: str) -> None:
    """A commit that asks for no owner, a signal whose key is forgotten, a timer that is forgotten, a clock that is
    believed: each is found, whichever seed one begins with.
    """
    first = secrets.randbelow(10**9)

    found = next((seed for seed in range(first, first + WITHIN) if is_violated(database, seed, name)), None)

    assert found is not None, f"the mutant {name!r} came through seeds {first} to {first + WITHIN - 1}"


def is_violated(database: Database, seed: int, name: str) -> bool:
    """Say whether a seed finds a mutant."""
    try:
        world.play(database, seed, MUTANTS[name]())
    except world.Violation:
        return True
    return False

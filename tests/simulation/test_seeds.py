"""Seeds find absence: a few new ones at every run, and the promise that each can be played again exactly."""

from __future__ import annotations

import secrets
import threading

import pytest

from tests.simulation import world
from tests.simulation.database import Database
from tests.simulation.loop import Actor
from tests.simulation.weather import Point, Strike

SAMPLE = 15


@pytest.mark.slow
def test_whatever_goes_wrong_nothing_is_lost_doubled_early_or_stranded(database: Database) -> None:
    """Random programs, workers killed and frozen at every statement, answers lost or late, a database that goes away:
    every invariant holds after the statements, and in calm weather everything comes to its end.

    The seeds are new each time; the failure says which it was and how to see it again.
    """
    first = secrets.randbelow(10**9)

    for seed in range(first, first + SAMPLE):
        world.play(database, seed)


@pytest.mark.slow
def test_the_same_seed_is_the_same_story(database: Database) -> None:
    """A seed played again takes every step again, in its order and at its time, whatever was played before and however
    often somebody looks.
    """
    seed = secrets.randbelow(10**9)
    once = world.play(database, seed)
    world.play(database, seed + 1)

    again = world.play(database, seed, world.Options(check_every=1))

    assert again.steps == once.steps
    assert again.digest == once.digest, f"seed {seed} takes two ways"


@pytest.mark.slow
def test_no_thread_and_no_clock_of_the_machine_has_a_part_in_a_story(database: Database) -> None:
    """What takes long because the machine has much to do is no part of the world, and nobody there looks at it."""
    before = set(threading.enumerate())
    threads: set[threading.Thread] = set()

    world.play(database, secrets.randbelow(10**9), world.Options(watch=lambda _: threads.update(threading.enumerate())))

    assert not [thread.name for thread in threads - before]


def test_nobody_is_struck_in_the_calm(database: Database) -> None:
    """A blow that was drawn for an answer in the storm, which comes after it, is none: in the calm all is in time."""
    made, late = world.World(database, 1, world.Options()), Actor("late")
    made.grow_calm()

    made.strike(late, Strike(Point.AFTER, 30.0))
    made.strike(late, Strike(Point.AFTER))

    assert late.is_running

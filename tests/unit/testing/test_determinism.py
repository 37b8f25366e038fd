"""Every turn of a simulation is replayed: what would be held on a worker fails the test, with the turn."""

from __future__ import annotations

import datetime
import itertools
import random

import pytest

from perdure import OrchestrationContext, errors, orchestration
from perdure.testing import Simulation, simulate

counting = itertools.count()


@orchestration("shop::orchestration::clock")
async def clock(ctx: OrchestrationContext) -> None:
    """Look at the machine's clock."""
    await ctx.schedule_timer(1)
    await ctx.schedule_activity("note", datetime.datetime.now(datetime.UTC).isoformat())


@orchestration("shop::orchestration::chance")
async def chance(ctx: OrchestrationContext) -> None:
    """Draw from the machine's chance."""
    await ctx.schedule_timer(1)
    await ctx.schedule_activity("note", random.random())


@orchestration("shop::orchestration::memory")
async def memory(ctx: OrchestrationContext) -> None:
    """Count in a variable of the process."""
    await ctx.schedule_timer(1)
    if next(counting) % 2:
        await ctx.schedule_activity("note")


@orchestration("shop::orchestration::last-words")
async def last_words(ctx: OrchestrationContext) -> int:
    """Return what differs, where nothing comes after it."""
    await ctx.schedule_timer(1)
    return next(counting)


@pytest.mark.parametrize("code", [clock, chance, memory, last_words], ids=lambda code: code.name)
def test_code_that_is_not_deterministic_fails_the_test(code: object) -> None:
    """Clock, chance and memory of the process differ from one replay to the next, and are found where they do."""
    with pytest.raises(errors.NondeterminismError) as raised:
        simulate(code, activities={"note": None})  # type: ignore[arg-type]  # any of them

    [note] = raised.value.__notes__
    assert "turn 2 of test (execution 1) was replayed after turn 2" in note


def test_the_order_of_a_set_is_found_when_it_differs() -> None:
    """Objects hash by their place in memory: a set of them has another order in every life."""

    class Item:
        """Something that hashes as objects do."""

        def __init__(self, number: int) -> None:
            self.number = number

    @orchestration("shop::orchestration::unordered")
    async def unordered(ctx: OrchestrationContext) -> None:
        kept.append([Item(number) for number in range(100)])
        for item in set(kept[-1]):
            await ctx.schedule_activity("note", item.number)

    kept: list[list[Item]] = []
    with pytest.raises(errors.NondeterminismError):
        simulate(unordered, activities={"note": None})


def test_the_simulation_goes_on_to_tell_others() -> None:
    """A difference is raised where the test waits; what else is in the simulation can be looked at."""
    with Simulation(activities={"note": None}) as simulation:
        other = simulation.start(last_words, instance_id="other")
        with pytest.raises(errors.NondeterminismError):
            simulation.run()

        assert len(other.history[0]) == 2


def test_every_life_runs_the_code_again() -> None:
    """Three turns are lived through four times in all: hot, and once more after each crash."""
    lives: list[bool] = []

    @orchestration("shop::orchestration::lives")
    async def many_lives(ctx: OrchestrationContext) -> None:
        lives.append(ctx.is_replaying)
        await ctx.schedule_timer(1)
        await ctx.schedule_timer(1)

    simulate(many_lives)

    assert lives == [False, True, True, True]


def test_code_that_is_put_away_cleans_nothing_up() -> None:
    """A crash is no end: `finally` blocks do not run through the world of the test."""
    cleaned: list[str] = []

    @orchestration("shop::orchestration::tidy")
    async def tidy(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_timer(1)
        finally:
            await ctx.schedule_activity("clean")

    run = simulate(tidy, activities={"clean": lambda ctx: cleaned.append(ctx.instance_id)})

    assert (run.phase, cleaned) == ("Completed", ["test"])


@pytest.mark.slow
def test_a_long_run_is_replayed_less_often_and_still_to_its_end() -> None:
    """A thousand turns are no million replays; the last turn is replayed like the first."""
    lives = 0

    @orchestration("shop::orchestration::long")
    async def long(ctx: OrchestrationContext) -> int:
        nonlocal lives
        lives += 1
        for _ in range(1_000):
            await ctx.schedule_timer(1)
        return next(counting)

    with pytest.raises(errors.NondeterminismError) as raised:
        simulate(long)

    assert "after turn 1001" in raised.value.__notes__[0]
    assert lives < 200

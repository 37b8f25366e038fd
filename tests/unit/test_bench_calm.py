"""The bench measures in calm moments: which try counts is decided by the machine alone, and not for ever."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.bench import calm
from tests.bench.calm import Calm


async def _at_once(_: float) -> None:
    return


def machine(cache: Path, looks: Iterable[float], *, looks_at_most: int = 100) -> Calm:
    """Give a machine that was known to take 2 at its best, and takes so long for the piece of work, look by look."""
    Calm(cache, looks=0, work=lambda: 2.0).slowness()
    return unknown_machine(cache, looks, looks_at_most=looks_at_most)


def unknown_machine(cache: Path, looks: Iterable[float], *, looks_at_most: int = 100) -> Calm:
    """Give a machine of which nobody knows how it is at its best."""
    took = iter(looks)
    return Calm(cache, looks=looks_at_most, work=lambda: next(took), pause=_at_once)


async def test_a_machine_that_nobody_knows_is_looked_at_for_a_while(tmp_path: Path) -> None:
    """Its first moment may be a bad one; here it is looked at twice."""
    shared = unknown_machine(tmp_path, [4.0, 2.0, 2.2, 4.0, 4.0, 4.0], looks_at_most=2)

    assert await shared.wait() == pytest.approx(1.1)
    assert await shared.wait() == 2.0


async def test_it_waits_until_the_machine_is_at_its_best_again(tmp_path: Path) -> None:
    """Slower than at its best by more than 30 % is disturbed."""
    shared = machine(tmp_path, [2.0, 3.0, 2.7, 2.5, 9.0])

    assert await shared.wait() == 1.0
    assert await shared.wait() == 1.25
    assert shared.slowness() == 4.5


async def test_its_patience_ends_and_it_says_how_slow_the_machine_is(tmp_path: Path) -> None:
    """A machine that is disturbed all the time is measured all the same, and known to be slow."""
    shared = machine(tmp_path, [2.0, 3.0, 3.0, 4.0, 9.0], looks_at_most=2)

    assert await shared.wait() == 1.0
    assert await shared.wait() == 2.0
    assert shared.slowness() == 4.5


async def test_the_try_with_the_calmest_machine_counts_whatever_came_out(tmp_path: Path) -> None:
    """Of three disturbed tries the second is the calmest, though it came out worst; after one the best look counts."""
    tries = [[3.0, 9.0, 9.0, 3.0], [2.8, 9.0, 2.7, 9.0], [4.0, 2.0, 2.0, 2.0]]
    shared = machine(tmp_path, [*tries[0], *tries[1], *tries[2]], looks_at_most=0)
    outcomes = iter(["good", "bad", "best"])

    async def play() -> str:
        return next(outcomes)

    outcome, slowness, count = await shared.measure(play, tries=3)

    assert (outcome, round(slowness, 3), count) == ("bad", 1.4, 3)


async def test_a_calm_try_is_the_last(tmp_path: Path) -> None:
    """Calm before and after: nothing is played again."""
    shared = machine(tmp_path, [2.2] * 4)

    async def play() -> str:
        return "only"

    outcome, slowness, count = await shared.measure(play, tries=3)

    assert (outcome, round(slowness, 3), count) == ("only", 1.1, 1)


@pytest.mark.parametrize("broken", ["", "not a number", "0.0", "nan", "-1"])
async def test_the_best_is_known_to_the_next_run(tmp_path: Path, broken: str) -> None:
    """A run that is slow from its first moment knows it; what cannot be the best of a machine is as nothing."""
    assert unknown_machine(tmp_path / "new", [2.0]).slowness() == 1.0
    assert unknown_machine(tmp_path / "new", [3.0]).slowness() == 1.5

    [kept] = (tmp_path / "new").iterdir()
    kept.write_text(broken)
    assert unknown_machine(tmp_path / "new", [3.0]).slowness() == 1.0


def test_a_cache_that_cannot_be_written_keeps_nobody_from_measuring(tmp_path: Path) -> None:
    """The best is then that of this run."""
    (tmp_path / "file").write_text("no folder")

    shared = unknown_machine(tmp_path / "file", [2.0, 3.0])

    assert [shared.slowness(), shared.slowness()] == [1.0, 1.5]


def test_the_piece_of_work_leaves_the_process_on_all_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes from core to core, and back to where it was."""
    monkeypatch.setattr(calm, "_PIECES", 3)
    cores = os.sched_getaffinity(0)

    assert calm.work() > 0

    assert os.sched_getaffinity(0) == cores

"""The bench waits for calm moments, by the machine alone, and not for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import calm
from tests.bench.calm import Calm


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "_LOOK_SECONDS", 0.001)


async def test_it_waits_until_the_machine_is_at_its_best_again(tmp_path: Path) -> None:
    """Slower than at its best by more than a seventh is disturbed."""
    took = iter([2.0, 3.0, 2.4, 2.2, 9.0])
    machine = Calm(tmp_path, patience_seconds=60, work=lambda: next(took))

    assert await machine.wait() == 1.0
    assert await machine.wait() == pytest.approx(1.1)
    assert next(took) == 9.0


async def test_its_patience_ends_and_it_says_how_slow_the_machine_is(tmp_path: Path) -> None:
    """A machine that is disturbed all the time is measured all the same, and known to be slow."""
    machine = Calm(tmp_path, patience_seconds=0.005, work=iter([2.0, *[3.0] * 1_000]).__next__)

    assert await machine.wait() == 1.0
    assert await machine.wait() == 1.5
    assert await machine.wait() == 1.5


@pytest.mark.parametrize("broken", ["", "not a number"])
async def test_the_best_is_known_to_the_next_run(tmp_path: Path, broken: str) -> None:
    """A run that is slow from its first moment knows it; a file that cannot be read is as none."""
    assert Calm(tmp_path / "new", patience_seconds=0, work=lambda: 2.0).slowness() == 1.0
    assert Calm(tmp_path / "new", patience_seconds=0, work=lambda: 3.0).slowness() == 1.5

    [kept] = (tmp_path / "new").iterdir()
    kept.write_text(broken)
    assert Calm(tmp_path / "new", patience_seconds=0, work=lambda: 3.0).slowness() == 1.0


def test_the_piece_of_work_takes_some_time() -> None:
    """It is long enough for a clock."""
    assert calm.work() > 0.005

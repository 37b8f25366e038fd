"""How long a resource waits until it is looked for again what it lacks."""

from __future__ import annotations

import pytest

from perdure._kube.preparation import pause_seconds


@pytest.mark.parametrize(("looks", "pause"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (1_000, 60)])
def test_the_pause_doubles_to_a_minute(looks: int, pause: float) -> None:
    """What comes soon is found soon; what never comes costs little."""
    assert pause_seconds(looks, 1) == pause


def test_very_many_that_wait_ask_for_a_bounded_number_of_looks_a_second() -> None:
    """Ten thousand without their Secret are no storm, also at first."""
    assert pause_seconds(1, 10_000) == 500
    assert pause_seconds(20, 10_000) == 500

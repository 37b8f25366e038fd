"""Which sight of a resource counts, as a table: generation, `instead_of` and deletion against what is known."""

from __future__ import annotations

import dataclasses
from uuid import UUID

import pytest

from perdure._core import sights

UID = UUID(int=1)


@dataclasses.dataclass(frozen=True)
class Sight:
    """A sight, and as good as what is known."""

    generation: int = 2
    deleting: bool = False
    gone: bool = False
    instead_of: int | None = None
    is_same: bool = True
    uid: UUID = UID
    namespace: str = "shop"
    name: str = "db"


KNOWN = Sight()


@pytest.mark.parametrize(
    ("sight", "known", "expected"),
    [
        (Sight(), None, True),
        (Sight(), KNOWN, False),
        (Sight(generation=3), KNOWN, True),
        (Sight(generation=1), KNOWN, False),  # late
        (Sight(generation=1, instead_of=2), KNOWN, True),  # restored
        (Sight(generation=1, instead_of=2), Sight(generation=3), False),  # something newer came meanwhile
        (Sight(instead_of=2), KNOWN, False),
        (Sight(), Sight(is_same=False), True),
        (Sight(deleting=True), KNOWN, True),
        (Sight(), Sight(deleting=True), True),  # restored, and changed since
        (Sight(generation=1), Sight(deleting=True), False),
        (Sight(gone=True, generation=0), KNOWN, True),
        (Sight(gone=True, generation=0), Sight(gone=True), False),
        (Sight(generation=3, instead_of=2), Sight(gone=True), False),
    ],
)
def test_which_sight_is_news(sight: Sight, known: Sight | None, *, expected: bool) -> None:
    """What is older is none, nor what is known; what was read instead of the known one is newer whatever it says."""
    assert sights.is_news(sight, known) is expected


@pytest.mark.parametrize(
    ("sight", "known", "expected"),
    [
        (Sight(), KNOWN, False),
        (Sight(generation=3), KNOWN, False),
        (Sight(generation=1), KNOWN, True),
        (Sight(deleting=True), KNOWN, False),
        (Sight(generation=3), Sight(deleting=True), True),
        (Sight(generation=3, deleting=True), Sight(deleting=True), False),
    ],
)
def test_what_tells_that_the_api_server_was_restored(sight: Sight, known: Sight, *, expected: bool) -> None:
    """Generations fall and deletions are taken back nowhere else."""
    went_back = sights.went_back(
        sight.generation, known.generation, deleting=sight.deleting, was_deleting=known.deleting
    )

    assert went_back is expected

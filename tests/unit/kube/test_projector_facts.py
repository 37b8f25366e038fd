"""What the store knows is put into the words of a status: above all, when nobody can run something."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from uuid import UUID

import pytest

from perdure import errors
from perdure._core.projection import Projection
from perdure._kube.looks import Look, Shown, shown_turn, to_facts
from perdure._store.resources import Fact, TurnRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACT = Fact(
    uid=UUID(int=1),
    namespace="shop",
    name="db",
    generation=1,
    refusal=None,
    cancel_reason=None,
    instance_id="shop/db:1",
    status=None,
    status_turn=None,
    status_phase=None,
    status_generation=None,
    status_resource_version=None,
    orchestration="greet",
    version="",
    phase="Pending",
    execution=1,
    turn=0,
    is_owned=False,
    hold_reason="",
    output=None,
    error=None,
    created_at=NOW,
    started_at=None,
    finished_at=None,
    retries=(),
)


@pytest.mark.parametrize(
    ("version", "offers", "wanted"),
    [
        ("", ["greet@1.0.0"], None),
        ("1.0.0", ["greet@1.0.0"], None),
        ("2.0.0", ["greet@1.0.0"], "2.0.0"),
        ("", ["greeting@1.0.0"], ""),
        ("", [], ""),
    ],
)
def test_a_run_without_an_owner_is_unrunnable_when_nobody_offers_it(
    version: str, offers: list[str], wanted: str | None
) -> None:
    """Without a version any will do, with one that one only."""
    found = to_facts(dataclasses.replace(FACT, version=version), Projection(), offers=offers)

    assert (found.unrunnable and found.unrunnable.version) == wanted


def test_a_run_with_an_owner_or_an_end_is_never_unrunnable() -> None:
    """Who owns it has it; what has ended needs nobody."""
    owned = dataclasses.replace(FACT, is_owned=True)
    ended = dataclasses.replace(FACT, phase="Completed", finished_at=NOW)

    assert to_facts(owned, Projection(), offers=[]).unrunnable is None
    assert to_facts(ended, Projection(), offers=[]).unrunnable is None


@pytest.mark.parametrize(
    ("is_owned", "offers", "turn"), [(False, [], None), (False, ["greet@1.0.0"], 3), (True, [], 3)]
)
def test_a_status_stands_for_no_turn_while_no_worker_is_there(
    *, is_owned: bool, offers: list[str], turn: int | None
) -> None:
    """That ends without a turn: whoever sweeps must look again."""
    fact = dataclasses.replace(FACT, is_owned=is_owned, phase="Running", turn=3)

    assert shown_turn(fact, to_facts(fact, Projection(), offers=offers)) == turn


def test_a_run_that_was_cancelled_before_it_began_says_why() -> None:
    """It has no history that could; the reason comes from the resource."""
    cancelled = dataclasses.replace(FACT, phase="Cancelled", finished_at=NOW, cancel_reason="not needed")

    assert to_facts(cancelled, Projection(), offers=[]).projection.cancel_reason == "not needed"


def test_an_instance_id_that_somebody_else_has_is_said() -> None:
    """The resource has a run, but the row is not its own."""
    taken = dataclasses.replace(FACT, phase=None, orchestration=None, is_owned=None)

    found = to_facts(taken, Projection(), offers=[])

    assert found.instance is None
    assert found.refusal is not None
    assert found.refusal.reason == "InstanceMissing"


def test_a_run_that_waits_for_its_key_is_shown_as_waiting() -> None:
    """That it is held, and for which key, can be said without it. No other run is shown without its history."""
    sealed = errors.EncryptionKeyMissingError("old", known=())
    turn = TurnRow("shop/db:1", 1, 0, NOW, b"", sealed)
    held = dataclasses.replace(FACT, phase="Suspended", hold_reason="PayloadSealed", sealed=sealed)
    ended = dataclasses.replace(FACT, phase="Completed", finished_at=NOW, sealed=sealed)

    assert Look(held, Shown("shop/db:1"), [turn]).folded() == Projection()
    for seen in (Look(ended, None), Look(dataclasses.replace(ended, sealed=None), Shown("shop/db:1"), [turn])):
        with pytest.raises(errors.EncryptionKeyMissingError):
            seen.folded()

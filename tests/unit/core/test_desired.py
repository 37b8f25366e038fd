"""What a sight of a resource means for its run: each question of `desired` as a table.

The cast is one resource, whose present run was started with the request `a`.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from perdure._core import desired
from perdure._core.desired import Decision, Earlier, Policies, Remembered, Run, Seen, Tombstone

UID = UUID(int=1)
ENDED = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING = Run("Running", turn=3, is_owned=True)
FRESH = Run("Pending")
ASLEEP = Run("Running", turn=3)
FINISHED = Run("Completed", turn=3, finished_at=ENDED)
KNOWN = Remembered(1, is_same=True, run=1, instance_id="shop/db:1", request="a", told="a")
TOMBSTONE = Tombstone("a", 1, "shop/db:1", UUID(int=9))
UPDATES = ("AfterCurrentRun", "Signal", "CancelCurrent")


def seen(request: str = "a", **changes: Any) -> Seen:
    """Give a sight; what is a policy goes there."""
    names = {field.name for field in dataclasses.fields(Policies)}
    policies = Policies(**{name: value for name, value in changes.items() if name in names})
    rest = {name: value for name, value in changes.items() if name not in names}
    return Seen(UID, "shop", "db", 1, b"{}", request=request, policies=policies, **rest)


def decide(
    sight: Seen, run: Run | None = RUNNING, known: Remembered | None = KNOWN, tombstone: Tombstone | None = None
) -> Decision:
    """Decide about the resource."""
    return desired.decide(sight, known, run=run, tombstone=tombstone)


def known(**changes: Any) -> Remembered:
    """Give what is known, but for this."""
    return dataclasses.replace(KNOWN, **changes)


# --- an earlier life -------------------------------------------------------------------------------------------------

EARLIER = Earlier(3, "shop/db:3", is_over=True, status=b"{}")


@pytest.mark.parametrize(
    ("sight", "before", "buried", "expected"),
    [
        (seen(), None, None, None),
        (seen(), None, TOMBSTONE, TOMBSTONE),
        (seen(earlier=EARLIER), None, None, Tombstone("a", 3, "shop/db:3", UID)),
        (seen(earlier=EARLIER), None, TOMBSTONE, Tombstone("a", 3, "shop/db:3", UID)),  # its own status knows better
        (seen(earlier=EARLIER), KNOWN, None, None),  # the database knows best
    ],
)
def test_what_is_left_of_an_earlier_run(
    sight: Seen, before: Remembered | None, buried: Tombstone | None, expected: Tombstone | None
) -> None:
    """A status counts only where the database knows nothing of the resource; what is left is adopted, not run again."""
    remains = desired.remains(sight, before, buried=buried)

    assert remains == expected
    assert decide(sight, None, before, remains).begins == ("" if before else "Start" if expected is None else "Adopt")


# --- news ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sight", "before", "expected"),
    [
        (seen(), None, True),
        (seen(), KNOWN, False),
        (seen(), known(is_same=False), True),
        (seen(), known(generation=2, is_same=False), False),
        (seen(instead_of=2), known(generation=2), True),  # the API server went back
        (seen(instead_of=2), known(generation=3), False),  # something newer came meanwhile
        (seen(instead_of=2), KNOWN, False),  # it is known already
        (seen(), known(deleting=True), True),  # it went back, and was changed since
        (seen(instead_of=2), known(generation=2, gone=True), False),
        (seen(deleting=True), KNOWN, True),
        (seen(has_finalizer=True), KNOWN, True),
        (seen(gone=True), known(generation=7), True),
        (seen(gone=True), known(gone=True), False),
        (seen(), known(gone=True, is_same=False), False),
        (seen(), known(waiting="Signal"), True),
    ],
)
def test_what_is_news(sight: Seen, before: Remembered | None, *, expected: bool) -> None:
    """What is known, older or gone is none; where a change waits, every sight asks whether its time has come."""
    assert desired.is_news(sight, before) is expected


def test_a_sight_without_a_change_leaves_the_run_alone() -> None:
    """Whatever state it is in."""
    for run in (RUNNING, FRESH, ASLEEP, FINISHED, None):
        decision = decide(seen(), run)
        assert (decision.begins, decision.waiting, decision.steering, decision.cancels) == ("", "", None, False)


# --- beginning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sight", "tombstone", "expected"),
    [
        (seen(), None, "Start"),
        (seen(refusal=b"{}"), None, ""),
        (seen(deleting=True), None, ""),
        (seen(gone=True), None, ""),
        (seen(cancel_reason="no"), None, "Start"),  # it is over at once
        (seen(deletion="Compensate"), None, ""),
        (seen(deletion="Compensate", has_finalizer=True), None, "Start"),
        (seen(deletion="Compensate", cancel_reason="no"), None, "Start"),
        (seen(), TOMBSTONE, "Adopt"),
        (seen(deletion="Compensate"), TOMBSTONE, "Adopt"),
        (seen("b"), TOMBSTONE, "Start"),
        (seen(refusal=b"{}"), TOMBSTONE, ""),
    ],
)
def test_what_begins_without_a_run(sight: Seen, tombstone: Tombstone | None, expected: str) -> None:
    """A run, unless something forbids it; the finished run of a tombstone with the same request is taken over."""
    for before in (None, known(run=None, instance_id=None, request=None, told=None)):
        assert decide(sight, None, before, tombstone).begins == expected


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    ("request_", "rerun", "run", "expected"),
    [
        ("b", "OnChange", FINISHED, ("Start", "")),
        ("b", "OnChange", None, ("Start", "")),  # removed by its age
        ("b", "OnChange", RUNNING, ("", "as update says")),
        ("a", "OnChange", RUNNING, ("", "")),
        ("a", "OnChange", FINISHED, ("", "")),
        ("b", "Never", FINISHED, ("", "")),
    ],
)
def test_what_a_changed_request_means(
    update: str, request_: str, rerun: str, run: Run | None, expected: tuple[str, str]
) -> None:
    """It waits for the end of the present run; taken back before, it was never there."""
    decision = decide(seen(request_, rerun=rerun, update=update), run, known(waiting=update))

    assert (decision.begins, decision.waiting) == (expected[0], update if expected[1] else "")


def test_the_next_run_begins_without_the_wishes_about_the_former() -> None:
    """It is not cancelled because that one was, and may be deleted by its own TTL."""
    before = known(cancel_reason="enough", is_adopted=True, waiting="AfterCurrentRun")
    decision = decide(seen("b", rerun="OnChange", ttl_seconds=5), FINISHED, before)

    assert (decision.begins, decision.cancel_reason, decision.told) == ("Start", None, "b")
    assert (decision.is_adopted, decision.expires_at, decision.keeps_expiry) == (False, None, False)


def test_a_refused_change_waits() -> None:
    """Nothing is begun, cancelled or told before the refusal is gone."""
    refused = seen("b", rerun="OnChange", update="CancelCurrent", refusal=b"{}")

    assert decide(refused, FINISHED).begins == ""
    assert decide(refused).cancel_reason is None
    assert decide(dataclasses.replace(refused, policies=Policies(rerun="OnChange", update="Signal"))).steering is None


# --- ending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sight", "before", "reason"),
    [
        (seen(gone=True), KNOWN, desired.DELETED),
        (seen(deleting=True), KNOWN, desired.DELETED),
        (seen(deleting=True, deletion="Compensate"), KNOWN, desired.DELETED),
        (seen(deleting=True, deletion="Orphan"), KNOWN, None),
        (seen(gone=True), known(deletion="Orphan"), None),
        (seen(gone=True), known(deletion="Orphan", cancel_reason="enough"), "enough"),
        (seen(cancel_reason="enough"), KNOWN, "enough"),
        (seen(cancel_reason="more"), known(cancel_reason="enough"), "enough"),
        (seen(), known(cancel_reason="enough"), "enough"),
        (seen("b", rerun="OnChange", update="CancelCurrent"), KNOWN, desired.CHANGED),
        (seen("b", rerun="OnChange", update="AfterCurrentRun"), KNOWN, None),
    ],
)
def test_why_a_run_is_to_end(sight: Seen, before: Remembered, reason: str | None) -> None:
    """The first wish counts, and is sent once."""
    decision = decide(sight, RUNNING, before)
    steering = decision.steering

    assert decision.cancel_reason == reason
    assert (steering.cancel if steering else None) == (reason if before.cancel_reason is None else None)


def test_a_change_that_is_taken_back_too_late_begins_anew() -> None:
    """The run was cancelled for it; when it has ended, another of the same request begins."""
    before = known(cancel_reason=desired.CHANGED, waiting="CancelCurrent")
    back = seen("a", rerun="OnChange", update="CancelCurrent")

    assert decide(back, RUNNING, before).waiting == "CancelCurrent"
    assert decide(back, dataclasses.replace(FINISHED, phase="Cancelled"), before).begins == "Start"


def test_a_run_that_no_worker_took_ends_at_once() -> None:
    """It needs none to end; any other is told."""
    fresh, owned, asleep = (
        decide(seen(gone=True), run).steering for run in (FRESH, dataclasses.replace(FRESH, is_owned=True), ASLEEP)
    )

    assert fresh is not None
    assert owned is not None
    assert asleep is not None
    assert (fresh.phase, fresh.ends, fresh.cancel) == ("Cancelled", True, None)
    assert (owned.phase, owned.ends, owned.cancel, owned.wakes) == ("Pending", False, desired.DELETED, True)
    assert (asleep.phase, asleep.ends, asleep.cancel, asleep.wakes) == ("Running", False, desired.DELETED, True)


def test_a_finished_run_is_left_as_it_ended() -> None:
    """By a deletion, a cancel and a pause."""
    for sight in (seen(gone=True), seen(cancel_reason="no"), seen(suspend=True), seen(timeout_seconds=1)):
        assert decide(sight, FINISHED).steering is None


# --- telling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sight", "run", "before", "expected"),
    [
        (seen("b", rerun="OnChange", update="Signal"), RUNNING, KNOWN, True),
        (seen("b", rerun="OnChange", update="Signal"), RUNNING, known(told="b"), False),
        (seen("a", rerun="OnChange", update="Signal"), RUNNING, known(told="b"), True),  # taken back: told again
        (seen("b", rerun="OnChange", update="AfterCurrentRun"), RUNNING, KNOWN, False),
        (seen("b", rerun="OnChange", update="Signal", refusal=b"{}"), RUNNING, KNOWN, False),
        (seen("b", rerun="OnChange", update="Signal", deleting=True), RUNNING, KNOWN, False),
        (seen("b", rerun="OnChange", update="Signal", cancel_reason="no"), RUNNING, KNOWN, False),
        (seen("b", rerun="OnChange", update="Signal"), RUNNING, known(cancel_reason="no"), False),
    ],
)
def test_who_is_told_of_a_changed_request(sight: Seen, run: Run, before: Remembered, *, expected: bool) -> None:
    """A run that goes on, once for each change."""
    decision = decide(sight, run, before)
    tells = decision.steering is not None and decision.steering.tells

    assert tells is expected
    assert decision.told == (sight.request if tells else before.told)


# --- pausing ---------------------------------------------------------------------------------------------------------

PAUSED = dataclasses.replace(ASLEEP, phase="Suspended", is_suspended=True, suspend_reason=desired.SUSPENDED_BY_SPEC)
PAUSED_FRESH = dataclasses.replace(PAUSED, turn=0)
HELD = dataclasses.replace(ASLEEP, phase="Suspended", hold_reason="Nondeterministic")


@pytest.mark.parametrize(
    ("suspend", "run", "expected"),
    [
        (True, RUNNING, ("Suspended", True, "spec.suspend", True)),
        (True, ASLEEP, ("Suspended", True, "spec.suspend", False)),
        (True, FRESH, ("Suspended", True, "spec.suspend", False)),
        (True, PAUSED, None),
        (True, dataclasses.replace(PAUSED, suspend_reason="mine"), None),
        (True, HELD, ("Suspended", True, "spec.suspend", False)),
        (False, PAUSED, ("Running", False, "", True)),
        (False, PAUSED_FRESH, ("Pending", False, "", True)),
        (False, dataclasses.replace(PAUSED, suspend_reason="mine"), None),
        (False, HELD, None),
        (False, dataclasses.replace(PAUSED, hold_reason="Nondeterministic"), ("Suspended", False, "", True)),
    ],
)
def test_who_pauses_and_who_goes_on(*, suspend: bool, run: Run, expected: tuple[object, ...] | None) -> None:
    """The spec takes back its own pause; a hold, or somebody's pause, is not for it to end."""
    steering = decide(seen(suspend=suspend), run).steering

    found = steering and (steering.phase, steering.is_suspended, steering.suspend_reason, steering.wakes)
    assert found == expected


def test_nothing_pauses_who_is_to_end() -> None:
    """A pause would keep it from compensating."""
    ending = decide(seen(suspend=True, cancel_reason="enough"), PAUSED).steering
    cancelling = decide(seen(suspend=True), RUNNING, known(cancel_reason="enough")).steering

    assert ending is not None
    assert (ending.is_suspended, ending.phase) == (False, "Running")
    assert cancelling is None


# --- deadlines, holds, ages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sight", "run", "before", "clock"),
    [
        (seen(timeout_seconds=9), RUNNING, KNOWN, "Change"),
        (seen(timeout_seconds=9), RUNNING, known(timeout_seconds=9), None),
        (seen(), RUNNING, known(timeout_seconds=9), "Change"),
        (seen(timeout_seconds=9), PAUSED_FRESH, known(timeout_seconds=9), "Anew"),
        (seen(timeout_seconds=9), PAUSED, known(timeout_seconds=9), "Keep"),
    ],
)
def test_what_becomes_of_a_deadline(sight: Seen, run: Run, before: Remembered, clock: str | None) -> None:
    """A changed timeout moves it; whoever is created suspended has one from its release on."""
    steering = decide(sight, run, before).steering

    assert (steering and steering.clock) == clock


def test_held_code_is_tried_again_when_it_may_fail() -> None:
    """Nobody would look at it otherwise; a run that is not held has the new word for the next time."""
    held = decide(seen(on_nondeterminism="Fail"), HELD).steering
    running = decide(seen(on_nondeterminism="Fail"), RUNNING).steering

    assert held is not None
    assert running is not None
    assert (held.on_nondeterminism, held.wakes) == ("Fail", True)
    assert (running.on_nondeterminism, running.wakes) == ("Fail", False)


def test_the_age_of_a_run_may_change_after_its_end() -> None:
    """It is the one thing of a finished run that may; the end of the resource leaves it."""
    changed = decide(seen(retention_seconds=5), FINISHED).steering
    gone = decide(seen(gone=True), dataclasses.replace(FINISHED, retention_seconds=5)).steering

    assert changed is not None
    assert (changed.retention_seconds, changed.phase) == (5, "Completed")
    assert gone is None


# --- finalizers and TTL ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sight", "run", "before", "expected"),
    [
        (seen(deletion="Compensate"), None, None, True),
        (seen(deletion="Compensate", refusal=b"{}"), None, None, False),
        (seen(deletion="Compensate", cancel_reason="no"), None, None, False),
        (seen(deletion="Compensate", has_finalizer=True), None, None, True),
        (seen(deletion="Compensate"), RUNNING, KNOWN, True),
        (seen(deletion="Compensate"), FINISHED, KNOWN, False),
        (seen(deletion="Compensate", deleting=True), RUNNING, KNOWN, True),
        (seen(deletion="Compensate", deleting=True), FINISHED, KNOWN, False),
        (seen(deletion="Compensate", deleting=True), None, None, False),
        (seen(deletion="Cancel", has_finalizer=True), RUNNING, KNOWN, False),
        (seen(deletion="Orphan", has_finalizer=True, deleting=True), RUNNING, KNOWN, False),
        (seen(gone=True), RUNNING, known(deletion="Compensate"), False),
        (seen("b", deletion="Compensate", rerun="OnChange"), FINISHED, KNOWN, True),  # on again before the next begins
    ],
)
def test_when_a_resource_is_kept(sight: Seen, run: Run | None, before: Remembered | None, *, expected: bool) -> None:
    """From before the begin of a run that compensates to its end, and no longer."""
    assert decide(sight, run, before).wants_finalizer is expected


@pytest.mark.parametrize(
    ("sight", "run", "before", "expected"),
    [
        (seen(ttl_seconds=60), FINISHED, KNOWN, ENDED + timedelta(seconds=60)),
        (seen(ttl_seconds=0), FINISHED, KNOWN, ENDED),
        (seen(), FINISHED, KNOWN, None),
        (seen(ttl_seconds=60), RUNNING, KNOWN, None),
        (seen(ttl_seconds=60), FINISHED, known(is_adopted=True), None),
    ],
)
def test_when_a_resource_expires(sight: Seen, run: Run, before: Remembered, expected: datetime | None) -> None:
    """So long after the end of its run; one that has adopted its run stays."""
    assert decide(sight, run, before).expires_at == expected

"""Who may take the Lease and when a leader must stop, as tables: every moment is an argument."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta

import pytest

from perdure._kube import election
from perdure._kube.election import Claim, Sight, Terms

TERMS = Terms()
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OTHER = Claim("other", 15.0, acquired="long ago", renewed="2031-01-01T00:00:00.000001Z", transitions=3)
"""Somebody whose clock is years ahead."""


@pytest.mark.parametrize(
    ("sight", "now", "expected"),
    [
        (None, 0.0, True),  # there is no Lease
        (Sight(OTHER, since=100.0), 100.0, False),  # seen for the first time, whatever its times say
        (Sight(OTHER, since=100.0), 114.9, False),
        (Sight(OTHER, since=100.0), 115.0, True),  # nobody has renewed it for as long as it lasts
        (Sight(dataclasses.replace(OTHER, lease_seconds=60.0), since=100.0), 115.0, False),  # as long as it says
        (Sight(dataclasses.replace(OTHER, holder=""), since=100.0), 100.0, True),  # released
        (Sight(dataclasses.replace(OTHER, holder="me"), since=100.0), 100.0, True),  # one's own
        (Sight(Claim(), since=100.0), 100.0, True),  # a Lease that says nothing
    ],
)
def test_a_lease_is_taken_when_nobody_holds_it(sight: Sight | None, now: float, *, expected: bool) -> None:
    """Only what this process saw, by its own clock, counts: the times in a Lease are those of another clock."""
    assert election.may_take(sight, "me", now=now) is expected


@pytest.mark.parametrize(
    ("seen", "since"),
    [
        (OTHER, 100.0),  # nothing new
        (dataclasses.replace(OTHER, renewed="2031-01-01T00:00:02.000001Z"), 110.0),  # renewed
        (dataclasses.replace(OTHER, renewed="2001-01-01T00:00:00.000001Z"), 110.0),  # by a clock that was put back
        (dataclasses.replace(OTHER, holder="third"), 110.0),
    ],
)
def test_a_lease_lasts_from_when_it_was_first_seen_as_it_is(seen: Claim, since: float) -> None:
    """Whatever changes in it is a sign of life."""
    assert election.look(Sight(OTHER, since=100.0), seen, now=110.0) == Sight(seen, since)


def test_a_renewal_keeps_since_when_it_leads_and_a_change_counts() -> None:
    """`acquireTime` and `leaseTransitions` tell people who look how often the lead changed, and when last."""
    won = election.taken(OTHER, "me", at=NOON, terms=TERMS)
    renewed = election.taken(won, "me", at=NOON + timedelta(seconds=2), terms=TERMS)

    assert won == Claim("me", 15.0, "2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:00.000000Z", 4)
    assert renewed == dataclasses.replace(won, renewed="2026-01-01T12:00:02.000000Z")


def test_a_released_lease_is_anybodys_at_once() -> None:
    """A standby takes it at its next look, and counts the change."""
    mine = election.taken(OTHER, "me", at=NOON, terms=TERMS)
    left = election.released(mine, at=NOON)

    assert election.may_take(Sight(left, since=100.0), "other", now=100.0)
    assert election.taken(left, "other", at=NOON, terms=TERMS).transitions == mine.transitions + 1


@pytest.mark.parametrize(("now", "expected"), [(100.0, False), (109.9, False), (110.0, True), (200.0, True)])
def test_a_leader_that_cannot_renew_stops_before_another_may_begin(now: float, *, expected: bool) -> None:
    """Five seconds before, which is the time to end its work in order."""
    assert election.is_over(100.0, now, terms=TERMS) is expected
    assert TERMS.lease_seconds - TERMS.renew_seconds == 5.0


@pytest.mark.parametrize(
    ("chosen", "is_in_pod", "is_named", "expected"),
    [
        ("auto", False, False, False),  # `make run`: nobody to wait for
        ("auto", True, False, True),
        ("auto", False, True, True),
        ("on", False, False, True),
        ("off", True, True, False),
    ],
)
def test_who_is_alone_need_not_be_elected(chosen: str, *, is_in_pod: bool, is_named: bool, expected: bool) -> None:
    """In a pod there may be others; elsewhere who wants an election says so, or names its namespace."""
    assert election.is_wanted(chosen, is_in_pod=is_in_pod, is_named=is_named) is expected


def test_candidates_do_not_all_try_at_once() -> None:
    """Each waits a little more or less than two seconds."""
    assert [round(election.pause(TERMS, chance), 3) for chance in (0.0, 0.5, 1.0)] == [1.8, 2.0, 2.2]


def test_a_claim_is_read_as_it_was_written() -> None:
    """What the API server keeps of a Lease is what the rules decide on."""
    claim = election.taken(OTHER, "me", at=NOON, terms=TERMS)

    assert election.claim_of({"spec": election.spec(claim)}) == claim


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"spec": None},
        {"spec": {}},
        {"spec": {"holderIdentity": None, "leaseDurationSeconds": None, "renewTime": None, "leaseTransitions": None}},
    ],
)
def test_a_lease_that_says_nothing_is_nobodys(manifest: dict[str, object]) -> None:
    """Somebody may have created an empty one beforehand, as to give it labels."""
    assert election.claim_of(manifest) == Claim()  # type: ignore[arg-type]  # JSON as literals


@pytest.mark.parametrize("microsecond", [0, 1, 999_999])
def test_a_time_has_all_places_of_its_microseconds(microsecond: int) -> None:
    """The API server refuses a time without a fraction, which would be one renewal in a million."""
    claim = election.taken(OTHER, "me", at=NOON.replace(microsecond=microsecond), terms=TERMS)

    assert re.fullmatch(r"2026-01-01T12:00:00\.\d{6}Z", claim.renewed)

"""What is done about ticks: policies, deadlines, suspension and jitter, as a table."""

from __future__ import annotations

import datetime
from typing import Any
from uuid import UUID

import pytest

from perdure._kube.api.refusals import Refusal
from perdure._kube.schedules import deciding

UID = UUID(int=7)
NOON = datetime.datetime(2026, 5, 1, 12, 0, 1, tzinfo=datetime.UTC)
"""A second after the tick of noon."""


def at(minute: int, second: int = 0, *, hour: int = 12) -> datetime.datetime:
    """Give a moment of that day."""
    return NOON.replace(hour=hour, minute=minute, second=second)


def spec(cron: str = "* * * * *", **fields: Any) -> dict[str, Any]:
    """Give the spec of a schedule."""
    return {"cron": cron, "orchestrationTemplate": {"spec": {"orchestration": "flow"}}, **fields}


def plan(cron: str = "* * * * *", **fields: Any) -> deciding.Plan:
    """Give the plan of a spec that can be read."""
    read = deciding.plan(UID, spec(cron, **fields))
    assert isinstance(read, deciding.Plan)
    return read


def decide(minutes: float, cron: str = "* * * * *", *, unfinished: int = 0, **fields: Any) -> deciding.Decision:
    """Decide a second after noon, when everything was decided so many minutes before."""
    standing = deciding.Standing(NOON - datetime.timedelta(minutes=minutes), NOON, unfinished)
    return deciding.decide(plan(cron, **fields), standing)


def test_a_tick_is_run_and_the_next_one_awaited() -> None:
    """What was due up to now is decided."""
    assert decide(1) == deciding.Decision(NOON, at(1), (at(0),))


def test_nothing_due_is_decided_too() -> None:
    """The first look at a schedule only finds out when to look again."""
    assert decide(0) == deciding.Decision(NOON, at(1))


POLICIES = [
    # policy, unfinished runs, fields; what is run, what is missed and why
    ("Allow", 3, {}, [0], 1, "CatchUpLimit"),
    ("Allow", 3, {"catchUpLimit": 5}, [-1, 0], 0, ""),
    ("Forbid", 0, {"catchUpLimit": 5}, [0], 1, "CatchUpLimit"),
    ("Forbid", 1, {}, [], 2, "StillRunning"),
    ("Replace", 1, {"catchUpLimit": 5}, [0], 1, "CatchUpLimit"),
    ("Replace", 0, {}, [0], 1, "CatchUpLimit"),
]


@pytest.mark.parametrize(("policy", "unfinished", "fields", "minutes", "missed", "reason"), POLICIES)
def test_the_policy_says_what_becomes_of_two_ticks(
    policy: str, unfinished: int, fields: dict[str, Any], *, minutes: list[int], missed: int, reason: str
) -> None:
    """Two ticks have passed together; each is run or missed, and a missed one says why."""
    decision = decide(2, unfinished=unfinished, concurrencyPolicy=policy, **fields)

    assert decision.run == tuple(at(0) + datetime.timedelta(minutes=minute) for minute in minutes)
    assert (decision.missed.count if decision.missed else 0) == missed
    assert (decision.missed.reason if decision.missed else "") == reason
    assert decision.decided_until == NOON


def test_a_forbidden_tick_waits_as_long_as_its_deadline_allows() -> None:
    """With a deadline nothing is decided yet; it is looked at again soon, and at the next tick at the latest."""
    decision = decide(1, unfinished=1, concurrencyPolicy="Forbid", startingDeadlineSeconds=40)

    assert decision.run == ()
    assert decision.missed is None
    assert decision.decided_until == NOON - datetime.timedelta(minutes=1)
    assert decision.next_at == NOON + datetime.timedelta(seconds=5)


def test_a_forbidden_tick_is_missed_when_its_deadline_is_over() -> None:
    """An hour's tick that had half a minute is too late after a minute; the next one is awaited."""
    standing = deciding.Standing(at(59, hour=11), at(1), unfinished=1)

    decision = deciding.decide(plan("@hourly", concurrencyPolicy="Forbid", startingDeadlineSeconds=30), standing)

    assert (decision.run, decision.next_at) == ((), at(0, hour=13))
    assert decision.missed is not None
    assert (decision.missed.reason, decision.missed.latest) == ("TooLate", at(0))


def test_a_suspended_schedule_decides_nothing_and_has_no_next_tick() -> None:
    """What passes meanwhile stays undecided: a CronJob that is resumed makes up for the latest, and so do we."""
    assert decide(30, suspend=True) == deciding.Decision(NOON - datetime.timedelta(minutes=30), None)
    assert plan(suspend=True).next_after(NOON) is None
    assert decide(30).run == (at(0),)


def test_a_resumed_schedule_with_a_deadline_makes_up_for_nothing_older() -> None:
    """The way to make up for nothing."""
    decision = deciding.decide(plan("30 * * * *", startingDeadlineSeconds=60), deciding.Standing(at(0, hour=9), NOON))

    assert decision.run == ()
    assert decision.missed is not None
    assert (decision.missed.count, decision.missed.reason) == (3, "TooLate")


def test_jitter_delays_every_tick_of_a_schedule_by_the_same() -> None:
    """A tick is due when its delay is over; what it is called stays, and the deadline counts from then."""
    delayed = plan(jitterSeconds=600)
    delay = delayed.jitter

    early = deciding.decide(delayed, deciding.Standing(at(0), at(1) + delay - datetime.timedelta(seconds=1)))
    late = deciding.decide(delayed, deciding.Standing(at(0), at(1) + delay))

    assert datetime.timedelta(0) < delay <= datetime.timedelta(seconds=600)
    assert (early.run, early.next_at) == ((), at(1) + delay)
    assert (late.run, late.next_at, late.decided_until) == ((at(1),), at(2) + delay, at(1))


def test_jitter_that_is_changed_repeats_nothing() -> None:
    """More delay than before does not lead back before what is decided."""
    decision = deciding.decide(plan(jitterSeconds=600), deciding.Standing(NOON, NOON))

    assert (decision.run, decision.decided_until) == ((), NOON)


def test_a_clock_that_goes_back_repeats_nothing() -> None:
    """A database that was restored somewhere else may be behind: what is decided stays decided."""
    decision = deciding.decide(plan(), deciding.Standing(NOON, NOON - datetime.timedelta(hours=1)))

    assert (decision.run, decision.decided_until, decision.next_at) == ((), NOON, at(1))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cron": "61 * * * *"}, "InvalidCron"),
        ({"timeZone": "Mars/Olympus"}, "UnknownTimeZone"),
        ({"concurrencyPolicy": "Perhaps"}, "InvalidSpec"),
        ({"orchestrationTemplate": None}, "InvalidSpec"),
    ],
)
def test_a_spec_that_cannot_be_followed_is_refused(fields: dict[str, Any], reason: str) -> None:
    """What the API server could not see, or a newer one let through, becomes a refusal and no error."""
    refusal = deciding.plan(UID, {**spec(), **fields})

    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert "spec." in refusal.message

"""When a schedule is due: the language of cron, clocks that are changed, and what has passed while nobody looked."""

from __future__ import annotations

import datetime
import itertools

import cronsim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure._kube.api.refusals import Refusal
from perdure._kube.schedules import ticks

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def table(cron: str, zone: str = "UTC") -> ticks.Timetable:
    """Read an expression that can be read."""
    read = ticks.timetable(cron, zone)
    assert isinstance(read, ticks.Timetable)
    return read


def moment(text: str) -> datetime.datetime:
    """Read a moment in UTC, as in `2026-03-29 01:00`."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def upcoming(cron: str, zone: str, *, since: str, count: int) -> list[str]:
    """Give the next ticks, in UTC."""
    return [f"{tick:%Y-%m-%d %H:%M}" for tick in itertools.islice(table(cron, zone).after(moment(since)), count)]


# A second here is the last in which nothing was due yet; the first tick is what comes after it.
NEXT = [
    ("* * * * *", "UTC", "2026-05-01 12:00", "2026-05-01 12:01"),
    ("*/15 * * * *", "UTC", "2026-05-01 12:01", "2026-05-01 12:15"),
    ("5-10/5,40 3 * * *", "UTC", "2026-05-01 03:06", "2026-05-01 03:10"),
    ("0 0 * * MON-fri", "UTC", "2026-05-01 00:00", "2026-05-04 00:00"),
    ("0 0 * jan,JUL *", "UTC", "2026-05-01 00:00", "2026-07-01 00:00"),
    ("0 0 * * 7", "UTC", "2026-05-01 00:00", "2026-05-03 00:00"),
    ("0 0 13 * FRI", "UTC", "2026-05-09 00:00", "2026-05-13 00:00"),
    ("0 0 ? * FRI", "UTC", "2026-05-09 00:00", "2026-05-15 00:00"),
    ("0 0 L * *", "UTC", "2026-05-01 00:00", "2026-05-31 00:00"),
    ("0 0 LW * *", "UTC", "2026-05-01 00:00", "2026-05-29 00:00"),
    ("0 0 * * 5L", "UTC", "2026-05-01 00:00", "2026-05-29 00:00"),
    ("0 0 * * MON#2", "UTC", "2026-05-01 00:00", "2026-05-11 00:00"),
    ("0 0 29 2 *", "UTC", "2026-05-01 00:00", "2028-02-29 00:00"),
    ("@hourly", "UTC", "2026-05-01 12:00", "2026-05-01 13:00"),
    ("@daily", "UTC", "2026-05-01 12:00", "2026-05-02 00:00"),
    ("@MIDNIGHT", "UTC", "2026-05-01 12:00", "2026-05-02 00:00"),
    ("@weekly", "UTC", "2026-05-01 12:00", "2026-05-03 00:00"),
    ("@monthly", "UTC", "2026-05-01 12:00", "2026-06-01 00:00"),
    ("@yearly", "UTC", "2026-05-01 12:00", "2027-01-01 00:00"),
    ("@annually", "UTC", "2026-05-01 12:00", "2027-01-01 00:00"),
    ("0 9 * * *", "Europe/Berlin", "2026-05-01 12:00", "2026-05-02 07:00"),
    ("0 9 * * *", "America/New_York", "2026-05-01 12:00", "2026-05-01 13:00"),
    ("30 9 * * *", "Asia/Kolkata", "2026-05-01 12:00", "2026-05-02 04:00"),
]


@pytest.mark.parametrize(("cron", "zone", "since", "expected"), NEXT, ids=[f"{row[0]} {row[1]}" for row in NEXT])
def test_the_next_tick_is_what_people_expect(cron: str, zone: str, since: str, expected: str) -> None:
    """Fields, names, ranges, steps, last days and nicknames mean what they mean to cron."""
    assert upcoming(cron, zone, since=since, count=1) == [expected]


CLOCKS = [
    # Berlin, 29 March 2026: 02:00 becomes 03:00, which is 01:00 in UTC.
    ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:30"]),
    ("*/20 2 * * *", "Europe/Berlin", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:00"]),
    ("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-29 01:30"]),
    ("0 * * * *", "Europe/Berlin", "2026-03-29 00:00", ["2026-03-29 01:00", "2026-03-29 02:00"]),
    ("*/30 * * * *", "Europe/Berlin", "2026-03-29 00:00", ["2026-03-29 00:30", "2026-03-29 01:00"]),
    # Berlin, 25 October 2026: 03:00 becomes 02:00; half past two is at 00:30 and at 01:30 in UTC.
    ("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25 01:15", ["2026-10-26 01:30"]),
    ("*/30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", ["2026-10-25 00:00", "2026-10-25 00:30", "2026-10-26 01:00"]),
    ("30 * * * *", "Europe/Berlin", "2026-10-25 00:00", ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 02:30"]),
    # New York, 8 March 2026: 02:00 becomes 03:00, which is 07:00 in UTC.
    ("15 2 * * *", "America/New_York", "2026-03-07 12:00", ["2026-03-08 07:00", "2026-03-09 06:15"]),
    ("15 * * * *", "America/New_York", "2026-03-08 06:00", ["2026-03-08 06:15", "2026-03-08 07:15"]),
    # New York, 1 November 2026: 02:00 becomes 01:00; a quarter past one is at 05:15 and at 06:15 in UTC.
    ("15 1 * * *", "America/New_York", "2026-10-31 12:00", ["2026-11-01 05:15", "2026-11-02 06:15"]),
    ("15 * * * *", "America/New_York", "2026-11-01 05:00", ["2026-11-01 05:15", "2026-11-01 06:15"]),
    # Lord Howe Island moves its clocks by half an hour: on 4 October 2026 02:00 becomes 02:30, which is 15:30 in UTC.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", ["2026-10-03 15:30", "2026-10-04 15:15"]),
]


@pytest.mark.parametrize(("cron", "zone", "since", "expected"), CLOCKS, ids=[f"{row[0]} {row[1]}" for row in CLOCKS])
def test_changed_clocks_leave_nothing_out_and_double_nothing(
    cron: str, zone: str, since: str, expected: list[str]
) -> None:
    """Named hours run once: right after a gap, and the first time in a fold. Intervals count as time passes."""
    assert upcoming(cron, zone, since=since, count=len(expected)) == expected


REFUSED = [
    ("", "UTC", "InvalidCron", "five fields"),
    ("* * * *", "UTC", "InvalidCron", "five fields"),
    ("0 * * * * *", "UTC", "InvalidCron", "there are no seconds"),
    ("@every 1h", "UTC", "InvalidCron", "@hourly"),
    ("@reboot", "UTC", "InvalidCron", "@hourly"),
    ("TZ=Europe/Berlin 0 0 * *", "UTC", "InvalidCron", "spec.timeZone"),
    ("CRON_TZ=UTC 0 0 * *", "UTC", "InvalidCron", "spec.timeZone"),
    ("60 * * * *", "UTC", "InvalidCron", "no such minute"),
    ("0 24 * * *", "UTC", "InvalidCron", "no such hour"),
    ("0 0 0 * *", "UTC", "InvalidCron", "no such day-of-month"),
    ("0 0 * 13 *", "UTC", "InvalidCron", "no such month"),
    ("0 0 * * MOO", "UTC", "InvalidCron", "no such day-of-week"),
    ("*/0 * * * *", "UTC", "InvalidCron", "no such minute"),
    ("5-1 * * * *", "UTC", "InvalidCron", "no such minute"),
    ("0 0 30 2 *", "UTC", "InvalidCron", "no such day-of-month"),
    ("0 0 */20 * 1L", "UTC", "InvalidCron", "no day is like that"),
    ("* * * * *", "", "UnknownTimeZone", "IANA"),
    ("* * * * *", "Mars/Olympus", "UnknownTimeZone", "'Mars/Olympus'"),
    ("* * * * *", "Europe", "UnknownTimeZone", "Europe/Berlin"),
    ("* * * * *", "Local", "UnknownTimeZone", "IANA"),
    ("* * * * *", "localtime", "UnknownTimeZone", "IANA"),
    ("* * * * *", "../../etc/passwd", "UnknownTimeZone", "IANA"),
    ("* * * * *", "UTC+1", "UnknownTimeZone", "IANA"),
]


@pytest.mark.parametrize(("cron", "zone", "reason", "words"), REFUSED, ids=[f"{row[0]} {row[1]}" for row in REFUSED])
def test_what_cannot_be_read_is_refused_and_says_why(cron: str, zone: str, reason: str, words: str) -> None:
    """The sentence names what was written, what is wrong with it, and that nothing is run."""
    refusal = ticks.timetable(cron, zone)

    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert words in refusal.message
    assert refusal.message.endswith("Nothing is run until it is changed.")


@given(st.text(alphabet="0123456789*/,-#?LWMONJA @", max_size=30))
def test_any_text_is_read_or_refused(cron: str) -> None:
    """There is no expression that ends the loop of everybody else's schedules."""
    assert isinstance(ticks.timetable(cron, "UTC"), Refusal | ticks.Timetable)


# --- what has passed --------------------------------------------------------------------------------------------------


def due(cron: str, *, minutes: float, deadline_seconds: float | None = None, at_most: int = 1) -> ticks.Due:
    """Give what has come due at noon, when everything was decided so many minutes ago."""
    after = NOON - datetime.timedelta(minutes=minutes)
    return ticks.due(table(cron), after=after, now=NOON, deadline_seconds=deadline_seconds, at_most=at_most)


def minutes_ago(*minutes: int) -> tuple[datetime.datetime, ...]:
    """Give the moments so many minutes before noon."""
    return tuple(NOON - datetime.timedelta(minutes=count) for count in minutes)


def test_a_tick_is_due_from_its_minute_on_and_once_decided_never_again() -> None:
    """Noon is due at noon; decided at noon, nothing is."""
    assert due("* * * * *", minutes=0.5) == ticks.Due(minutes_ago(0))
    assert due("* * * * *", minutes=0) == ticks.Due()


def test_of_those_that_passed_together_the_latest_is_run() -> None:
    """Three were missed, and are told."""
    assert due("* * * * *", minutes=4) == ticks.Due(minutes_ago(0), beyond=3, last_missed=minutes_ago(1)[0])


def test_as_many_as_allowed_are_made_up_for_the_oldest_first() -> None:
    """What is run is the latest of what has passed, in its order."""
    assert due("* * * * *", minutes=4, at_most=3) == ticks.Due(
        minutes_ago(2, 1, 0), beyond=1, last_missed=minutes_ago(3)[0]
    )


def test_what_is_older_than_the_deadline_is_too_late() -> None:
    """A deadline of two minutes leaves those of 0, 1 and 2 minutes ago; two are older."""
    assert due("* * * * *", minutes=5, deadline_seconds=120, at_most=9) == ticks.Due(
        minutes_ago(2, 1, 0), too_late=2, last_missed=minutes_ago(3)[0]
    )
    assert due("@hourly", minutes=59.5, deadline_seconds=30) == ticks.Due(minutes_ago(0))
    assert due("30 * * * *", minutes=40, deadline_seconds=60) == ticks.Due(too_late=1, last_missed=minutes_ago(30)[0])


def test_a_year_of_missed_minutes_is_not_counted_one_by_one() -> None:
    """The latest are found all the same; the count stops where it says nothing more."""
    found = due("* * * * *", minutes=365 * 24 * 60, at_most=2)

    assert found == ticks.Due(minutes_ago(1, 0), beyond=ticks.COUNTED - 2, last_missed=minutes_ago(2)[0])


def test_a_year_of_missed_minutes_with_a_deadline_runs_what_is_in_time() -> None:
    """The deadline counts from now, however long ago the first missed one was."""
    found = due("* * * * *", minutes=365 * 24 * 60, deadline_seconds=90, at_most=5)

    assert found.run == minutes_ago(1, 0)
    assert found.too_late == ticks.COUNTED


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns"]
CRONS = ["* * * * *", "*/7 * * * *", "30 2 * * *", "*/20 1-3 * * *", "0 */3 * * *", "15 1,2 * * SUN", "0 0 L * *"]
AROUND = [moment(day) for day in ("2026-03-08", "2026-03-29", "2026-10-03", "2026-10-25", "2026-11-01", "2026-06-15")]


@settings(max_examples=60)
@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    st.sampled_from(AROUND),
    st.lists(st.integers(0, 30 * 60), min_size=3, max_size=3).map(sorted),
)
def test_whoever_looks_when_finds_the_same_ticks(
    cron: str, zone: str, day: datetime.datetime, minutes: list[int]
) -> None:
    """To look twice finds what one look finds: nothing is lost or doubled where a look ends, in a gap or a fold too."""
    begin, middle, end = (day + datetime.timedelta(minutes=count) for count in minutes)
    read = table(cron, zone)

    once = list(itertools.takewhile(lambda tick: tick <= end, read.after(begin)))
    first = [tick for tick in once if tick <= middle]
    second = list(itertools.takewhile(lambda tick: tick <= end, read.after(middle)))

    assert [*first, *second] == once
    assert all(earlier < later for earlier, later in itertools.pairwise(once))
    assert all(tick.second == 0 for tick in once)


def test_the_calendar_is_that_of_cronsim() -> None:
    """Where no clock is changed nothing is added to the library's calendar."""
    expected = itertools.islice(cronsim.CronSim("7 3-5 * * 2", NOON), 50)

    assert list(itertools.islice(table("7 3-5 * * 2").after(NOON), 50)) == list(expected)

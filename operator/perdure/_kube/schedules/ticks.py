"""When a schedule is due: cron, zone and two moments in, ticks out. Pure: no clock, no database, no resource.

It knows cron expressions and time zones; it must not know what is run at a tick, nor whether somebody forbids it.

Theory of operation. The language and its calendar are those of `cronsim`, which follows Debian's cron. A tick is a
whole minute, in UTC from here on. What happens when clocks are changed is decided by the hour field:

- It names hours (`30 2 * * *`, `*/20 2 * * *`): these are times on the wall. A time that the clocks leave out runs
  once, right after the gap; one that they show twice runs the first time only.
- It begins with `*` (`*/20 * * * *`, `0 */2 * * *`): these are intervals. What the clocks leave out is left out, and
  what they show twice runs twice, so that the time between two ticks is as always.

cronsim asks the same of the minute field too; a `*` there is written out as `0-59`, which it takes for named.

Iteration begins anywhere and gives the same ticks from there on: a tick is a property of the expression and the zone,
not of who asks. Only so can two controllers, or one before and one after a crash, agree on what is due.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import zoneinfo
from collections.abc import Iterator, Sequence

import cronsim

from perdure._kube.api.refusals import Refusal

__all__ = ["COUNTED", "Due", "Timetable", "due", "timetable"]

COUNTED = 1_000
"""So many ticks that have passed are counted one by one; a schedule that missed more says that it missed this many."""

_FIELDS = 5
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_OF_THE_MACHINE = {"Factory", "localtime", "posixrules"}
"""Names that mean another zone on another machine."""
_ZONE_PATTERN = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_FIRST_WINDOW = datetime.timedelta(hours=1)
_WHEN_IT_CAN_BEGIN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Timetable:
    """A cron expression that is understood, in a zone that exists."""

    cron: str
    zone: zoneinfo.ZoneInfo

    def after(self, moment: datetime.datetime) -> Iterator[datetime.datetime]:
        """Give the ticks later than `moment`, in order, in UTC; it ends when fifty years have none."""
        last = moment
        for local in cronsim.CronSim(self.cron, moment.astimezone(self.zone)):
            tick = local.astimezone(datetime.UTC)
            if tick > last:  # on the second side of a fold cronsim begins again with the first
                yield tick
                last = tick

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """Give the first tick later than `moment`, or None."""
        return next(self.after(moment), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """What has come due: the ticks to run, in order, and how many are left out, by reason.

    `too_late` were older than the deadline allows, `beyond` more than may be made up for. `last_missed` is the latest
    of both.
    """

    run: tuple[datetime.datetime, ...] = ()
    too_late: int = 0
    beyond: int = 0
    last_missed: datetime.datetime | None = None


def timetable(cron: str, time_zone: str) -> Timetable | Refusal:
    """Read a cron expression and a zone; say what is wrong with them otherwise."""
    zone = _zone(time_zone)
    if isinstance(zone, Refusal):
        return zone
    expression = _expression(cron)
    if expression is None:
        return _invalid(
            cron,
            f"it needs five fields (minute, hour, day of month, month, day of week) or one of "
            f"{', '.join(_NICKNAMES)}; there are no seconds, and a time zone goes into spec.timeZone",
        )
    try:
        found = next(cronsim.CronSim(expression, _WHEN_IT_CAN_BEGIN), None)
    except cronsim.CronSimError as error:
        return _invalid(cron, f"there is no such {str(error).removeprefix('Bad ')}")
    if found is None:
        return _invalid(cron, "no day is like that")
    return Timetable(expression, zone)


def due(
    table: Timetable,
    *,
    after: datetime.datetime,
    now: datetime.datetime,
    deadline_seconds: float | None = None,
    at_most: int = 1,
) -> Due:
    """Give what came due later than `after` and up to `now`: the latest `at_most` that the deadline allows."""
    passed = _passed(table, after=after, now=now)
    in_time_after = after
    if deadline_seconds is not None:
        in_time_after = max(after, now - datetime.timedelta(seconds=deadline_seconds, microseconds=1))
    if len(passed) < COUNTED:
        in_time: Sequence[datetime.datetime] = [tick for tick in passed if tick > in_time_after]
    else:
        in_time = _latest(table, after=in_time_after, now=now, at_least=at_most + 1)
    run = tuple(in_time[-at_most:])
    missed = [tick for tick in (*passed, *in_time) if tick not in run]
    too_late = sum(tick <= in_time_after for tick in passed)
    return Due(
        run=run,
        too_late=too_late,
        beyond=max(0, len(passed) - too_late - len(run)),
        last_missed=max(missed, default=None),
    )


def _passed(table: Timetable, *, after: datetime.datetime, now: datetime.datetime) -> list[datetime.datetime]:
    """Give the first ticks of those that have passed, as many as are counted."""
    passed: list[datetime.datetime] = []
    for tick in table.after(after):
        if tick > now or len(passed) == COUNTED:
            break
        passed.append(tick)
    return passed


def _latest(
    table: Timetable, *, after: datetime.datetime, now: datetime.datetime, at_least: int
) -> list[datetime.datetime]:
    """Give the last ticks up to `now`, at least so many if there are: look back twice as far until there are enough."""
    window = _FIRST_WINDOW
    while True:
        begin = max(after, now - window)
        found = []
        for tick in table.after(begin):
            if tick > now:
                break
            found.append(tick)
        if len(found) >= at_least or begin == after:
            return found
        window *= 2


def _expression(cron: str) -> str | None:
    """Give the five fields as cronsim is to read them; None when there are not five."""
    written = cron.strip()
    fields = _NICKNAMES.get(written.lower(), written).split()
    if len(fields) != _FIELDS or written.upper().startswith(("TZ=", "CRON_TZ=")):
        return None
    fields = ["*" if field == "?" else field for field in fields]
    minute, hour = fields[:2]
    if minute.startswith("*") and not hour.startswith("*"):
        fields[0] = f"0-59{minute[1:]}"
    return " ".join(fields)


def _zone(name: str) -> zoneinfo.ZoneInfo | Refusal:
    try:
        if _ZONE_PATTERN.fullmatch(name) and name not in _OF_THE_MACHINE:
            return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, as Europe
        pass
    return Refusal(
        "UnknownTimeZone",
        f"spec.timeZone {name!r} is no time zone that is known here. Expected a name of the IANA database, for example "
        "UTC or Europe/Berlin. Nothing is run until it is changed.",
    )


def _invalid(cron: str, why: str) -> Refusal:
    return Refusal("InvalidCron", f"spec.cron {cron!r} cannot be read: {why}. Nothing is run until it is changed.")

"""What must have come out, each as a question to facts: no complaint is a yes.

Pure: turns of history and lines of the logbook in, complaints out. The logbook is the witness that history cannot
talk into anything: the activity wrote itself down there, as often as it ran.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from perdure._core import history
from tests.demo.journey.logbook import Entry
from tests.demo.journey.types import Arrival

__all__ = ["Kill", "arrivals", "leaks", "legs_done_by", "not_recorded_once", "not_taken_over", "repeated"]


@dataclass(frozen=True, slots=True)
class Kill:
    """Which process was killed, and when, by the database's clock."""

    process: int
    at: datetime


def arrivals(turn: history.Turn) -> list[Arrival]:
    """Give the legs whose results came in with this turn."""
    results = [event.result for event in turn.events if isinstance(event, history.ActivityCompleted)]
    return [Arrival.model_validate_json(bytes(result)) for result in results]


def legs_done_by(moment: datetime, turns: Sequence[history.Turn]) -> set[int]:
    """Give the legs whose result was in history by then."""
    return {arrival.number for turn in turns if turn.at <= moment for arrival in arrivals(turn)}


def not_recorded_once(turns: Sequence[history.Turn], legs: int) -> list[str]:
    """Complain of each leg that was not asked for once and answered once."""
    commands = [command for turn in turns for command in turn.commands]
    asked = Counter(command.seq for command in commands if isinstance(command, history.ScheduleActivity))
    answered = Counter(arrival.number for turn in turns for arrival in arrivals(turn))
    once = Counter(range(1, legs + 1))
    return [
        f"leg {leg} was asked for {asked[leg]} times and has {answered[leg]} results, expected {once[leg]}"
        for leg in sorted({*once, *asked, *answered})
        if not asked[leg] == answered[leg] == once[leg]
    ]


def repeated(entries: Sequence[Entry], *, done: set[int]) -> list[str]:
    """Complain of each leg that was done when the worker died and was not travelled exactly once."""
    written = Counter((entry.leg, entry.what) for entry in entries)
    return [
        f"leg {leg} was done before the kill, and the logbook has {written[leg, 'left']} departures and "
        f"{written[leg, 'arrived']} arrivals"
        for leg in sorted(done)
        if not written[leg, "left"] == written[leg, "arrived"] == 1
    ]


def not_taken_over(turns: Sequence[history.Turn], kill: Kill, *, legs: int) -> list[str]:
    """Complain when the kill did not come in the middle, and of what the dead process is said to have done since."""
    done = legs_done_by(kill.at, turns)
    complaints = [] if 0 < len(done) < legs else [f"{len(done)} of {legs} legs were done at the kill: not its middle"]
    late = [arrival for turn in turns if turn.at > kill.at for arrival in arrivals(turn)]
    return complaints + [
        f"leg {arrival.number} was brought to its end by process {arrival.process}, which was dead by then"
        for arrival in late
        if arrival.process == kill.process
    ]


def leaks(secrets: Mapping[str, str], places: Mapping[str, str]) -> list[str]:
    """Complain of each secret that stands in one of the texts: as it is, or in base64 or hexadecimal digits."""
    return [
        f"the password of {owner} stands in {place}"
        for owner, secret in secrets.items()
        for place, text in places.items()
        if any(form in text for form in _forms(secret))
    ]


def _forms(secret: str) -> list[str]:
    plain = secret.encode()
    encoded = base64.b64encode(plain)
    return [secret, encoded.decode(), plain.hex(), encoded.hex()]

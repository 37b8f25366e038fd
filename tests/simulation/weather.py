"""What goes wrong when: the fate of every statement, drawn from the seed.

It knows chance and kinds of faults; what a statement does is not its business. Each seed has a climate of its own: some
kinds of faults often, some never, so that rare combinations come up and one kind does not hide another.
"""

from __future__ import annotations

import dataclasses
import enum
import random
from typing import Final

import asyncpg

__all__ = ["CALM", "Climate", "Fate", "Kind", "Point", "Strike", "Weather", "lost", "refused"]


class Kind(enum.Enum):
    """What happens to a statement on its way."""

    FINE = "fine"
    LOST = "lost: the connection broke, nothing was done"
    UNANSWERED = "unanswered: it was done, and the connection broke"
    LATE = "late: the connection broke, and it was done after that"
    SILENT = "silent: it was done, and no answer ever came"
    REFUSED = "refused: the server was not able to"
    HELD = "held: its transaction stayed open for a while"


class Point(enum.Enum):
    """Where in the life of a statement its process is struck."""

    BEFORE = "before"
    INSIDE = "inside"
    AFTER = "after"


@dataclasses.dataclass(frozen=True, slots=True)
class Strike:
    """What happens to a process: killed, or frozen for some seconds, with or without its clock."""

    point: Point
    freezes: float | None = None
    clock_stops: bool = False

    def __str__(self) -> str:
        """Say it in the trace."""
        return f"{'killed' if self.freezes is None else f'frozen for {self.freezes:.1f} s'} {self.point.value}"


@dataclasses.dataclass(frozen=True, slots=True)
class Fate:
    """How long a statement and its answer travel, what happens to it, and to whom sent it."""

    there: float
    back: float
    kind: Kind = Kind.FINE
    seconds: float = 0.0
    strike: Strike | None = None

    @property
    def parts(self) -> list[str]:
        """Name what is in it, in a word each: how it went, and at which point who sent it was killed or frozen."""
        parts = [self.kind.name.lower()]
        if self.strike is not None:
            parts.append(f"{'killed' if self.strike.freezes is None else 'frozen'} {self.strike.point.value}")
        return parts


CALM: Final = Fate(0.001, 0.001)


@dataclasses.dataclass(frozen=True, slots=True)
class Climate:
    """How likely each fault is, a statement or a message; 0 for never."""

    kinds: dict[Kind, float]
    kill: float
    freeze: float
    slow: float
    notify_lost: float
    notify_twice: float

    @classmethod
    def draw(cls, dice: random.Random) -> Climate:
        """Draw a climate: each fault is there with even odds, and then rare or frequent."""

        def chance(most: float) -> float:
            return dice.choice((0.0, 0.0, most / 5, most))

        return cls(
            kinds={kind: chance(0.06) for kind in Kind if kind is not Kind.FINE},
            kill=chance(0.03),
            freeze=chance(0.05),
            slow=chance(0.1),
            notify_lost=dice.choice((0.0, 0.2, 1.0)),
            notify_twice=chance(0.3),
        )


class Weather:
    """Draws fates until it is told that the storm is over."""

    def __init__(self, dice: random.Random) -> None:
        """Draw from `dice`, and from nothing else."""
        self.dice = dice
        self.climate = Climate.draw(dice)
        self.is_calm = False

    def fate(self, *, weight: float = 1.0) -> Fate:
        """Draw what becomes of one statement; `weight` says how much more than others it is looked for."""
        if self.is_calm:
            return CALM
        dice, climate = self.dice, self.climate
        kind = self._kind(weight)
        there, back = dice.uniform(0.0005, 0.005), dice.uniform(0.0005, 0.005)
        if dice.random() < climate.slow:
            there, back = there + dice.expovariate(1.0), back + dice.expovariate(1.0)
        return Fate(there, back, kind, dice.choice((0.002, 0.05, 1.0, 8.0, 25.0)) * dice.random(), self._strike(weight))

    def notifications(self) -> list[float]:
        """Draw when a notification arrives at one listener, in seconds; it may be lost, and come twice."""
        if self.is_calm:
            return [0.001]
        if self.dice.random() < self.climate.notify_lost:
            return []
        count = 2 if self.dice.random() < self.climate.notify_twice else 1
        return [self.dice.uniform(0.0, 0.05) for _ in range(count)]

    def _kind(self, weight: float) -> Kind:
        draw = self.dice.random() / weight
        for kind, chance in self.climate.kinds.items():
            draw -= chance
            if draw < 0:
                return kind
        return Kind.FINE

    def _strike(self, weight: float) -> Strike | None:
        dice, climate = self.dice, self.climate
        draw, point = dice.random() / weight, dice.choice(list(Point))
        if draw < climate.kill:
            return Strike(point)
        if draw < climate.kill + climate.freeze:
            return Strike(
                point, freezes=dice.choice((1.0, 10.0, 40.0)) * dice.random(), clock_stops=dice.random() < 0.5
            )
        return None


def lost(dice: random.Random) -> Exception:
    """Give an error by which a client finds that its connection is gone."""
    return dice.choice(
        (
            asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
            asyncpg.InterfaceError("cannot perform operation: connection is closed"),
            ConnectionResetError("connection reset by peer"),
            asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        )
    )


def refused(dice: random.Random) -> Exception:
    """Give an error of a server that did nothing and may do it when asked again."""
    return dice.choice(
        (
            asyncpg.SerializationError("could not serialize access due to concurrent update"),
            asyncpg.TooManyConnectionsError("sorry, too many clients already"),
            asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction"),
            asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
            asyncpg.CannotConnectNowError("the database system is starting up"),
        )
    )

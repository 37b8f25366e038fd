"""Retry policies: how often an activity is tried, and how long to wait between the tries.

Pure arithmetic. Jitter is not drawn here but computed from a number that the engine passes in: this module knows no
randomness. Durations are seconds (int or float) or `timedelta` at the door, seconds inside.
"""

from __future__ import annotations

import dataclasses
import math
from datetime import timedelta

import msgspec

from perdure import errors

__all__ = [
    "Backoff",
    "Exponential",
    "Fixed",
    "Linear",
    "Retry",
    "RetryPolicy",
    "delay_seconds",
    "recorded",
    "seconds",
]

MAX_DELAY_SECONDS = 30 * 24 * 3600.0
"""A month: beyond this a delay is a mistake, and floats stay exact to the microsecond below it."""

Duration = int | float | timedelta


def seconds(duration: Duration, what: str) -> float:
    """Give a duration in seconds; refuse negative, infinite and non-numeric ones by name."""
    value = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if type(value) not in {int, float} or not math.isfinite(value) or value < 0:
        message = f"{what} is {duration!r}; expected seconds (int or float, 0 or more) or a timedelta."
        raise errors.DefinitionError(message)
    return float(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    """The same delay before every retry."""

    delay: Duration = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Linear:
    """`base`, 2 x `base`, 3 x `base`, ... at most `max`."""

    base: Duration = 1
    max: Duration = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Exponential:
    """`base`, `base` x `multiplier`, `base` x `multiplier` squared, ... at most `max`."""

    base: Duration = 1
    multiplier: float = 2.0
    max: Duration = 60


Backoff = Fixed | Linear | Exponential


class Retry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A policy as history keeps it: plain seconds. delay(k) = min(base x multiplier^(k-1) + increment x (k-1), max)."""

    max_attempts: int = 1
    base: float = 0.0
    multiplier: float = 1.0
    increment: float = 0.0
    max_delay: float = MAX_DELAY_SECONDS
    timeout: float | None = None
    jitter: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How an activity is tried again.

    `max_attempts` counts the first try. `timeout` bounds each attempt; a timed-out attempt is retried like any failure.
    `jitter` shortens each delay by a random share of up to that fraction (0 to 1), so that failures do not come back in
    step. Raises `DefinitionError` for anything out of range.
    """

    max_attempts: int
    backoff: Backoff = dataclasses.field(default_factory=Exponential)
    timeout: Duration | None = None
    jitter: float = 0.2

    def __post_init__(self) -> None:
        """Refuse a policy that cannot mean anything."""
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            message = f"max_attempts is {self.max_attempts!r}; expected a whole number of 1 or more (1 means no retry)."
            raise errors.DefinitionError(message)
        if type(self.jitter) not in {int, float} or not 0 <= self.jitter <= 1:
            message = f"jitter is {self.jitter!r}; expected a fraction from 0 to 1."
            raise errors.DefinitionError(message)
        self.recorded()

    def recorded(self) -> Retry:
        """Give the policy in plain seconds."""
        timeout = None if self.timeout is None else seconds(self.timeout, "timeout of a retry policy")
        return msgspec.structs.replace(
            _recorded_backoff(self.backoff), max_attempts=self.max_attempts, timeout=timeout, jitter=self.jitter
        )


def _recorded_backoff(backoff: object) -> Retry:
    """Read a backoff; what it holds is checked here, whatever its author's types said."""
    match backoff:
        case Fixed(delay):
            return Retry(base=seconds(delay, "delay"))
        case Linear(base, most):
            step = seconds(base, "base")
            return Retry(base=step, increment=step, max_delay=_bounded(most))
        case Exponential(base, multiplier, most):
            if type(multiplier) not in {int, float} or not (math.isfinite(multiplier) and multiplier >= 1):
                message = f"multiplier is {multiplier!r}; expected a number of 1 or more."
                raise errors.DefinitionError(message)
            return Retry(base=seconds(base, "base"), multiplier=float(multiplier), max_delay=_bounded(most))
        case _:
            message = f"backoff is {backoff!r}; expected Fixed(...), Linear(...) or Exponential(...)."
            raise errors.DefinitionError(message)


def _bounded(most: Duration) -> float:
    return min(seconds(most, "max"), MAX_DELAY_SECONDS)


def recorded(policy: object, what: str) -> Retry:
    """Give a policy in plain seconds; refuse what is none, as a number of attempts."""
    if not isinstance(policy, RetryPolicy):
        message = f"retry of {what} is {policy!r}; expected a RetryPolicy(max_attempts, ...), or None for one attempt."
        raise errors.DefinitionError(message)
    return policy.recorded()


def delay_seconds(retry: Retry, failed_attempts: int, *, draw: float = 0.0) -> float:
    """Give the delay after the `failed_attempts`-th failure (1 or more); `draw` in [0, 1) is the jitter's die.

    Never overflows: a huge exponent is the maximum.
    """
    steps = failed_attempts - 1
    try:
        delay = retry.base * retry.multiplier**steps + retry.increment * steps
    except OverflowError:
        delay = retry.max_delay
    return min(delay, retry.max_delay) * (1.0 - retry.jitter * draw)

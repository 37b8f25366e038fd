"""How fast this process may write to the API server: a token bucket.

Reservation is arithmetic on a clock that is given; only `take` waits. Whoever asks first is served first, since each
reservation moves the next one back. Who must not decide before it may write takes what is there (`take_now`), and gives
back what it did not need. Whoever writes what can wait asks by `take_behind`: a long line of reservations would leave
the others nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["TokenBucket"]


_ROUNDING = 1e-6
"""A token that has come but for an error of addition has come."""


_LOOK_SECONDS = 0.05


class TokenBucket:
    """`rate` requests per second on average, at most `burst` at once after a quiet time."""

    def __init__(self, rate: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin full. Raises `ValueError` unless rate is above 0 and burst is 1 or more."""
        if rate <= 0 or burst < 1:
            message = f"rate is {rate} and burst is {burst}; expected more than 0 and at least 1"
            raise ValueError(message)
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def reserve(self) -> float:
        """Take one token, now or from the future, and give the seconds to wait for it."""
        now = self._fill()
        self._tokens -= 1
        return max(0.0, self._at - now) + max(0.0, -self._tokens / self._rate)

    def take_now(self, at_most: int) -> int:
        """Take so many tokens, or as many as there are; give how many."""
        if self._at > self._fill():
            return 0
        taken = max(0, min(at_most, int(self._tokens + _ROUNDING)))
        self._tokens -= taken
        return taken

    def give_back(self, tokens: int) -> None:
        """Put back what was taken and not used."""
        self._tokens = min(self._burst, self._tokens + tokens)

    def next_in(self) -> float:
        """Give the seconds until there is a token, 0 when there is one."""
        now = self._fill()
        lacking = 1 - self._tokens
        return max(0.0, self._at - now) + (lacking / self._rate if lacking > _ROUNDING else 0.0)

    def _fill(self) -> float:
        """Put in what has come since, and give the present time."""
        now = self._clock()
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
        return now

    def pause(self, seconds: float) -> None:
        """Give out nothing for so long, and then at the usual rate without a burst: the server asked for it."""
        until = self._clock() + seconds
        if until > self._at:
            self._at = until
            self._tokens = min(self._tokens, 0.0)

    async def take_behind(self) -> None:
        """Wait for one token without reserving it: behind everybody who takes what is there, and never in their way."""
        while not self.take_now(1):  # noqa: ASYNC110 - tokens come by the clock, which has no event
            await asyncio.sleep(max(self.next_in(), _LOOK_SECONDS))

    async def take(self) -> None:
        """Wait for one token, which is one's own from now on."""
        delay = self.reserve()
        if delay > 0:
            await asyncio.sleep(delay)

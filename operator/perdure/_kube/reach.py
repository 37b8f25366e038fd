"""Whether the API server answers, as this process finds it: one line in the log when that changes.

It knows errors of the API client; it must not know who asks or why. An API server that is away is waited for like a
database that is: the process stays up, says so, and goes on by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

__all__ = ["Reach"]

_log = structlog.get_logger(__name__)


class Reach:
    """`why` is what the last failed call said, None while the server answers; `outages` how often it went away.

    `on_regained` are called when an outage has ended: what happened meanwhile was told to nobody.
    """

    def __init__(self) -> None:
        self.on_regained: list[Callable[[], None]] = []
        self.why: str | None = "not asked yet"
        self.outages = 0
        self._asked = False
        self._since = 0.0

    @property
    def is_up(self) -> bool:
        """Whether the last call was answered."""
        return self.why is None

    def lost(self, error: Exception, doing: str) -> None:
        """Note that a call was not answered; the first of an outage is logged."""
        if self.why is None or not self._asked:
            self.outages += 1
            self._since = asyncio.get_running_loop().time()
            _log.warning("API server away, waiting for it", doing=doing, error=str(error))
        self._asked = True
        self.why = str(error)

    def regained(self) -> None:
        """Note that a call was answered; the first after an outage is logged."""
        was_away = self._asked and self.why is not None
        self._asked = True
        self.why = None
        if was_away:
            away_seconds = round(asyncio.get_running_loop().time() - self._since, 1)
            _log.info("API server back", away_seconds=away_seconds)
            for tell in self.on_regained:
                tell()

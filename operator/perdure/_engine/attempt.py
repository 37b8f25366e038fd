"""A job and one attempt at it: who asked for what, and the lifeline between an activity and who runs it.

It knows heartbeats, waits and the log of an attempt; not how attempts are made (`attempts.py`), nor what comes of them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import datetime
from collections.abc import Callable
from typing import Protocol

import structlog

from perdure._core import history
from perdure._core.activity import ActivityInfo
from perdure._core.secret import Secrecy, Secrets

__all__ = ["Attempt", "Job", "Logger", "Maker"]

_log = structlog.get_logger(__name__)
_UNCERTAIN_SECONDS = 0.1
"""How often an attempt looks whether the lease stands again; only while it does not."""


class Maker(Protocol):
    """What an attempt asks of whoever makes it."""

    secrets: Secrets | None
    is_certain: Callable[[], bool]
    time: Callable[[], float]

    def in_loop(self, callback: Callable[[], None]) -> None:
        """Call back in the worker's thread."""

    def latest_end(self, job: Job) -> float:
        """Give when, by the event loop's time, an attempt is over at the latest."""


@dataclasses.dataclass(slots=True, eq=False)
class Job:
    """One activity on its way to its one result: who asked for what, and how far it has come.

    `on_detail` is told when a heartbeat has said something new, which then is `detail`; `on_moved` when an attempt has
    begun or is over, or when nobody wants it any more. What is known of the deaths around it (`trials.py`) are its
    `losses`, `convictions` and `trials`, and whether it `is_found`: somebody else has had it before.
    """

    instance_id: str
    execution: int
    orchestration: str
    run_as: str
    command: history.ScheduleActivity
    asked_at: datetime.datetime
    failed_attempts: int = 0
    detail: bytes | None = None
    on_detail: Callable[[Job], None] | None = None
    losses: int = 0
    convictions: int = 0
    trials: int = 0
    is_found: bool = False
    on_moved: Callable[[Job], None] | None = None
    is_cancelled: bool = False
    attempt: Attempt | None = None
    task: asyncio.Task[None] | None = None


class Attempt:
    """One try while it runs; what its context speaks to, from whichever thread."""

    __slots__ = (
        "_held_until",
        "_is_told",
        "_of",
        "_said",
        "beaten_at",
        "detail",
        "is_over",
        "is_silent",
        "is_unwanted",
        "job",
        "listener",
        "scope",
        "secrecy",
        "thread",
    )

    def __init__(self, of: Maker, job: Job) -> None:
        """Begin, with a first heartbeat."""
        self._of = of
        self._said: bytes | None = job.detail
        self._is_told = False
        self.job = job
        self.detail = job.detail
        self.beaten_at = self._held_until = of.time()
        self.is_unwanted = self.is_over = self.is_silent = False
        self.secrecy = Secrecy(of.secrets)
        self.scope: asyncio.Timeout | None = None
        self.listener: asyncio.TimerHandle | None = None
        self.thread: concurrent.futures.Future[object] | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.is_unwanted or self.is_over or (self.scope is not None and self.scope.expired())

    def beat(self, detail: bytes | None) -> None:
        """Note that it lives; a detail that is new is told to the engine, in its own thread and no faster than it.

        Raises `SecretLeakError` for a detail with a resolved secret in it.
        """
        self.beaten_at = self._of.time()
        if detail is None or detail == self._said:
            return
        self.secrecy.refuse_in(detail, f"heartbeat of activity {self.job.command.name}")
        self._said = detail
        if not self._is_told:
            self._is_told = True
            self._of.in_loop(self._tell)

    def waited(self, seconds: float) -> None:
        """Note that it lives and was held up for so long, for which its timeout waits; the total one does not.

        What several calls of it waited for beside each other is counted once.
        """
        now = self._of.time()
        seconds = max(0.0, min(seconds, now - self._held_until))
        self.beaten_at = self._held_until = now
        end = None if self.scope is None else self.scope.when()
        if self.scope is None or end is None or self.is_over or self.is_silent or self.scope.expired():
            return
        self.scope.reschedule(min(end + seconds, self._of.latest_end(self.job)))

    async def confirm(self) -> None:
        """Wait while others may have taken it over; who has lost it is cancelled meanwhile."""
        while not self._of.is_certain():  # noqa: ASYNC110 - a lease ends and begins without a word
            await asyncio.sleep(_UNCERTAIN_SECONDS)

    def _tell(self) -> None:
        self._is_told = False
        if not self.is_over and self.job.on_detail is not None:
            self.job.detail = self._said
            self.job.on_detail(self.job)


@dataclasses.dataclass(slots=True, eq=False)  # not frozen, as its context is not: there is one for each attempt
class Logger:
    """A logger that names its attempt in each line, and no secret that it has resolved.

    Binding one in advance would cost more than most activities.
    """

    of: ActivityInfo
    secrecy: Secrecy

    def info(self, event: str, **fields: object) -> None:
        _log.info(self.secrecy.masked(event), **self._shown(fields))

    def warning(self, event: str, **fields: object) -> None:
        _log.warning(self.secrecy.masked(event), **self._shown(fields))

    def error(self, event: str, **fields: object) -> None:
        _log.error(self.secrecy.masked(event), **self._shown(fields))

    def _shown(self, fields: dict[str, object]) -> dict[str, object]:
        who = {"instance": self.of.instance_id, "activity": self.of.activity, "attempt": self.of.attempt}
        return {**{name: self.secrecy.masked_value(value) for name, value in fields.items()}, **who}

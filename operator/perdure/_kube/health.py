"""What the process needs to do its work, each with yes or no and why; and whether it is alive at all.

It knows names and sentences; it must not know what a database or an API server is. A need that is not met makes the
process not ready, never dead: it stays up and goes on by itself. Each change is logged once.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import structlog

__all__ = ["STUCK_SECONDS", "Check", "Health", "Need", "Pulse"]

_log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.25
_DEAD_SECONDS = 60.0
STUCK_SECONDS = 300.0
"""A loop that has work and does nothing for so long is stuck: longer than any statement or request may take."""


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """Whether something is there, and if not, why."""

    ok: bool
    why: str = ""


Check = Callable[[], Need]


class Pulse:
    """A loop's sign of life, for `add_vital`: while it has work, what it has done grows.

    A loop that waits for something outside (a database, an API server, a budget) has no work in this sense.
    """

    def __init__(self, what: str, *, has_work: Callable[[], bool], done: Callable[[], int]) -> None:
        self._what = what
        self._has_work = has_work
        self._done = done
        self._seen: int | None = None

    def __call__(self) -> Need:
        """Compare with the last time, and remember this one: for one who looks at a steady pace, and no other."""
        done = self._done()
        is_moving = done != self._seen or not self._has_work()
        self._seen = done
        return Need(is_moving, f"{self._what} has work and does nothing")


class Health:
    """The needs by name. Vital ones make the process dead when they fail for as long as each may."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._vital: dict[str, tuple[Check, float]] = {}
        self._failing: dict[str, tuple[float, str]] = {}
        self._last_tick: float | None = None

    def add(self, name: str, check: Check) -> None:
        """Ask this for readiness; again under the same name replaces it."""
        self._checks[name] = check

    def add_vital(self, name: str, check: Check, *, seconds: float = _DEAD_SECONDS) -> None:
        """Ask this for liveness: only what a restart of the process would cure, once it has failed for so long."""
        self._vital[name] = check, seconds

    def needs(self) -> dict[str, Need]:
        """Give every need as it is now."""
        return {name: check() for name, check in self._checks.items()}

    @property
    def is_ready(self) -> bool:
        """Whether every need is met."""
        return all(need.ok for need in self.needs().values())

    def deaths(self) -> dict[str, str]:
        """Give what only a restart would cure, as `run` found it; empty while the process is alive. Asks nobody."""
        now = asyncio.get_running_loop().time()
        found: dict[str, str] = {}
        if self._last_tick is not None and now - self._last_tick > _DEAD_SECONDS:
            found["loop"] = f"nothing was looked at for {now - self._last_tick:.0f} s"
        for name, (since, why) in self._failing.items():
            _, seconds = self._vital[name]
            if now - since > seconds:
                found[name] = f"{why} for {now - since:.0f} s"
        return found

    async def run(self) -> None:
        """Look for ever, and say what changed."""
        was_ready: bool | None = None
        while True:
            now = asyncio.get_running_loop().time()
            self._last_tick = now
            for name, (check, _) in self._vital.items():
                need = check()
                if need.ok:
                    self._failing.pop(name, None)
                else:
                    since, _ = self._failing.get(name, (now, ""))
                    self._failing[name] = since, need.why
            needs = self.needs()
            is_ready = all(need.ok for need in needs.values())
            if is_ready and not was_ready:
                _log.info("operator_ready")
            elif not is_ready and was_ready:
                _log.warning("operator_not_ready", **{name: need.why for name, need in needs.items() if not need.ok})
            was_ready = is_ready
            await asyncio.sleep(_LOOK_SECONDS)

"""What a run waits for, and until when it may have to: the entries of `status.waitingFor`, from the facts.

It knows the facts and how they are named for people; it must not know conditions, bounds in bytes or the API server.
Entries are ordered by what a person asks first: who is missing (a worker), where it stands in line (queues), whom it
waits for (signals, children), and what time will end (the earliest timer).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from perdure._core import lifecycle, limits
from perdure._kube.facts import Facts, Unrunnable

__all__ = ["Waiting", "due_or_none", "is_told_by_nobody", "waiting_for", "wanted"]

Kind = Literal["Signal", "Timer", "Child", "Worker", "Queue"]

_KINDS: dict[str, Kind] = {"signal": "Signal", "child": "Child"}


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """One thing waited for. `until` is when it comes by itself; None for what somebody has to bring."""

    kind: Kind
    name: str = ""
    since: datetime | None = None
    until: datetime | None = None


def waiting_for(facts: Facts) -> list[Waiting]:
    """Give what the run waits for, at most `limits.STATUS_WAITS` of it; nothing once it has ended."""
    instance = facts.instance
    if instance is None or instance.phase in lifecycle.TERMINAL:
        return []
    return [one for _, one in zip(range(limits.STATUS_WAITS), _all(facts), strict=False)]


def wanted(unrunnable: Unrunnable) -> str:
    """Name what no live worker has."""
    return unrunnable.name + (f"@{unrunnable.version}" if unrunnable.version else "")


def due_or_none(facts: Facts) -> datetime | None:
    """Give the moment at which the next attempt begins, which nobody tells of; None when no attempt is planned."""
    running = facts.projection.running
    return min(
        (retry.next_retry_at for retry in facts.retries if retry.next_retry_at is not None and retry.seq in running),
        default=None,
    )


def is_told_by_nobody(facts: Facts) -> bool:
    """Whether what the run waits for may change without a turn of its own: another worker takes it from a queue."""
    running = facts.projection.running
    return any(step.queue for step in running.values())


def _all(facts: Facts) -> Iterator[Waiting]:
    shown = facts.projection
    if facts.unrunnable is not None:
        yield Waiting("Worker", wanted(facts.unrunnable))
    waits_in_queue = {retry.seq for retry in facts.retries if not retry.is_taken}
    for seq, step in shown.running.items():
        if seq in waits_in_queue:
            yield Waiting("Queue", step.queue, step.started_at)
    for wait in shown.waits.values():
        yield Waiting(_KINDS[wait.kind], wait.name, wait.since)
    if shown.timers:
        timer = min(shown.timers.values(), key=lambda timer: timer.fire_at)
        yield Waiting("Timer", since=timer.since, until=timer.fire_at)

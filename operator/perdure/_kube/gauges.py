"""What the database holds, for metrics: open instances and queues. One look serves many scrapes.

It knows two statements and how often they may be asked; it must not know who scrapes. A look reads what is open or
waits, never what has ended. It is taken when somebody scrapes and the last one is old, so that an operator nobody looks
at asks nothing; a slow look is repeated the more seldom. While the database is away there are no such numbers: old ones
would be taken for new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from perdure._kube.metrics import Labelled, Labels, Reading
from perdure._store.store import Store, is_transient

__all__ = ["OTHERS", "DatabaseGauges", "bounded", "of_queues"]

OTHERS = "(others)"
"""Stands for every label beyond those that are shown one by one."""

_SHOWN = 100
"""So many labels are shown one by one: whoever may ask for a name may ask for any number of them."""
_AGE_SECONDS = 15.0
_PATIENCE_SECONDS = 2.0
_SHARE = 50
"""A look may take one part in so many of the time."""


class DatabaseGauges:
    """The numbers of the last look."""

    def __init__(self, store: Store, *, clock: Callable[[], float] | None = None) -> None:
        """Nothing is asked before `refresh`."""
        self._store = store
        self._clock = clock or asyncio.get_running_loop().time
        self._lock = asyncio.Lock()
        self._not_before = 0.0
        self._open: Mapping[Labels, float] = {}
        self._queues: list[Mapping[str, Any]] = []

    async def refresh(self) -> None:
        """Look, unless the last look is young; wait for no database that is away."""
        async with self._lock:
            began = self._clock()
            if began < self._not_before:
                return
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    opened = await self._store.fetch("instances_open")
                    self._queues = [dict(row) for row in await self._store.fetch("queue_list")]
            except Exception as error:  # is_transient names them; everything else passes through
                if not is_transient(error):
                    raise
                opened, self._queues = [], []
            self._open = bounded(
                {(row["name"], row["version"], row["phase"]): float(row["instances"]) for row in opened}
            )
            now = self._clock()
            self._not_before = now + max(_AGE_SECONDS, _SHARE * (now - began))

    def readings(self) -> Iterator[Reading]:
        """Give the numbers of the last look."""
        yield Labelled(
            "instances_open", "Instances that have not ended.", ("orchestration", "version", "phase"), self._open
        )
        oldest = "How long the oldest waiting activity of the queue waits."
        for name, sentence, column, together in (
            ("queue_waiting", "Activities that wait in the queue.", "waiting", sum),
            ("queue_running", "Activities of the queue that run.", "running", sum),
            ("queue_oldest_age_seconds", oldest, "oldest_seconds", max),
            ("queue_workers", "Live workers that serve the queue.", "workers", min),
        ):
            yield Labelled(name, sentence, ("queue",), of_queues(self._queues, column, together=together))


def of_queues(
    rows: Iterable[Mapping[str, Any]],
    column: str,
    *,
    together: Callable[[Iterable[float]], float],
    at_most: int = _SHOWN,
) -> dict[Labels, float]:
    """Give one number of each queue: of those in which most waits, and of all the rest `together`, under `OTHERS`."""
    ordered = sorted(rows, key=lambda row: (-row["waiting"], row["queue"]))
    numbers = [((str(row["queue"]),), float(row[column] or 0)) for row in ordered]
    found: dict[Labels, float] = dict(numbers[:at_most])
    if rest := [number for _, number in numbers[at_most:]]:
        found[OTHERS,] = together(rest)
    return found


def bounded(counts: Mapping[Labels, float], at_most: int = _SHOWN) -> dict[Labels, float]:
    """Keep the largest, and add up the rest under `OTHERS`, by the last label: anybody may ask for any name."""
    ordered: Iterable[tuple[Labels, float]] = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    found: dict[Labels, float] = {}
    for number, (labels, count) in enumerate(ordered):
        key = labels if number < at_most else (*[OTHERS] * (len(labels) - 1), labels[-1])
        found[key] = found.get(key, 0) + count
    return found

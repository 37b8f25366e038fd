"""What really happened: an entry for each time that an activity was run, whoever ran it, and for each signal sent.

It stands outside of Perdure and survives every crash of the world. What it knows is compared with history: nothing ran
before it was asked for, no result came out of nowhere.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
from typing import NamedTuple

from perdure._core.activity import ActivityInfo

__all__ = ["Key", "Ledger", "Letter", "Run"]


class Key(NamedTuple):
    """One activity of one execution."""

    instance_id: str
    execution: int
    seq: int


@dataclasses.dataclass(slots=True)
class Run:
    """One time that an activity was run: by whom, as which attempt, and what it returned."""

    actor: str
    attempt: int
    result: str | None = None


@dataclasses.dataclass(slots=True, eq=False)
class Letter:
    """A signal that a client sends, under one dedupe key; `told_at` is when it was told that it is on its way."""

    instance_id: str
    name: str
    number: int
    told_at: datetime.datetime | None = None

    @property
    def text(self) -> str:
        """The payload: no other signal has the same."""
        return f"letter {self.number:06}"


class Ledger:
    """All runs of all activities, in the order in which they began, and all letters of clients."""

    def __init__(self) -> None:
        """Know of none."""
        self.letters: list[Letter] = []
        self.removed: set[str] = set()
        self.is_forgetful = False
        self.runs: dict[Key, list[Run]] = collections.defaultdict(list)

    def begin(self, info: ActivityInfo, actor: str) -> tuple[int, Run]:
        """Note that an activity is being run; give how often it was before, and the entry."""
        runs = self.runs[Key(info.instance_id, info.execution, info.seq)]
        runs.append(Run(actor, info.attempt))
        return len(runs) - 1, runs[-1]

    def was_removed(self, instance_id: str) -> bool:
        """Whether somebody may have removed an instance or the tree above it: a client, or a worker for its age."""
        return self.is_forgetful or any(
            instance_id == root or instance_id.startswith(f"{root}::") for root in self.removed
        )

    def forget_letters(self, instance_id: str) -> None:
        """An instance was removed, with its children: what was sent to it need not arrive."""
        self.letters = [
            letter
            for letter in self.letters
            if letter.instance_id != instance_id and not letter.instance_id.startswith(f"{instance_id}::")
        ]

    def results(self, key: Key) -> set[str]:
        """Give what the runs of an activity returned."""
        return {run.result for run in self.runs[key] if run.result is not None}

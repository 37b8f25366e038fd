"""The logbook of a journey: a ConfigMap to which every departure and every arrival is added, whoever makes it.

It is what the engine cannot tidy up: an activity that ran twice stands in it twice. So it is the witness against which
history is checked. The form of a line is known here alone.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Literal

from activities.kubernetes import fields, ownership
from perdure import ActivityContext, Manifest

__all__ = ["NAME", "Entry", "add", "read"]

NAME = "journey-logbook"
_KEY = "logbook"

What = Literal["left", "arrived"]


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line: on which leg, what happened, and which process wrote it."""

    leg: int
    what: What
    process: int


def read(text: str) -> list[Entry]:
    """Give the entries of a logbook, the oldest first."""
    words = [line.split() for line in text.splitlines()]
    return [Entry(int(leg), "left" if what == "left" else "arrived", int(process)) for _, leg, what, process in words]


async def add(ctx: ActivityContext, leg: int, what: What) -> None:
    """Add a line; of two writers at the same moment one gets a conflict, so that no line is ever lost."""
    before = await ctx.kubernetes.get("v1", "ConfigMap", NAME)
    text = "" if before is None else fields.text(before, "data", _KEY)
    bound = {} if before is None else {"resourceVersion": fields.text(before, "metadata", "resourceVersion")}
    book: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, **bound},
        "data": {_KEY: f"{text}leg {leg} {what} {os.getpid()}\n"},
    }
    labelled = ownership.labelled(book, ctx.instance_id)
    await ctx.kubernetes.apply(labelled, field_manager=ownership.FIELD_MANAGER)

"""What the orchestrations around a Postgres server have in common: their signals, their patience, what they read."""

from __future__ import annotations

from activities.types import InventoryEntry, Model
from perdure import Exponential, RetryPolicy

__all__ = [
    "ACTOR_STOPPED",
    "INSTANCE_DELETED",
    "PATIENT",
    "QUICK",
    "TAKEN_AWAY",
    "UNHURRIED",
    "UPDATE",
    "Deleted",
    "major",
    "volume_of",
]

INSTANCE_DELETED = "InstanceDeleted"
"""Tells an actor that its server is going: it stops touching it, and says so."""

ACTOR_STOPPED = "ActorStopped"
"""The actor's answer, to who asked."""

TAKEN_AWAY = frozenset({"upgrading", "deleting", "deleted"})
"""States of a server in which what is missing is missing on purpose: somebody else has it in hand."""

UPDATE = "update"
"""What a changed resource sends to its run, with `updatePolicy: Signal`."""

PATIENT = RetryPolicy(8, backoff=Exponential(base=1, multiplier=2.0, max=60), timeout=60)
"""Five minutes of trying: an API server or a database that restarts is back before."""

QUICK = RetryPolicy(3, backoff=Exponential(base=1, multiplier=2.0, max=5), timeout=30)
"""For what is done again soon anyway."""

UNHURRIED = RetryPolicy(8, backoff=Exponential(base=1, multiplier=2.0, max=60), timeout=900)
"""For what waits until something is gone: Pods may take their time."""


class Deleted(Model):
    """What the signal `InstanceDeleted` says: who wants to hear that the actor has stopped."""

    reply_to: str = ""


def volume_of(entry: InventoryEntry | None) -> str:
    """Give the name under which a server claims its volume; an upgrade gives it another one."""
    volume = entry.details.get("volume") if entry else None
    return volume if isinstance(volume, str) else "data"


def major(version: str) -> str:
    """Give the major version, whose data no other one reads."""
    return version.partition(".")[0]

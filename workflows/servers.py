"""What the orchestrations around a Postgres server have in common: whose it is, and how patient they are.

A server belongs to whoever asked for it. For a resource that is the resource and not one of its runs: the second run of
an Orchestration whose spec was changed finds the server of the first as its own.
"""

from __future__ import annotations

import re

from activities.types import InventoryEntry, Model
from perdure import Exponential, RetryPolicy

__all__ = [
    "ACTOR_STOPPED",
    "INSTANCE_DELETED",
    "PATIENT",
    "QUICK",
    "UNHURRIED",
    "UPDATE",
    "Deleted",
    "major",
    "owner_of",
    "volume_of",
]

INSTANCE_DELETED = "InstanceDeleted"
"""Tells an actor that its server is going: it stops touching it, and says so."""

ACTOR_STOPPED = "ActorStopped"
"""The actor's answer, to who asked."""

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


_RUN_OF_A_RESOURCE = re.compile(r"([^/:]+/[^/:]+):\d+")


def owner_of(instance_id: str) -> str:
    """Give whose a server is that this instance asks for: its resource (`shop/orders-db`), else the instance itself."""
    match = _RUN_OF_A_RESOURCE.fullmatch(instance_id)
    return match.group(1) if match else instance_id


def volume_of(entry: InventoryEntry | None) -> str:
    """Give the name under which a server claims its volume; an upgrade gives it another one."""
    volume = entry.details.get("volume") if entry else None
    return volume if isinstance(volume, str) else "data"


def major(version: str) -> str:
    """Give the major version, whose data no other one reads."""
    return version.partition(".")[0]

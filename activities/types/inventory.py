"""What travels between a workflow and the activities of the inventory.

Names are those of the run's own namespace: a run cannot speak of another one's, so no type has a field for it.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import pydantic

from activities.types.base import Model
from perdure import JsonValue

__all__ = [
    "EntryInput",
    "EventInput",
    "EventOutput",
    "HealthRecordInput",
    "HealthSummary",
    "InventoryEntry",
    "InventoryEvent",
    "InventoryHealth",
    "InventoryListInput",
    "InventoryListOutput",
    "InventoryName",
    "NameInput",
    "ReleaseInput",
    "ReleaseOutput",
    "ReserveInput",
    "ReserveOutput",
    "ServerState",
    "SetStateInput",
    "StateOutput",
]

ServerState = Literal["creating", "running", "degraded", "upgrading", "deleting", "failed", "deleted"]

_Label = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A DNS label (RFC 1035), as the names of Services are."""

MESSAGE_CHARACTERS = 2_000
"""Of a longer text the begin is kept: that a failure is recorded must not fail because it has a lot to say."""


def _shortened(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[: MESSAGE_CHARACTERS - 1]}…"


_Message = Annotated[str, pydantic.AfterValidator(_shortened)]


class NameInput(Model):
    """A server by its name."""

    name: str


class EntryInput(NameInput):
    """A server by its name, and how many of its events and looks are wanted, the newest first."""

    shown: int = pydantic.Field(default=20, ge=0, le=200)


class ReserveInput(Model):
    """A name to reserve, and a DNS label (without one, the same word), for an owner (without one, this instance)."""

    name: _Label
    version: str
    storage: str
    dns_label: _Label | None = None
    owner: str | None = None


class ReserveOutput(Model):
    """What is reserved; `created` says whether this activity did it, in whichever of its attempts."""

    name: str
    dns_label: str
    state: ServerState
    created: bool


class SetStateInput(Model):
    """The state that a server comes to, and why; of what is empty, what was known stays.

    With `expected` it is changed only from one of these; with `owner` only while the name is held by that instance.
    """

    name: str
    state: ServerState
    message: _Message = ""
    details: dict[str, JsonValue] = pydantic.Field(default_factory=dict)
    expected: list[ServerState] = pydantic.Field(default_factory=list)
    owner: str | None = None
    actor: str = ""
    version: str = ""
    storage: str = ""


class StateOutput(Model):
    """The state that the server is in, and whether this activity brought it there."""

    state: ServerState
    changed: bool


class EventInput(Model):
    """Something that happened to a server: a word for its kind, and a sentence."""

    name: str
    kind: Annotated[str, pydantic.StringConstraints(min_length=1, max_length=63)]
    message: _Message
    owner: str | None = None


class EventOutput(Model):
    """That it stands in the inventory now."""

    recorded: bool = True


class HealthRecordInput(Model):
    """One look at a server. The newest `keep` records are kept, none of them longer than `keep_days`."""

    name: str
    healthy: bool
    message: _Message = ""
    latency_ms: float | None = pydantic.Field(default=None, ge=0)
    keep: int = pydantic.Field(default=200, ge=1, le=10_000)
    keep_days: int = pydantic.Field(default=7, ge=1, le=365)
    owner: str | None = None


class HealthSummary(Model):
    """How often in a row it was not healthy, since when it is as it is, and when it was healthy last."""

    consecutive_failures: int
    since: datetime.datetime
    last_ok: datetime.datetime | None


class InventoryEvent(Model):
    """Something that happened to a server; of a change of its state also from which to which."""

    at: datetime.datetime
    kind: str
    message: str
    from_state: ServerState | None = None
    to_state: ServerState | None = None


class InventoryHealth(Model):
    """One look at a server."""

    at: datetime.datetime
    healthy: bool
    message: str
    latency_ms: float | None = None


class InventoryEntry(Model):
    """What is known of a server; the newest events and looks come first, as many as were asked for.

    `failure` and `failed_at` are those of the last time it failed, also when it is in another state by now. A server
    with `released_at` holds its name no more.
    """

    name: str
    dns_label: str
    version: str
    storage: str
    owner: str
    actor: str
    state: ServerState
    state_at: datetime.datetime
    message: str
    details: dict[str, JsonValue]
    failure: str | None
    failed_at: datetime.datetime | None
    consecutive_failures: int
    health_since: datetime.datetime | None
    last_ok_at: datetime.datetime | None
    reserved_at: datetime.datetime
    released_at: datetime.datetime | None
    events: list[InventoryEvent]
    health: list[InventoryHealth]


class InventoryListInput(Model):
    """At most so many, of the names after this one."""

    limit: int = pydantic.Field(default=500, ge=1, le=1_000)
    after: str = ""


class InventoryName(Model):
    """Who holds a name, and how it is."""

    name: str
    dns_label: str
    state: ServerState
    version: str
    owner: str


class InventoryListOutput(Model):
    """The held names of the namespace in their order; `truncated` when there are more."""

    servers: list[InventoryName]
    truncated: bool


class ReleaseInput(Model):
    """The name to give back. Without `keep_history` what happened to the server is forgotten with it.

    With `keep_volumes` its volumes and the Secret that opens them may stay. With `owner` only what that instance
    holds is given back.
    """

    name: str
    keep_history: bool = True
    keep_volumes: bool = False
    owner: str | None = None


class ReleaseOutput(Model):
    """Whether this activity gave the name back; False when nobody held it."""

    released: bool

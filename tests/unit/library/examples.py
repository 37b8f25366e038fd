"""An example of every type of the inventory and of the activities around Postgres, as they stand in history."""

from __future__ import annotations

import datetime

from activities.types import (
    EventInput,
    EventOutput,
    HealthRecordInput,
    HealthSummary,
    InventoryEntry,
    InventoryEvent,
    InventoryHealth,
    InventoryListInput,
    InventoryListOutput,
    InventoryName,
    Model,
    NameInput,
    ReleaseInput,
    ReleaseOutput,
    ReserveInput,
    ReserveOutput,
    SetStateInput,
    StateOutput,
)

__all__ = ["INVENTORY"]

AT = datetime.datetime(2026, 3, 29, 1, 30, 0, 125, tzinfo=datetime.UTC)
EVENT = InventoryEvent(at=AT, kind="state", message="it answers", from_state="creating", to_state="running")
LOOK = InventoryHealth(at=AT, healthy=True, message="", latency_ms=1.25)
HELD = InventoryName(name="pg", dns_label="db", state="running", version="18", owner="shop/pg:1")

INVENTORY: list[Model] = [
    NameInput(name="pg"),
    ReserveInput(name="pg", version="18", storage="1Gi", dns_label="db", owner="shop/pg"),
    ReserveOutput(name="pg", dns_label="db", state="creating", created=True),
    SetStateInput(
        name="pg", state="failed", message="no room", details={"node": "a"}, expected=["creating", "running"]
    ),
    StateOutput(state="failed", changed=True),
    EventInput(name="pg", kind="backup", message="2 GiB"),
    EventOutput(),
    HealthRecordInput(name="pg", healthy=False, message="away", latency_ms=3, keep=10, keep_days=1),
    HealthSummary(consecutive_failures=2, since=AT, last_ok=None),
    EVENT,
    LOOK,
    InventoryEntry(
        name="pg",
        dns_label="db",
        version="18",
        storage="1Gi",
        owner="shop/pg:1",
        actor="shop/pg:1::actor",
        state="failed",
        state_at=AT,
        message="no room",
        details={"node": "a"},
        failure="no room",
        failed_at=AT,
        consecutive_failures=0,
        health_since=AT,
        last_ok_at=AT,
        reserved_at=AT,
        released_at=None,
        events=[EVENT],
        health=[LOOK],
    ),
    HELD,
    InventoryListInput(limit=10, after="a"),
    InventoryListOutput(servers=[HELD], truncated=True),
    ReleaseInput(name="pg", keep_history=False, owner="shop/pg"),
    ReleaseOutput(released=True),
]

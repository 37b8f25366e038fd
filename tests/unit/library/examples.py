"""An example of every type of the inventory and of the activities around Postgres, as they stand in history."""

from __future__ import annotations

import datetime

from activities.types import (
    BackupInput,
    BackupOutput,
    ConnectionInfo,
    DeletePostgresObjectsInput,
    DeletePostgresObjectsOutput,
    EntryInput,
    EventInput,
    EventOutput,
    HealthInput,
    HealthOutput,
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
    ReconfigureInput,
    ReconfigureOutput,
    ReleaseInput,
    ReleaseOutput,
    ReserveInput,
    ReserveOutput,
    RestoreInput,
    RestoreOutput,
    SetStateInput,
    StateOutput,
)

__all__ = ["AT", "INVENTORY", "POSTGRES"]

AT = datetime.datetime(2026, 3, 29, 1, 30, 0, 125, tzinfo=datetime.UTC)
EVENT = InventoryEvent(at=AT, kind="state", message="it answers", from_state="creating", to_state="running")
LOOK = InventoryHealth(at=AT, healthy=True, message="", latency_ms=1.25)
HELD = InventoryName(name="pg", dns_label="db", state="running", version="18", owner="shop/pg:1")

INVENTORY: list[Model] = [
    EntryInput(name="pg", shown=0),
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

POSTGRES: list[Model] = [
    ConnectionInfo(host="pg.shop.svc", port=5432, database="app", secret_name="pg-credentials"),
    ReconfigureInput(name="pg", version="18.4", storage="2Gi", parameters={"work_mem": "8MB"}, owner="shop/pg"),
    ReconfigureOutput(changed=True, restart_needed=True),
    HealthInput(name="pg", version="18", parameters={"work_mem": "8MB"}, volume="data-v18", connect=False),
    HealthOutput(
        healthy=False,
        ready=True,
        connected=True,
        latency_ms=1.5,
        version="18.4",
        missing=["Service"],
        drifted=["StatefulSet spec.replicas"],
        message="missing: Service",
    ),
    BackupInput(name="pg", target="nas", backup="monday", keep=3, timeout_seconds=60),
    BackupOutput(backup="monday", size_bytes=4_096, checksum="sha256:00", tables=2, finished_at=AT),
    RestoreInput(name="pg", backup="monday", source="old", target="nas"),
    RestoreOutput(backup="monday", tables=2),
    DeletePostgresObjectsInput(name="pg", owner="shop/pg", delete_volumes=False, delete_backups=True, wait_seconds=60),
    DeletePostgresObjectsOutput(deleted=["StatefulSet pg", "Service pg"]),
]

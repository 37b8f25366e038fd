"""Stand-ins for the activities around one Postgres server, which share what they know: objects, volumes, backups.

For simulations of orchestrations whose steps build on each other. What matters is in whose reach the data is, so a
volume holds rows, a backup is a copy of them, and a Service lets clients in. `troubles` says at which call of all an
activity fails or never ends, or somebody makes the Service of the server.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

from activities.inventory.look import get_entry
from activities.inventory.record_event import record_event
from activities.inventory.set_state import set_state
from activities.inventory.states import judge
from activities.kubernetes.delete import delete
from activities.kubernetes.get import get
from activities.postgres import manifests
from activities.postgres.backup import backup_database
from activities.postgres.connection import verify_connection
from activities.postgres.delete import delete_postgres_objects
from activities.postgres.deploy import deploy_postgres, shape_of
from activities.postgres.restore import restore_database
from activities.postgres.wait import wait_for_postgres
from activities.types import (
    BackupInput,
    BackupOutput,
    DeleteInput,
    DeleteOutput,
    DeletePostgresObjectsInput,
    DeletePostgresObjectsOutput,
    DeployPostgresInput,
    DeployPostgresOutput,
    EventInput,
    EventOutput,
    GetOutput,
    InventoryEntry,
    ObjectRef,
    RestoreInput,
    RestoreOutput,
    SetStateInput,
    StateOutput,
    VerifyConnectionOutput,
    WaitOutput,
)
from perdure import ActivityContext, NonRetryableError
from perdure.testing import BEGINS_AT
from workflows import servers

__all__ = ["OWNER", "Pretence"]

OWNER = "shop/orders-db"
OLD = DeployPostgresInput(name="orders", version="16", storage="1Gi", owner=OWNER, parameters={"work_mem": "8MB"})
ENTRY = InventoryEntry(
    name="orders",
    dns_label="orders",
    version="16",
    storage="1Gi",
    owner=OWNER,
    actor="shop/orders-db:1::actor",
    state="running",
    state_at=BEGINS_AT,
    message="",
    details={},
    failure=None,
    failed_at=None,
    consecutive_failures=0,
    health_since=None,
    last_ok_at=None,
    reserved_at=BEGINS_AT,
    released_at=None,
    events=[],
    health=[],
)


@dataclasses.dataclass
class Pretence:
    """A server `orders`, Postgres 16 with two tables, as the cluster and the inventory have it."""

    entry: InventoryEntry | None = ENTRY
    server: DeployPostgresInput | None = OLD
    services: set[str] = dataclasses.field(default_factory=lambda: {"orders"})
    claims: dict[str, list[str]] = dataclasses.field(default_factory=lambda: {"data-orders-0": ["a", "b"]})
    backups: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    events: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    calls: list[str] = dataclasses.field(default_factory=list)
    troubles: dict[int, str] = dataclasses.field(default_factory=dict)

    def activities(self) -> dict[Any, Any]:
        """Give what stands for the activities."""
        doing: dict[Any, Callable[..., object]] = {
            get_entry: self._entry,
            set_state: self._set_state,
            record_event: self._event,
            get: self._get,
            delete: self._delete,
            deploy_postgres: self._deploy,
            wait_for_postgres: lambda _: WaitOutput(message="ready"),
            delete_postgres_objects: self._delete_objects,
            backup_database: self._back_up,
            restore_database: self._restore,
            verify_connection: lambda _: VerifyConnectionOutput(server_version="18.4"),
        }
        return {activity: self._troubled(activity.name, do) for activity, do in doing.items()}

    @property
    def now(self) -> tuple[object, ...]:
        """What there is: the server, who can reach it, its data, and what the inventory says of it."""
        assert self.entry
        known = (self.entry.state, self.entry.version, servers.volume_of(self.entry))
        return (self.server, frozenset(self.services), {**self.claims}, known)

    @property
    def clients_reach(self) -> list[str] | None:
        """The rows that a client sees; None when none reaches the server."""
        if self.server is None or "orders" not in self.services:
            return None
        return self.claims[self._claim(self.server)]

    def _troubled(self, name: str, do: Callable[..., object]) -> Callable[..., object]:
        async def stand_in(ctx: ActivityContext, input: Any) -> object:
            self.calls.append(name.rpartition("::")[2])
            trouble = self.troubles.get(len(self.calls))
            if trouble == "hang":
                await asyncio.sleep(10**9)
            if trouble == "let in":
                self.services.add("orders")
            elif trouble:
                raise NonRetryableError(trouble)
            return do(input)

        return stand_in

    def _entry(self, _: object) -> InventoryEntry | None:
        return self.entry

    def _set_state(self, input: SetStateInput) -> StateOutput:
        assert self.entry
        verdict = judge(self.entry.state, input.state, expected=input.expected)
        assert verdict in {"change", "unexpected"}, verdict
        if verdict == "unexpected":
            return StateOutput(state=self.entry.state, changed=False)
        self.events.append((input.state, input.message))
        change = {
            "state": input.state,
            "message": input.message,
            "details": input.details or self.entry.details,
            "version": input.version or self.entry.version,
        }
        self.entry = self.entry.model_copy(update=change)
        return StateOutput(state=input.state, changed=True)

    def _event(self, input: EventInput) -> EventOutput:
        self.events.append((input.kind, input.message))
        return EventOutput()

    def _get(self, target: ObjectRef) -> GetOutput:
        if target.kind == "Service":
            return GetOutput(manifest={"kind": "Service"} if target.name in self.services else None)
        if self.server is None:
            return GetOutput(manifest=None)
        made = manifests.stateful_set(
            self.server.name, self.server.version, storage=self.server.storage, shape=shape_of(self.server)
        )
        return GetOutput(manifest=made)

    def _deploy(self, input: DeployPostgresInput) -> DeployPostgresOutput:
        if self.server and (self.server.version, self.server.volume) != (input.version, input.volume):
            message = "another major version or volume"
            raise NonRetryableError(message)
        self.services.add(input.host or input.name)
        self.server = input.model_copy(update={"host": "", "resources": {}})
        self.claims.setdefault(self._claim(input), [])
        return DeployPostgresOutput(
            host=f"{input.host or input.name}.shop.svc", port=5432, database="app", secret_name="orders-credentials"
        )

    def _delete(self, input: DeleteInput) -> DeleteOutput:
        if input.kind == "Service":
            assert input.name != "orders"
            self.services.discard(input.name)
            return DeleteOutput(deleted=True)
        assert self.server is None or input.name != self._claim(self.server), "a volume went from under its server"
        return DeleteOutput(deleted=self.claims.pop(input.name, None) is not None)

    def _delete_objects(self, input: DeletePostgresObjectsInput) -> DeletePostgresObjectsOutput:
        assert not input.delete_volumes
        assert input.owner == OWNER
        self.server = None
        self.services.discard(input.host or input.name)
        return DeletePostgresObjectsOutput(deleted=[])

    def _back_up(self, _: BackupInput) -> BackupOutput:
        assert self.server
        name = f"backup-{len(self.backups) + 1}"
        self.backups[name] = [*self.claims[self._claim(self.server)]]
        size = len(self.backups[name])
        return BackupOutput(backup=name, size_bytes=size, checksum="sha256:0", tables=size, finished_at=BEGINS_AT)

    def _restore(self, input: RestoreInput) -> RestoreOutput:
        assert self.server
        name = [*self.backups][-1] if input.backup == "latest" else input.backup
        self.claims[self._claim(self.server)] = [*self.backups[name]]
        return RestoreOutput(backup=name, tables=len(self.backups[name]))

    def _claim(self, server: DeployPostgresInput) -> str:
        return manifests.claim_name(server.name, server.volume)

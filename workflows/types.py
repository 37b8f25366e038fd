"""Inputs and outputs of the offered orchestrations: what people write in `spec.input` and read in `status.output`.

On the wire the fields are camelCase. An input refuses fields it does not know: a misspelled `storage` must not silently
become the default. A type here is part of recorded history: fields may be added with a default, never renamed.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal, Self

import pydantic

from activities.types import (
    LONGEST_WAIT_SECONDS,
    AppliedObject,
    BackupName,
    DeployPostgresInput,
    KubernetesManifest,
    MigratedTable,
    Model,
    PostgresDatabase,
    TableCounts,
    TenantName,
    TenantSubject,
)

__all__ = [
    "ApplyManifestsInput",
    "ApplyManifestsOutput",
    "Approval",
    "BackupPostgresInput",
    "BackupPostgresOutput",
    "CreatePostgresInput",
    "CreatePostgresOutput",
    "DeletePostgresInput",
    "DeletePostgresOutput",
    "GreetInput",
    "GreetOutput",
    "Input",
    "MigrateDataInput",
    "MigrateDataOutput",
    "OnboardTenantInput",
    "OnboardTenantOutput",
    "PostgresActorInput",
    "PostgresActorOutput",
    "RollBackPostgresInput",
    "RollBackPostgresOutput",
    "UpgradePostgresInput",
    "UpgradePostgresOutput",
]

PostgresName = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
"""A DNS label (RFC 1035), short enough for the names that Kubernetes makes of it."""

PostgresVersion = Annotated[str, pydantic.StringConstraints(pattern=r"^(1[4-9]|[2-9][0-9])(\.[0-9]{1,2})?$")]
"""A major version from 14, with or without a minor one; write it in quotes."""

StorageQuantity = Annotated[str, pydantic.StringConstraints(pattern=r"^[1-9][0-9]{0,5}(Mi|Gi|Ti|M|G|T)$")]
"""A size with its unit, as in 10Gi."""


ParameterName = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)?$", max_length=63)]

Parameters = Annotated[dict[ParameterName, str], pydantic.Field(max_length=100)]
"""Settings of the server, as in `postgresql.conf`."""

PeriodSeconds = Annotated[float, pydantic.Field(ge=1, le=24 * 3600)]
"""How long an actor rests between two looks."""


class Input(Model, extra="forbid"):
    """What people write: every field is known."""


class CreatePostgresInput(Input):
    """The server to create, in the run's own namespace.

    `verify_connection` connects to it from the worker, which must be in the cluster; `actor` leaves somebody behind who
    looks after it every `period_seconds`; without `clean_up` what was made stays when the creation fails.
    """

    name: PostgresName
    version: PostgresVersion = "18"
    storage: StorageQuantity = "1Gi"
    parameters: Parameters = pydantic.Field(default_factory=dict)
    verify_connection: bool = True
    actor: bool = True
    period_seconds: PeriodSeconds = 60.0
    clean_up: bool = True


class CreatePostgresOutput(Model):
    """Where the server is; user and password are in the Secret."""

    host: str
    port: int
    database: str
    secret_name: str
    version: str


class DeletePostgresInput(Input):
    """The server to remove. With `keep_volumes` its data stays, with `delete_backups` its backups go as well.

    `owner` is whose it must be; without one, whose the inventory says it is. `is_actor_stopped` is for the actor, or
    who knows that there is none.
    """

    name: PostgresName
    keep_volumes: bool = False
    delete_backups: bool = False
    owner: str = ""
    is_actor_stopped: bool = False


class DeletePostgresOutput(Model):
    """What was deleted, in its order; what a worker that died had deleted in its last second may be missing."""

    deleted: list[str]


class PostgresActorInput(Input):
    """The server to look after, how often, and what is carried from execution to execution.

    `managed` makes the run the server's owner: it makes the server, and removes it when it is cancelled.
    """

    name: PostgresName
    version: PostgresVersion = "18"
    storage: StorageQuantity = "1Gi"
    parameters: Parameters = pydantic.Field(default_factory=dict)
    verify_connection: bool = True
    period_seconds: PeriodSeconds = 60.0
    managed: bool = False
    owner: str = ""
    rounds: int = 0
    healed: int = 0
    last_healed: str = ""


class PostgresActorOutput(Model):
    """Why it ended, how often it looked, and how often it had to mend something."""

    reason: str
    rounds: int
    healed: int


class ApplyManifestsInput(Input):
    """Objects to apply in this order, and how long each may take to become ready (0: do not wait)."""

    manifests: list[KubernetesManifest] = pydantic.Field(min_length=1, max_length=100)
    timeout_seconds: float = pydantic.Field(default=300.0, ge=0, le=LONGEST_WAIT_SECONDS)
    take_over: bool = False


class ApplyManifestsOutput(Model):
    """The objects as they were applied."""

    objects: list[AppliedObject]


class OnboardTenantInput(Input):
    """The tenant, whose name its namespace gets, and what it may use; how long somebody has time to approve it."""

    tenant: TenantName
    quota: dict[str, str] = pydantic.Field(default_factory=dict)
    limits: dict[str, str] = pydantic.Field(default_factory=dict)
    admins: list[TenantSubject] = pydantic.Field(default_factory=list, max_length=100)
    pod_security: Literal["privileged", "baseline", "restricted"] = "restricted"
    require_approval: bool = True
    approval_seconds: float = pydantic.Field(default=7 * 24 * 3600.0, gt=0, le=366 * 24 * 3600.0)


class Approval(Model):
    """What the signal `Approval` says: yes or no, who says so, and why."""

    approved: pydantic.StrictBool
    by: str = pydantic.Field(default="somebody", max_length=200)
    reason: str = pydantic.Field(default="", max_length=1_000)


class OnboardTenantOutput(Model):
    """The namespace and what was made in it; who approved it, empty when nobody had to."""

    namespace: str
    uid: str
    approved_by: str
    objects: list[str]


class MigrateDataInput(Input):
    """Tables to copy from one database to another.

    `migration` names the work, so that another run goes on with it (default: the resource). `parallel` chunks of
    `chunk_rows` rows each are copied at a time; `rows_per_second` bounds them all together (0: no bound).
    """

    source: PostgresDatabase
    target: PostgresDatabase
    tables: list[MigratedTable] = pydantic.Field(min_length=1, max_length=100)
    migration: str = pydantic.Field(default="", max_length=200)
    chunk_rows: int = pydantic.Field(default=10_000, ge=1, le=1_000_000)
    parallel: int = pydantic.Field(default=4, ge=1, le=32)
    rows_per_second: int = pydantic.Field(default=0, ge=0)

    @pydantic.model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if self.source.address == self.target.address:
            message = "source and target are the same database"
            raise ValueError(message)
        named = [table.name for table in self.tables]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            message = f"a table is named twice: {', '.join(twice)}"
            raise ValueError(message)
        return self


class MigrateDataOutput(Model):
    """What was copied, and what both sides have now, for each table."""

    migration: str
    rows: int
    tables: list[TableCounts]


class GreetInput(Input):
    """Whom to greet, and how long to wait before."""

    name: str = pydantic.Field(default="world", min_length=1, max_length=200)
    pause_seconds: float = pydantic.Field(default=0, ge=0, le=LONGEST_WAIT_SECONDS)


class GreetOutput(Model):
    """What was said."""

    greeting: str


class BackupPostgresInput(Input):
    """The server to back up, how many backups to keep, and where: in the claim `target`, else in one of its own.

    With `restore`, the name of a backup or `latest`, nothing is backed up and that one is brought back. `storage` is
    the size of a claim that is made (as large as the server's volume), `owner` whose the server must be (without one,
    whose the inventory says it is).
    """

    name: PostgresName
    keep: int = pydantic.Field(default=7, ge=1, le=1_000)
    storage: StorageQuantity | None = None
    target: str = pydantic.Field(default="", max_length=253)
    restore: BackupName = ""
    owner: str = ""


class BackupPostgresOutput(Model):
    """The backup that was made or brought back, and its tables; of one that was made also size, checksum and time."""

    backup: str
    tables: int
    restored: bool
    size_bytes: int | None = None
    checksum: str | None = None
    finished_at: datetime.datetime | None = None


class UpgradePostgresInput(Input):
    """The server to upgrade, and the major version that it comes to.

    Unless `require_approval` is off somebody must agree within `approval_seconds`. With `keep_old_volume` the claim
    with the data of before stays. `verify_connection` connects from the worker, which must be in the cluster.
    """

    name: PostgresName
    version: PostgresVersion
    require_approval: bool = True
    approval_seconds: float = pydantic.Field(default=24 * 3_600.0, gt=0, le=30 * 24 * 3_600.0)
    keep_old_volume: bool = False
    verify_connection: bool = True


class UpgradePostgresOutput(Model):
    """What the server was and is, the volume it has now, and the backup that its data was moved by."""

    from_version: str
    version: str
    volume: str
    backup: str
    tables: int


class RollBackPostgresInput(Input):
    """An upgrade to go back from: the server as it was before, the volume that was made for the new one, and why."""

    before: DeployPostgresInput
    volume: str
    upgrade: str
    reason: str


class RollBackPostgresOutput(Model):
    """Whether there was something to go back from; if not, the upgrade had not begun, or was over."""

    rolled_back: bool

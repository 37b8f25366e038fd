"""Inputs and outputs of the offered orchestrations: what people write in `spec.input` and read in `status.output`.

On the wire the fields are camelCase. An input refuses fields it does not know: a misspelled `storage` must not silently
become the default. A type here is part of recorded history: fields may be added with a default, never renamed.
"""

from __future__ import annotations

import datetime
from typing import Annotated

import pydantic

from activities.types import (
    LONGEST_WAIT_SECONDS,
    AppliedObject,
    BackupName,
    DeployPostgresInput,
    KubernetesManifest,
    Model,
)

__all__ = [
    "ApplyManifestsInput",
    "ApplyManifestsOutput",
    "BackupPostgresInput",
    "BackupPostgresOutput",
    "CreatePostgresInput",
    "CreatePostgresOutput",
    "GreetInput",
    "GreetOutput",
    "Input",
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


class Input(Model, extra="forbid"):
    """What people write: every field is known."""


class CreatePostgresInput(Input):
    """The server to create, in the run's own namespace."""

    name: PostgresName
    version: PostgresVersion = "18"
    storage: StorageQuantity = "1Gi"
    verify_connection: bool = True


class CreatePostgresOutput(Model):
    """Where the server is; user and password are in the Secret."""

    host: str
    port: int
    database: str
    secret_name: str
    version: str


class ApplyManifestsInput(Input):
    """Objects to apply in this order, and how long each may take to become ready (0: do not wait)."""

    manifests: list[KubernetesManifest] = pydantic.Field(min_length=1, max_length=100)
    timeout_seconds: float = pydantic.Field(default=300.0, ge=0, le=LONGEST_WAIT_SECONDS)
    take_over: bool = False


class ApplyManifestsOutput(Model):
    """The objects as they were applied."""

    objects: list[AppliedObject]


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

"""What travels between a workflow and the activities around one Postgres server.

A server outlives the run that made it, so those who change it say whose it is: `owner`, an instance or a resource; the
run itself when it is empty. `volume` is the name under which the StatefulSet claims its volume; a server that is
upgraded gets a new one, and goes back to the old one when that fails.
"""

from __future__ import annotations

import datetime
from typing import Annotated

import pydantic

from activities.types.base import LONGEST_WAIT_SECONDS, Model
from activities.types.inventory import NameInput
from perdure import Manifest

__all__ = [
    "BackupInput",
    "BackupName",
    "BackupOutput",
    "ConnectionInfo",
    "DeletePostgresObjectsInput",
    "DeletePostgresObjectsOutput",
    "DeployPostgresInput",
    "DeployPostgresOutput",
    "HealthInput",
    "HealthOutput",
    "ReconfigureInput",
    "ReconfigureOutput",
    "RestoreInput",
    "RestoreOutput",
    "VerifyConnectionInput",
    "VerifyConnectionOutput",
    "WaitForPostgresInput",
]

Parameters = dict[Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)?$", max_length=63)], str]
"""Settings of the server, as in `postgresql.conf`."""

BackupName = Annotated[str, pydantic.StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,120})?$")]
"""The name of a file, without a path; empty where there is a default."""

JobSeconds = Annotated[float, pydantic.Field(gt=0, le=LONGEST_WAIT_SECONDS)]


class DeployPostgresInput(Model):
    """A Postgres server: its name, the version (the tag of the image) and the size of its volume.

    `host` is the name of its Service (without one, `name`), `image` takes the place of `postgres:VERSION`, and
    `resources` that of the requests and limits it has by default.
    """

    name: str
    version: str
    storage: str
    owner: str = ""
    volume: str = "data"
    host: str = ""
    image: str = ""
    parameters: Parameters = pydantic.Field(default_factory=dict)
    resources: Manifest = pydantic.Field(default_factory=dict)


class DeployPostgresOutput(Model):
    """Where clients find the server, and the Secret with `username` and `password`."""

    host: str
    port: int
    database: str
    secret_name: str


class ConnectionInfo(Model):
    """Where clients find a server, and the Secret with `username` and `password`."""

    host: str
    port: int
    database: str
    secret_name: str


class WaitForPostgresInput(Model):
    """Which server to wait for, and how long."""

    name: str
    timeout_seconds: float = pydantic.Field(default=600.0, gt=0, le=LONGEST_WAIT_SECONDS)


class VerifyConnectionInput(Model):
    """Which server to connect to, with the user and password of which Secret."""

    host: str
    port: int
    database: str
    secret_name: str
    timeout_seconds: float = pydantic.Field(default=10.0, gt=0, le=60)


class VerifyConnectionOutput(Model):
    """What the server said about itself."""

    server_version: str


class ReconfigureInput(NameInput):
    """What to change of a server; of what is not named, what is there stays.

    `parameters` are laid over those that are there, an empty value takes one away; `storage` can only grow.
    """

    owner: str = ""
    host: str = ""
    version: str | None = None
    storage: str | None = None
    parameters: Parameters = pydantic.Field(default_factory=dict)
    resources: Manifest = pydantic.Field(default_factory=dict)


class ReconfigureOutput(Model):
    """Whether something was changed, and whether the server begins anew for it: then wait until it is ready."""

    changed: bool
    restart_needed: bool


class HealthInput(NameInput):
    """A server to look at, and what it should be.

    Without a `version` it is not compared with version, image, parameters and resources. With `connect` it is also
    asked, as its clients do, from the worker, which must be in the cluster.
    """

    owner: str = ""
    volume: str = "data"
    host: str = ""
    version: str = ""
    image: str = ""
    parameters: Parameters = pydantic.Field(default_factory=dict)
    resources: Manifest = pydantic.Field(default_factory=dict)
    connect: bool = True
    timeout_seconds: float = pydantic.Field(default=5.0, gt=0, le=60)


class HealthOutput(Model):
    """How a server is: `missing` are kinds of which there is no object, `drifted` fields that were changed by hand."""

    healthy: bool
    ready: bool
    connected: bool
    latency_ms: float | None
    version: str
    missing: list[str]
    drifted: list[str]
    message: str


class BackupInput(NameInput):
    """A server to back up, into the claim `target` (`NAME-backups`, which is made, of this size, when it is not named).

    The newest `keep` backups of the server are kept. `backup` is the name of this one; without one it has the time.
    """

    owner: str = ""
    target: str = ""
    backup: BackupName = ""
    storage: str = ""
    keep: int = pydantic.Field(default=7, ge=1, le=1_000)
    timeout_seconds: JobSeconds = 3_600.0


class BackupOutput(Model):
    """The backup: its name, its size, its checksum (`sha256:...`), its tables, and when it was finished."""

    backup: str
    size_bytes: int
    checksum: str
    tables: int
    finished_at: datetime.datetime


class RestoreInput(NameInput):
    """A backup to bring back into a server; of the server `source` (without one, its own) in the claim `target`."""

    owner: str = ""
    backup: BackupName = pydantic.Field(min_length=1)
    source: str = ""
    target: str = ""
    timeout_seconds: JobSeconds = 3_600.0


class RestoreOutput(Model):
    """What was brought back, and how many tables the database has now."""

    backup: str
    tables: int


class DeletePostgresObjectsInput(NameInput):
    """A server to delete, and how long each object may take to be gone (0: do not wait).

    Without `delete_volumes` its data stays, and with it the Secret that opens it. Backups stay unless `delete_backups`.
    """

    owner: str = ""
    host: str = ""
    delete_volumes: bool = True
    delete_backups: bool = False
    wait_seconds: float = pydantic.Field(default=300.0, ge=0, le=LONGEST_WAIT_SECONDS)


class DeletePostgresObjectsOutput(Model):
    """What was deleted, in its order, as in `Service orders`.

    A worker that dies takes with it what it had deleted in its last second: for people, not to decide by.
    """

    deleted: list[str]

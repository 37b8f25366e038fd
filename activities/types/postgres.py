"""What travels between a workflow and the activities around one Postgres server."""

from __future__ import annotations

import pydantic

from activities.types.base import LONGEST_WAIT_SECONDS, Model

__all__ = [
    "DeployPostgresInput",
    "DeployPostgresOutput",
    "VerifyConnectionInput",
    "VerifyConnectionOutput",
    "WaitForPostgresInput",
]


class DeployPostgresInput(Model):
    """A Postgres server: its name, the version (the tag of the image) and the size of its volume."""

    name: str
    version: str
    storage: str


class DeployPostgresOutput(Model):
    """Where clients find the server, and the Secret with `username` and `password`."""

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

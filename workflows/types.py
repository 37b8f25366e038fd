"""Inputs and outputs of the offered orchestrations: what people write in `spec.input` and read in `status.output`.

On the wire the fields are camelCase. An input refuses fields it does not know: a misspelled `storage` must not silently
become the default. A type here is part of recorded history: fields may be added with a default, never renamed.
"""

from __future__ import annotations

from typing import Annotated

import pydantic

from activities.types import LONGEST_WAIT_SECONDS, AppliedObject, KubernetesManifest, Model

__all__ = [
    "ApplyManifestsInput",
    "ApplyManifestsOutput",
    "CreatePostgresInput",
    "CreatePostgresOutput",
    "GreetInput",
    "GreetOutput",
    "Input",
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

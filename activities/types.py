"""What travels between a workflow and the offered activities: inputs and outputs, as they stand in history.

On the wire the fields are camelCase, as everywhere in Kubernetes; Python code uses the Python names, and both are
accepted. A type here is part of recorded history: fields may be added with a default, never renamed or removed. No
field ever holds a secret: secrets travel as the name of a Secret.
"""

from __future__ import annotations

from typing import Annotated

import pydantic
from pydantic.alias_generators import to_camel

from perdure import JsonValue, Manifest

__all__ = [
    "AppliedObject",
    "ApplyInput",
    "ApplyOutput",
    "DeleteOutput",
    "DeployPostgresInput",
    "DeployPostgresOutput",
    "GetOutput",
    "KubernetesManifest",
    "Model",
    "ObjectRef",
    "VerifyConnectionInput",
    "VerifyConnectionOutput",
    "WaitForPostgresInput",
    "WaitInput",
    "WaitOutput",
]

LONGEST_WAIT_SECONDS = 24 * 3600.0
"""A wait holds a slot of a worker; whoever waits for days uses a timer and looks again."""


class Model(pydantic.BaseModel):
    """The common ground: camelCase outside, Python names inside, values that do not change."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
    )


def _check_manifest(manifest: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse what could not be applied twice with the same effect, and what must not stand in history."""
    metadata = manifest.get("metadata")
    named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str) and metadata["name"]
    if not (isinstance(manifest.get("apiVersion"), str) and isinstance(manifest.get("kind"), str) and named):
        message = (
            "expected a Kubernetes object with apiVersion, kind and metadata.name (not generateName: a retry would "
            "make a second object)"
        )
        raise ValueError(message)
    if manifest["kind"] == "Secret" and (manifest.get("data") or manifest.get("stringData")):
        message = (
            "a Secret's data would stand in the history of the run; make the Secret beforehand or in an activity of "
            "your own, and refer to it by name"
        )
        raise ValueError(message)
    return manifest


KubernetesManifest = Annotated[Manifest, pydantic.AfterValidator(_check_manifest)]
"""A Kubernetes object that has an apiVersion, a kind and a name, and is no Secret with data."""


class ObjectRef(Model):
    """One object of the cluster; without a namespace it is in the run's own."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        place = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.kind} {self.name}{place}"


class ApplyInput(Model):
    """What to apply, in this order. `take_over` also takes objects that exist and are not this run's."""

    manifests: list[KubernetesManifest] = pydantic.Field(min_length=1)
    take_over: bool = False


class AppliedObject(ObjectRef):
    """An object as the server has it now."""

    uid: str


class ApplyOutput(Model):
    """The applied objects, in the order given."""

    objects: list[AppliedObject]


class GetOutput(Model):
    """The object without its managed fields and without the values of a Secret; None when there is none."""

    manifest: Manifest | None


class DeleteOutput(Model):
    """Whether there was something to delete."""

    deleted: bool


class WaitInput(ObjectRef):
    """What to wait for, and how long."""

    timeout_seconds: float = pydantic.Field(default=300.0, gt=0, le=LONGEST_WAIT_SECONDS)


class WaitOutput(Model):
    """What was seen when the object was ready."""

    message: str


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

"""What travels between a workflow and the activities around Kubernetes objects."""

from __future__ import annotations

import pydantic

from activities.types.base import LONGEST_WAIT_SECONDS, KubernetesManifest, Model
from perdure import Manifest

__all__ = [
    "AppliedObject",
    "ApplyInput",
    "ApplyOutput",
    "DeleteOutput",
    "GetOutput",
    "ObjectRef",
    "WaitInput",
    "WaitOutput",
]


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

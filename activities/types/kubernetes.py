"""What travels between a workflow and the activities around Kubernetes objects.

Those that run workloads (Jobs, rollouts, replicas) are in `workloads`, those of Secrets and namespaces in `tenancy`.
"""

from __future__ import annotations

from typing import Annotated, Self

import pydantic

from activities.types.base import LONGEST_WAIT_SECONDS, KubernetesManifest, Model
from perdure import Manifest, Propagation

__all__ = [
    "AppliedObject",
    "ApplyInput",
    "ApplyOutput",
    "ConditionInput",
    "DeleteInput",
    "DeleteManyInput",
    "DeleteManyOutput",
    "DeleteOutput",
    "GetOutput",
    "ListInput",
    "ListOutput",
    "ObjectRef",
    "PatchInput",
    "PatchOutput",
    "WaitInput",
    "WaitOutput",
]

Wait = Annotated[float, pydantic.Field(gt=0, le=LONGEST_WAIT_SECONDS)]
"""Seconds to wait for something."""

WaitOrNot = Annotated[float, pydantic.Field(ge=0, le=LONGEST_WAIT_SECONDS)]
"""Seconds to wait for something; 0 does not wait."""


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
    """What to apply, in this order. `take_over` also takes objects that exist and are not this run's.

    They are this run's own, unless they belong to an `owner` that outlives it: a resource, `namespace/name`.
    """

    manifests: list[KubernetesManifest] = pydantic.Field(min_length=1)
    take_over: bool = False
    owner: str = ""


class AppliedObject(ObjectRef):
    """An object as the server has it now."""

    uid: str


class ApplyOutput(Model):
    """The applied objects, in the order given."""

    objects: list[AppliedObject]


class GetOutput(Model):
    """The object without its managed fields and without the values of a Secret; None when there is none."""

    manifest: Manifest | None


class PatchInput(ObjectRef):
    """What to merge into an object (RFC 7396: null removes a field, a list is replaced as a whole).

    With `require_own` an object that is not this run's is refused.
    """

    patch: Manifest
    require_own: bool = True

    @pydantic.model_validator(mode="after")
    def _holds_no_secret(self) -> Self:
        if self.kind == "Secret" and (self.patch.get("data") or self.patch.get("stringData")):
            message = "a Secret's data would stand in the history of the run; write it with kubernetes-write-secret"
            raise ValueError(message)
        return self


class PatchOutput(Model):
    """The object after the patch, without its managed fields and without the values of a Secret."""

    manifest: Manifest


class ListInput(Model):
    """Which objects to list: of one kind, by labels (`a=b,c!=d`), at most `limit`."""

    api_version: str
    kind: str
    namespace: str | None = None
    label_selector: str = ""
    limit: int = pydantic.Field(default=100, ge=1, le=1_000)


class ListOutput(Model):
    """The objects as `GetOutput` has them; `truncated` when there are more."""

    manifests: list[Manifest]
    truncated: bool


class DeleteInput(ObjectRef):
    """Which object to delete, and how.

    Its dependents go after it (`Background`), before it (`Foreground`) or stay (`Orphan`). With `wait_seconds` the
    activity ends when the object is gone. A `uid` names one life of it: another of the same name is left alone. With
    `require_own` an object that is not this run's, or the `owner`'s when one is named, is refused.
    """

    propagation: Propagation = "Background"
    wait_seconds: WaitOrNot = 0.0
    uid: str = ""
    require_own: bool = True
    owner: str = ""


class DeleteOutput(Model):
    """Whether there was something to delete."""

    deleted: bool


class DeleteManyInput(Model):
    """Objects to delete one after the other: those of `targets`, or this run's own of one kind that match a selector.

    Each is gone before the next is deleted, unless `wait_seconds`, which each may take, is 0.
    """

    targets: list[ObjectRef] = pydantic.Field(default_factory=list)
    api_version: str = ""
    kind: str = ""
    namespace: str | None = None
    label_selector: str = ""
    propagation: Propagation = "Background"
    wait_seconds: WaitOrNot = 300.0

    @pydantic.model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if bool(self.targets) == bool(self.kind) or bool(self.kind) != bool(self.api_version):
            message = "expected either targets, or apiVersion and kind (with a labelSelector, to narrow it)"
            raise ValueError(message)
        return self


class DeleteManyOutput(Model):
    """What there was to delete, in the order of deletion."""

    deleted: list[ObjectRef]


class WaitInput(ObjectRef):
    """What to wait for, and how long."""

    timeout_seconds: Wait = 300.0


class ConditionInput(WaitInput):
    """The condition of the object's status to wait for, and what it must say."""

    condition: str = pydantic.Field(min_length=1)
    status: str = "True"


class WaitOutput(Model):
    """What was seen when the wait was over."""

    message: str

"""What travels between a workflow and the activities that run workloads: Jobs, rollouts, restarts, replicas."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

from activities.types.base import KubernetesManifest, Model
from activities.types.kubernetes import ObjectRef, Wait, WaitOrNot

__all__ = [
    "RestartInput",
    "RollOutInput",
    "RunJobInput",
    "RunJobOutput",
    "ScaleInput",
    "ScaleOutput",
]

LOG_LINES = 1_000
"""What a log tells of an end stands in its last lines; more is for a log store, not for history."""

Workload = Literal["Deployment", "StatefulSet", "DaemonSet"]


class RunJobInput(Model):
    """A Job, how long it may take, and how much of its log is kept in history (0 lines: nothing).

    With `delete_after` the Job removes itself an hour after its end: until then a second attempt finds its result.
    """

    manifest: KubernetesManifest
    timeout_seconds: Wait = 3_600.0
    log_lines: int = pydantic.Field(default=50, ge=0, le=LOG_LINES)
    delete_after: bool = False

    @pydantic.model_validator(mode="after")
    def _is_a_job(self) -> Self:
        if (self.manifest["apiVersion"], self.manifest["kind"]) != ("batch/v1", "Job"):
            message = "expected a Job of batch/v1"
            raise ValueError(message)
        return self


class RunJobOutput(Model):
    """How the Job ended: always well, a failed one is an error. Pod and exit code are None when the Pod is gone."""

    succeeded: bool = True
    exit_code: int | None
    log_tail: str
    pod: str | None


class RollOutInput(ObjectRef):
    """A workload, new images by the names of its containers (none: only wait), and how long it may take."""

    api_version: str = "apps/v1"
    kind: Workload = "Deployment"
    images: dict[str, str] = pydantic.Field(default_factory=dict)
    timeout_seconds: Wait = 600.0


class RestartInput(ObjectRef):
    """A workload whose Pods are replaced, and how long to wait for them (0: not at all)."""

    api_version: str = "apps/v1"
    kind: Workload = "Deployment"
    timeout_seconds: WaitOrNot = 600.0


class ScaleInput(ObjectRef):
    """How many replicas an object is to have, and how long to wait for them (0: not at all)."""

    replicas: int = pydantic.Field(ge=0)
    timeout_seconds: WaitOrNot = 0.0


class ScaleOutput(Model):
    """How many replicas were wanted before, and are now; the same in every attempt."""

    before: int
    after: int

"""The `Orchestration` resource: one durable run.

The descriptions are the manual: `kubectl explain orchestration.spec` prints them. What a schema can refuse, the API
server refuses with these bounds, patterns and rules; what it cannot becomes a condition.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from perdure._core import limits
from perdure._kube.api import base, condition

__all__ = [
    "API_VERSION",
    "FINALIZER",
    "IMMUTABLE_FIELDS",
    "KIND",
    "PLURAL",
    "VERSION",
    "Cancel",
    "ConfigMapKeyRef",
    "Counts",
    "InputSource",
    "Orchestration",
    "OrchestrationSpec",
    "OrchestrationStatus",
    "OutputRef",
    "Phase",
    "Progress",
    "RunError",
    "SecretKeyRef",
    "Step",
    "Waiting",
]

VERSION = base.VERSION
API_VERSION = base.API_VERSION
KIND = "Orchestration"
PLURAL = "orchestrations"
FINALIZER = f"{base.GROUP}/compensation"
"""Keeps a resource whose deletionPolicy is Compensate until its run has ended."""

Phase = Literal["Pending", "Running", "Suspended", "Completed", "Failed", "Cancelled"]
StepState = Literal["Running", "Completed", "Failed", "Cancelled"]

IMMUTABLE_FIELDS = ("orchestration", "version", "input", "inputFrom", "serviceAccountName")
"""What the run was started with: while `rerunPolicy` is `Never` it stays as it was."""

_PRINTABLE_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$"
_NAME_PATTERN = "^[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9])?$"
_SEMVER_PATTERN = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-((0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$"
)
"""As semver.org gives it, without named groups: the same versions that `@orchestration` takes."""
_SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_KEY_PATTERN = "^[-._a-zA-Z0-9]+$"

_YEAR_SECONDS = 366 * 24 * 3600
_MAX_SOURCES = 64
_MAX_PATH = 512
_MAX_REASON = 1024

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=_SUBDOMAIN_PATTERN)]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=_KEY_PATTERN)]
Seconds = Annotated[int, Field(ge=1, le=_YEAR_SECONDS)]


class ConfigMapKeyRef(base.Model):
    """One key of a ConfigMap in the namespace of the Orchestration."""

    name: ObjectName = Field(description="Name of the ConfigMap.")
    key: DataKey = Field(description="Key in its data.")


class SecretKeyRef(base.Model):
    """One key of a Secret in the namespace of the Orchestration."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: DataKey = Field(description="Key in its data.")


class InputSource(base.Model):
    """A part of the input that stands elsewhere."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.configMapKeyRef) != has(self.secretKeyRef)",
                    "message": "name exactly one source: configMapKeyRef or secretKeyRef",
                }
            ]
        }
    )

    path: Annotated[str, Field(min_length=1, max_length=_MAX_PATH)] = Field(
        description="Where in the input the value goes: field names joined by dots, as in database.host."
    )
    config_map_key_ref: ConfigMapKeyRef | None = Field(
        default=None, description="Put the value of this key of a ConfigMap there, as text, once, when the run starts."
    )
    secret_key_ref: SecretKeyRef | None = Field(
        default=None,
        description="Put a reference to this key of a Secret there. The value is read only inside activities, "
        "and never enters history, status or logs.",
    )


class Cancel(base.Model):
    """A request to end the run."""

    reason: Annotated[str, Field(max_length=_MAX_REASON, pattern=_PRINTABLE_PATTERN)] = Field(
        default="", description="Why, for whoever reads the history and the status later."
    )


def _rules() -> list[pydantic.JsonValue]:
    """Give the CEL rules of a spec: with `rerunPolicy: Never` the request stays what the run was started with."""
    first: pydantic.JsonValue = {
        "rule": "self.rerunPolicy == oldSelf.rerunPolicy",
        "message": "rerunPolicy cannot be changed: create another Orchestration instead.",
        "fieldPath": ".rerunPolicy",
    }
    others: list[pydantic.JsonValue] = [
        {
            "rule": f"self.rerunPolicy != 'Never' || ({base.is_unchanged(field)})",
            "message": f"{field} cannot be changed, added or removed while rerunPolicy is Never: the run was "
            "started with it. Create another Orchestration instead.",
            "fieldPath": f".{field}",
        }
        for field in IMMUTABLE_FIELDS
    ]
    return [first, *others]


class OrchestrationSpec(base.Model):
    """What to run, as whom, and what to do when things change."""

    model_config = pydantic.ConfigDict(json_schema_extra={"x-kubernetes-validations": _rules()})

    orchestration: Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARACTERS, pattern=_NAME_PATTERN)] = (
        Field(
            description="Name of the orchestration to run, as a worker registers it, for example "
            "workflows::orchestration::create-postgres. A name that no live worker offers gives the condition Stalled "
            "with reason UnknownOrchestration, and the known names; the run starts by itself when a worker has it."
        )
    )
    version: Annotated[str, Field(min_length=5, max_length=128, pattern=_SEMVER_PATTERN)] | None = Field(
        default=None,
        description="Semantic version of the orchestration, for example 1.0.0. Without it the highest version that the "
        "worker offers when the run starts; the run keeps that one to its end (status.version).",
    )
    input: pydantic.JsonValue = Field(
        default=None,
        json_schema_extra=base.ANY_JSON,
        description="Input of the orchestration: any JSON value, checked against the type of the function when the "
        "run starts. Never put secrets here: use inputFrom.",
    )
    input_from: Annotated[list[InputSource], Field(max_length=_MAX_SOURCES)] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Parts of the input that come from ConfigMaps and Secrets of this namespace.",
    )
    service_account_name: ObjectName | None = Field(
        default=None,
        description="ServiceAccount of this namespace that the activities of the run act as; default when not given. "
        "It must exist, and the operator must be allowed to impersonate it. The operator has no rights of its own "
        "to provision anything.",
    )
    suspend: bool | None = Field(
        default=None,
        description="Pause the run: no step begins until this is false again, and what is running goes on to its end. "
        "Created with it, the run waits to begin. A cancel lifts the pause; a pause by perdure suspend is another.",
    )
    cancel: Cancel | None = Field(
        default=None,
        description="Set it to end the run: its code may compensate for a while, then the phase is Cancelled. "
        "A finished run is not touched, and a cancel cannot be taken back.",
    )
    timeout_seconds: Seconds | None = Field(
        default=None,
        description="End the run as failed, with the code PERDURE-1223, when it takes longer than this, counted from "
        "the moment it was started. Its code may compensate as after a cancel. May be changed while the run is under "
        "way; for one that is created suspended it counts from the moment it is released.",
    )
    deletion_policy: Literal["Cancel", "Compensate", "Orphan"] = Field(
        default="Cancel",
        description="What becomes of an unfinished run when this resource is deleted. Cancel: it is cancelled, the "
        "resource goes at once. Compensate: it is cancelled, and a finalizer keeps the resource until its compensation "
        "has ended or its grace is over. Orphan: it goes on without a resource.",
    )
    rerun_policy: Literal["Never", "OnChange"] = Field(
        default="Never",
        description="Whether a changed request means a new run. Never: the request "
        f"({', '.join(IMMUTABLE_FIELDS)}) cannot be changed. OnChange: a change starts another run.",
    )
    update_policy: Literal["AfterCurrentRun", "Signal", "CancelCurrent"] = Field(
        default="AfterCurrentRun",
        description="When a changed request takes effect, with rerunPolicy OnChange. AfterCurrentRun: when the present "
        "run has ended. Signal: the present run is told at once by the signal named update, with the new input; when "
        "it ends, another begins. CancelCurrent: the present run is cancelled first. A change that is taken back "
        "before it took effect starts nothing.",
    )
    on_nondeterminism: Literal["Hold", "Fail"] = Field(
        default="Hold",
        description="What to do when the code no longer fits the history of the run. Hold: wait, with the condition "
        "Stalled and reason Nondeterministic, until a worker has fitting code. Fail: end the run as failed.",
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=_YEAR_SECONDS)] | None = Field(
        default=None,
        description="Delete this resource so long after the run has finished. The history stays in the database, and "
        "the same request applied again under this name (GitOps) adopts the finished run instead of running twice; "
        "that resource then stays. A resource that somebody else deletes is forgotten.",
    )
    history_retention_seconds: Annotated[int, Field(ge=0, le=10 * _YEAR_SECONDS)] | None = Field(
        default=None,
        description="Remove the run and its history from the database so long after it has finished; the status stays "
        "as it was. When not given it is kept as long as this resource, or as the operator is configured to.",
    )
    ready_when: Literal["Completed", "Custom"] = Field(
        default="Completed",
        description="What the condition Ready means. Completed: the run has completed. Custom: while the run is under "
        "way, what its code said last by ctx.set_ready; for runs that never end.",
    )


class Step(base.Model):
    """One activity of the run."""

    seq: int = Field(description="Number of the operation in the execution, in the order the code asked.")
    name: str = Field(description="Last part of the name of the activity.")
    state: StepState = Field(description="Running, Completed, Failed or Cancelled.")
    attempt: int | None = Field(default=None, description="Which attempt runs, or was the last, from 1.")
    started_at: datetime = Field(description="When the run asked for it.")
    finished_at: datetime | None = Field(default=None, description="When its result entered the history.")
    error: str | None = Field(default=None, description="What went wrong, shortened.")
    last_error: str | None = Field(
        default=None, description="What went wrong in the last attempt of one that is tried again, shortened."
    )
    next_retry_at: datetime | None = Field(
        default=None, description="When the next attempt is made; absent while an attempt runs or is due."
    )


class Waiting(base.Model):
    """One thing that the run waits for."""

    kind: Literal["Signal", "Timer", "Child", "Worker", "Queue"] = Field(
        description="Signal: nobody has sent it yet. Timer: time has to pass. Child: another run has to end. Worker: "
        "no live worker has the orchestration in this version. Queue: an activity waits for a worker of its queue."
    )
    name: str | None = Field(
        default=None,
        description="The signal, the instance id of the child, the orchestration (name@version) or the queue.",
    )
    since: datetime | None = Field(default=None, description="When the run began to wait for it.")
    until: datetime | None = Field(default=None, description="When a timer fires.")


class Progress(base.Model):
    """How far the run is."""

    text: str = Field(description="For people: 2/4 when the code reports progress, else the steps done so far.")
    done: int | None = Field(default=None, description="How much is done, as the code reports it.")
    total: int | None = Field(default=None, description="How much there is to do, as the code reports it.")
    message: str | None = Field(default=None, description="What is being done, as the code reports it.")


class Counts(base.Model):
    """Activities and timers of the present execution."""

    scheduled: int = Field(description="Activities asked for.")
    completed: int = Field(description="Activities that returned.")
    failed: int = Field(description="Activities that failed for good.")
    cancelled: int = Field(description="Activities that nobody waits for any more.")
    timers: int = Field(description="Timers made.")


class OutputRef(base.Model):
    """An output that is too large for a resource."""

    instance_id: str = Field(description="The instance that has it: perdure get INSTANCE prints it.")
    size_bytes: int = Field(alias="bytes", description="Its size as JSON.")


class RunError(base.Model):
    """Why the run failed or is held."""

    code: str = Field(description="Stable code, for example PERDURE-1301.")
    message: str = Field(description="What happened, in a sentence.")
    activity: str | None = Field(default=None, description="The activity that failed, if one did.")
    attempt: int | None = Field(default=None, description="The attempt that failed last.")


class OrchestrationStatus(base.Model):
    """What the run looks like now: a projection of its history, at most a few KB."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={"default": base.unseen_status(phase="Pending")},
    )

    observed_generation: int | None = Field(
        default=None, description="The generation of the resource that this status speaks of; -1 before any."
    )
    phase: Phase | None = Field(
        default=None,
        description="Pending, Running, Suspended, Completed, Failed or Cancelled; the last three are final.",
    )
    conditions: list[condition.Condition] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description="Ready: the run has completed. Reconciling: it is under way. Stalled: it will not come to a good "
        "end without help. Completed, Failed, Finished (completed, failed or cancelled): for kubectl wait.",
    )
    instance_id: str | None = Field(default=None, description="Id of the run in the database.")
    version: str | None = Field(default=None, description="Version of the orchestration that the run keeps.")
    execution: int | None = Field(default=None, description="Which life of the run this is, from 1.")
    step: str | None = Field(
        default=None, description="What the run is doing: the activity that runs, or what it waits for."
    )
    progress: Progress | None = Field(default=None, description="How far the run is.")
    steps: list[Step] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description=f"The last {limits.STATUS_STEPS} activities, those that run before those that are done.",
    )
    waiting_for: list[Waiting] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description=f"What the run waits for besides the activities that run, at most {limits.STATUS_WAITS}.",
    )
    counts: Counts | None = Field(default=None, description="Activities and timers of the present execution.")
    custom_status: pydantic.JsonValue = Field(
        default=None, json_schema_extra=base.ANY_JSON, description="What the code says about itself."
    )
    output: pydantic.JsonValue = Field(
        default=None, json_schema_extra=base.ANY_JSON, description="What the orchestration returned, when it is small."
    )
    output_ref: OutputRef | None = Field(
        default=None, description="Where the output is, when it is too large to be shown."
    )
    error: RunError | None = Field(default=None, description="Why the run failed or is held.")
    start_time: datetime | None = Field(default=None, description="When the code first ran.")
    completion_time: datetime | None = Field(default=None, description="When the run came to its end.")
    duration: str | None = Field(default=None, description="From start to end, for people, once it has ended.")
    truncated: list[str] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Which of these fields were shortened or left out to keep the resource small.",
    )


class Orchestration(base.Model):
    """One durable run of an orchestration: code that survives every crash.

    The run starts once, when an operator sees the resource, and goes on whatever happens to this resource; its truth
    is in the database, shown here in status.
    """

    spec: OrchestrationSpec
    status: OrchestrationStatus | None = None

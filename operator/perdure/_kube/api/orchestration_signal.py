"""The `OrchestrationSignal` resource: one message to a run, sent once.

The descriptions are the manual: `kubectl explain orchestrationsignal.spec` prints them. A signal is an event, not a
state: nothing of its spec can be changed, and what it says is delivered to one run at most, ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from perdure._core import limits
from perdure._kube.api import base, condition, orchestration

__all__ = [
    "FIELDS",
    "KIND",
    "PLURAL",
    "OrchestrationRef",
    "OrchestrationSignal",
    "OrchestrationSignalSpec",
    "OrchestrationSignalStatus",
    "PayloadSource",
    "Phase",
]

KIND = "OrchestrationSignal"
PLURAL = "orchestrationsignals"

Phase = Literal["Pending", "Delivered", "Failed"]

FIELDS = ("orchestrationRef", "signal", "payload", "payloadFrom", "ttlSecondsAfterDelivered")
"""All fields of a spec; none can be changed."""

_YEAR_SECONDS = 366 * 24 * 3600
_SIGNAL_PATTERN = r"^[^\x00-\x1f\x7f]+$"


class OrchestrationRef(base.Model):
    """The Orchestration that the signal is for."""

    name: orchestration.ObjectName = Field(
        description="Name of an Orchestration in this namespace. It need not exist yet."
    )


class PayloadSource(base.Model):
    """Where the payload stands, when it does not stand here."""

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

    config_map_key_ref: orchestration.ConfigMapKeyRef | None = Field(
        default=None,
        description="The payload is the value of this key of a ConfigMap, as text. It is read as the ServiceAccount of "
        "the run, at the moment of delivery; until it can be read, the signal waits.",
    )
    secret_key_ref: orchestration.SecretKeyRef | None = Field(
        default=None,
        description="The payload is a reference to this key of a Secret. The value is read only inside activities, and "
        "never enters history, status or logs.",
    )


def _rules() -> list[pydantic.JsonValue]:
    """Give the CEL rules of a spec. CEL sees no field without a type; `dyn` takes it as it is."""
    first: pydantic.JsonValue = {
        "rule": "!(has(dyn(self).payload) && has(self.payloadFrom))",
        "message": "give payload or payloadFrom, not both",
        "fieldPath": ".payloadFrom",
    }
    others: list[pydantic.JsonValue] = [
        {
            "rule": base.is_unchanged(field),
            "message": f"{field} cannot be changed, added or removed: a signal is sent once, as it is. "
            "Create another OrchestrationSignal instead.",
            "fieldPath": f".{field}",
        }
        for field in FIELDS
    ]
    return [first, *others]


class OrchestrationSignalSpec(base.Model):
    """What to tell whom."""

    model_config = pydantic.ConfigDict(json_schema_extra={"x-kubernetes-validations": _rules()})

    orchestration_ref: OrchestrationRef = Field(
        description="Whom the signal is for: the run that this Orchestration has at the moment of delivery. Until "
        "there is one, the signal waits. Once delivered to a run it is never delivered to another."
    )
    signal: Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARACTERS, pattern=_SIGNAL_PATTERN)] = Field(
        description="Name of the signal, as the code waits for it by ctx.schedule_wait. A signal that comes before its "
        "wait is kept until then."
    )
    payload: pydantic.JsonValue = Field(
        default=None,
        json_schema_extra=base.ANY_JSON,
        description="What the code gets: any JSON value; null when nothing is given. Never put secrets here: use "
        "payloadFrom.",
    )
    payload_from: PayloadSource | None = Field(
        default=None, description="Take the payload from a ConfigMap or a Secret of this namespace."
    )
    ttl_seconds_after_delivered: Annotated[int, Field(ge=0, le=_YEAR_SECONDS)] | None = Field(
        default=None,
        description="Delete this resource so long after the signal was delivered. Leave it out where a tool keeps "
        "resources as they are in Git: it would create the signal again, which is another signal, and is sent.",
    )


class OrchestrationSignalStatus(base.Model):
    """What became of the signal."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={"default": base.unseen_status(phase="Pending")},
    )

    observed_generation: int | None = Field(
        default=None, description="The generation of the resource that this status speaks of; -1 before any."
    )
    phase: Phase | None = Field(default=None, description="Pending, Delivered or Failed; the last two are final.")
    conditions: list[condition.Condition] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description="Ready: the signal is delivered. Reconciling: it waits for something that may come by itself. "
        "Stalled: it was not delivered and will not be, or somebody has to give a right first.",
    )
    delivered_at: datetime | None = Field(
        default=None, description="When the database took it in for the run. The code sees it when it waits for it."
    )
    instance_id: str | None = Field(default=None, description="Id of the run that has it.")
    message: str | None = Field(default=None, description="What became of the signal, or what it waits for.")


class OrchestrationSignal(base.Model):
    """One message to a run, sent exactly once.

    It goes to the run that the named Orchestration has when the operator sees it, waits while there is none, and is
    never sent again: not after a restart of the operator, and not to a later run.
    """

    spec: OrchestrationSignalSpec
    status: OrchestrationSignalStatus | None = None

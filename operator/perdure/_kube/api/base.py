"""What all resource models share: names in camelCase outside, snake_case inside.

Nothing here knows a particular resource.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from uuid import UUID

import pydantic
from pydantic.alias_generators import to_camel

__all__ = [
    "ANY_JSON",
    "API_VERSION",
    "GROUP",
    "VERSION",
    "Model",
    "Reference",
    "is_unchanged",
    "timestamp",
    "unseen_status",
]

GROUP = "perdure.dev"
"""The API group of every resource of ours."""

VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
"""The version that every resource of ours has, alone and with the group."""

ANY_JSON: dict[str, pydantic.JsonValue] = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
"""Schema of a field that takes any JSON value, null included."""


class Model(pydantic.BaseModel):
    """A part of a resource. Unknown fields are ignored: the API server prunes them, and a newer CRD may have more."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, use_attribute_docstrings=False
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """Which resource of ours is meant: the one of this uid, and no other of its name."""

    kind: str
    namespace: str
    name: str
    uid: UUID


def timestamp(moment: datetime) -> str:
    """Write a moment as resources do: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unseen_status(**more: pydantic.JsonValue) -> dict[str, pydantic.JsonValue]:
    """Give the default of `status` as a whole, put in on every read of a resource that nobody has looked at yet.

    Without it Helm, Flux and kubectl wait would take a fresh resource for a finished one (kstatus).
    """
    ready: dict[str, pydantic.JsonValue] = {
        "type": "Ready",
        "status": "Unknown",
        "reason": "Pending",
        "message": "No operator has looked at this resource yet.",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }
    return {"observedGeneration": -1, **more, "conditions": [ready]}


def is_unchanged(field: str) -> str:
    """Give the CEL expression that a field of a spec is neither changed, added nor removed.

    CEL sees no field without a type; `dyn` takes it as it is, and compares it deeply.
    """
    new, old = f"dyn(self).{field}", f"dyn(oldSelf).{field}"
    return f"has({new}) == has({old}) && (!has({new}) || {new} == {old})"

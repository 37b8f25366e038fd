"""What travels between a workflow and the offered activities: inputs and outputs, as they stand in history.

On the wire the fields are camelCase, as everywhere in Kubernetes; Python code uses the Python names, and both are
accepted. A type here is part of recorded history: fields may be added with a default, never renamed or removed. No
field ever holds a secret: secrets travel as the name of a Secret.

A module for each domain; all of them are imported from here.
"""

from __future__ import annotations

from activities.types.base import LONGEST_WAIT_SECONDS, KubernetesManifest, Model
from activities.types.inventory import (
    EventInput,
    EventOutput,
    HealthRecordInput,
    HealthSummary,
    InventoryEntry,
    InventoryEvent,
    InventoryHealth,
    InventoryListInput,
    InventoryListOutput,
    InventoryName,
    NameInput,
    ReleaseInput,
    ReleaseOutput,
    ReserveInput,
    ReserveOutput,
    ServerState,
    SetStateInput,
    StateOutput,
)
from activities.types.kubernetes import (
    AppliedObject,
    ApplyInput,
    ApplyOutput,
    DeleteOutput,
    GetOutput,
    ObjectRef,
    WaitInput,
    WaitOutput,
)
from activities.types.postgres import (
    DeployPostgresInput,
    DeployPostgresOutput,
    VerifyConnectionInput,
    VerifyConnectionOutput,
    WaitForPostgresInput,
)

__all__ = [
    "LONGEST_WAIT_SECONDS",
    "AppliedObject",
    "ApplyInput",
    "ApplyOutput",
    "DeleteOutput",
    "DeployPostgresInput",
    "DeployPostgresOutput",
    "EventInput",
    "EventOutput",
    "GetOutput",
    "HealthRecordInput",
    "HealthSummary",
    "InventoryEntry",
    "InventoryEvent",
    "InventoryHealth",
    "InventoryListInput",
    "InventoryListOutput",
    "InventoryName",
    "KubernetesManifest",
    "Model",
    "NameInput",
    "ObjectRef",
    "ReleaseInput",
    "ReleaseOutput",
    "ReserveInput",
    "ReserveOutput",
    "ServerState",
    "SetStateInput",
    "StateOutput",
    "VerifyConnectionInput",
    "VerifyConnectionOutput",
    "WaitForPostgresInput",
    "WaitInput",
    "WaitOutput",
]

"""What travels between a workflow and the offered activities: inputs and outputs, as they stand in history.

On the wire the fields are camelCase, as everywhere in Kubernetes; Python code uses the Python names, and both are
accepted. A type here is part of recorded history: fields may be added with a default, never renamed or removed. No
field ever holds a secret: secrets travel as the name of a Secret.

A module for each domain; all of them are imported from here.
"""

from __future__ import annotations

from activities.types.base import (
    LONGEST_WAIT_SECONDS,
    KubernetesManifest,
    Model,
)
from activities.types.kubernetes import (
    AppliedObject,
    ApplyInput,
    ApplyOutput,
    ConditionInput,
    DeleteInput,
    DeleteManyInput,
    DeleteManyOutput,
    DeleteOutput,
    GetOutput,
    ListInput,
    ListOutput,
    ObjectRef,
    PatchInput,
    PatchOutput,
    WaitInput,
    WaitOutput,
)
from activities.types.migration import (
    Chunk,
    CopyChunkInput,
    CopyChunkOutput,
    MigratedTable,
    PlanMigrationInput,
    PlanMigrationOutput,
    PostgresDatabase,
    TableCounts,
    VerifyMigrationInput,
)
from activities.types.postgres import (
    DeployPostgresInput,
    DeployPostgresOutput,
    VerifyConnectionInput,
    VerifyConnectionOutput,
    WaitForPostgresInput,
)
from activities.types.tenancy import (
    NamespaceInput,
    NamespaceOutput,
    SecretInput,
    SecretOutput,
    TenantName,
    TenantSubject,
    WriteSecretInput,
)
from activities.types.workloads import (
    RestartInput,
    RollOutInput,
    RunJobInput,
    RunJobOutput,
    ScaleInput,
    ScaleOutput,
)

__all__ = [
    "LONGEST_WAIT_SECONDS",
    "AppliedObject",
    "ApplyInput",
    "ApplyOutput",
    "Chunk",
    "ConditionInput",
    "CopyChunkInput",
    "CopyChunkOutput",
    "DeleteInput",
    "DeleteManyInput",
    "DeleteManyOutput",
    "DeleteOutput",
    "DeployPostgresInput",
    "DeployPostgresOutput",
    "GetOutput",
    "KubernetesManifest",
    "ListInput",
    "ListOutput",
    "MigratedTable",
    "Model",
    "NamespaceInput",
    "NamespaceOutput",
    "ObjectRef",
    "PatchInput",
    "PatchOutput",
    "PlanMigrationInput",
    "PlanMigrationOutput",
    "PostgresDatabase",
    "RestartInput",
    "RollOutInput",
    "RunJobInput",
    "RunJobOutput",
    "ScaleInput",
    "ScaleOutput",
    "SecretInput",
    "SecretOutput",
    "TableCounts",
    "TenantName",
    "TenantSubject",
    "VerifyConnectionInput",
    "VerifyConnectionOutput",
    "VerifyMigrationInput",
    "WaitForPostgresInput",
    "WaitInput",
    "WaitOutput",
    "WriteSecretInput",
]

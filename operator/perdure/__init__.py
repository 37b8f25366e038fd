"""Perdure: durable workflows as plain async Python. This module is the authoring API and nothing else."""

from perdure._core.activity import (
    ActivityContext,
    ActivityInfo,
    Database,
    KubernetesApi,
    Manifest,
    Preconditions,
    Propagation,
    Transaction,
)
from perdure._core.context import OrchestrationContext
from perdure._core.definition import (
    ActivityDefinition,
    ActivityRegistry,
    OrchestrationDefinition,
    OrchestrationRegistry,
    activity,
    orchestration,
)
from perdure._core.futures import DurableFuture
from perdure._core.payload import JsonValue
from perdure._core.retry import Exponential, Fixed, Linear, RetryPolicy
from perdure._core.secret import SecretRef
from perdure.errors import (
    ActivityError,
    ActivityTimeoutError,
    ChildOrchestrationError,
    NonRetryableError,
    OrchestrationCancelled,
    PerdureError,
)

__all__ = [
    "ActivityContext",
    "ActivityDefinition",
    "ActivityError",
    "ActivityInfo",
    "ActivityRegistry",
    "ActivityTimeoutError",
    "ChildOrchestrationError",
    "Database",
    "DurableFuture",
    "Exponential",
    "Fixed",
    "JsonValue",
    "KubernetesApi",
    "Linear",
    "Manifest",
    "NonRetryableError",
    "OrchestrationCancelled",
    "OrchestrationContext",
    "OrchestrationDefinition",
    "OrchestrationRegistry",
    "PerdureError",
    "Preconditions",
    "Propagation",
    "RetryPolicy",
    "SecretRef",
    "Transaction",
    "activity",
    "orchestration",
]

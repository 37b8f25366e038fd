"""The one error tree.

Every error a user or an operator of Perdure can meet derives from `PerdureError`, has a stable `code` and says what
happened, what was expected, what was found and what to do. The class docstring is the default message. This package
imports nothing else of Perdure: every room may raise from it.

Users know two words: *retryable* and *non-retryable*. Whose fault it is, is the type.

Code ranges: 10xx authoring and registration, 11xx payloads and limits, 12xx runs and replay, 13xx activities,
14xx store and database, 15xx Kubernetes and identity, 16xx settings and process, 17xx test cluster and tools,
18xx secrets and encryption; `docs/errors.md` has them all, with what to do. Every name of the modules below is offered
here.
"""

from __future__ import annotations

from perdure.errors.activities import (
    ActivityError,
    ActivityPoisonError,
    ActivityTimeoutError,
    CredentialsError,
    NonRetryableError,
    ObjectFailedError,
    ObjectNotOwnedError,
    ObjectNotReadyError,
    ObjectTerminatingError,
    PostgresUnreachableError,
    UnknownActivityError,
)
from perdure.errors.base import (
    PerdureError,
)
from perdure.errors.kubernetes import (
    KubernetesApiError,
    KubernetesCall,
    KubernetesConfigError,
    KubernetesConflictError,
    KubernetesForbiddenError,
    KubernetesKindUnknownError,
    KubernetesPatchTestError,
    KubernetesUnavailableError,
    ManifestError,
    NoIdentityError,
    ServiceAccountMissingError,
)
from perdure.errors.management import (
    HistoryUnreadableError,
    InstanceFinishedError,
    InstanceNotRemovableError,
    InstanceTerminatedError,
    SignalsFullError,
)
from perdure.errors.process import (
    CommandError,
    DatabaseRefusedError,
    ModuleLoadError,
    SettingsError,
)
from perdure.errors.runs import (
    CancelGraceEndedError,
    ChildOrchestrationError,
    DefinitionError,
    ForeignAwaitError,
    HistoryMissingError,
    InputInvalidError,
    InstanceCancelledError,
    InstanceConflictError,
    InstanceNotFoundError,
    InstancePoisonError,
    MessageUnreadableError,
    NondeterminismError,
    OrchestrationCancelled,
    OrchestrationContinued,
    OrchestrationEvicted,
    OrchestrationFailedError,
    PayloadError,
    PayloadTooLargeError,
)
from perdure.errors.secrecy import (
    EncryptionKeyError,
    EncryptionKeyMissingError,
    PayloadDamagedError,
    PayloadSealedError,
    SecretLeakError,
    SecretMissingError,
    SecretNotTextError,
    SecretsUnavailableError,
)
from perdure.errors.store import (
    DatabaseUnavailableError,
    DataFolderInUseError,
    EmbeddedInPodError,
    EmbeddedPostgresError,
    MigrationChangedError,
    MigrationFailedError,
    MigrationFilesError,
    PostgresNotFoundError,
    SchemaNewerError,
    SchemaOlderError,
)
from perdure.errors.testing import SimulationError

__all__ = [
    "ActivityError",
    "ActivityPoisonError",
    "ActivityTimeoutError",
    "CancelGraceEndedError",
    "ChildOrchestrationError",
    "CommandError",
    "CredentialsError",
    "DataFolderInUseError",
    "DatabaseRefusedError",
    "DatabaseUnavailableError",
    "DefinitionError",
    "EmbeddedInPodError",
    "EmbeddedPostgresError",
    "EncryptionKeyError",
    "EncryptionKeyMissingError",
    "ForeignAwaitError",
    "HistoryMissingError",
    "HistoryUnreadableError",
    "InputInvalidError",
    "InstanceCancelledError",
    "InstanceConflictError",
    "InstanceFinishedError",
    "InstanceNotFoundError",
    "InstanceNotRemovableError",
    "InstancePoisonError",
    "InstanceTerminatedError",
    "KubernetesApiError",
    "KubernetesCall",
    "KubernetesConfigError",
    "KubernetesConflictError",
    "KubernetesForbiddenError",
    "KubernetesKindUnknownError",
    "KubernetesPatchTestError",
    "KubernetesUnavailableError",
    "ManifestError",
    "MessageUnreadableError",
    "MigrationChangedError",
    "MigrationFailedError",
    "MigrationFilesError",
    "ModuleLoadError",
    "NoIdentityError",
    "NonRetryableError",
    "NondeterminismError",
    "ObjectFailedError",
    "ObjectNotOwnedError",
    "ObjectNotReadyError",
    "ObjectTerminatingError",
    "OrchestrationCancelled",
    "OrchestrationContinued",
    "OrchestrationEvicted",
    "OrchestrationFailedError",
    "PayloadDamagedError",
    "PayloadError",
    "PayloadSealedError",
    "PayloadTooLargeError",
    "PerdureError",
    "PostgresNotFoundError",
    "PostgresUnreachableError",
    "SchemaNewerError",
    "SchemaOlderError",
    "SecretLeakError",
    "SecretMissingError",
    "SecretNotTextError",
    "SecretsUnavailableError",
    "ServiceAccountMissingError",
    "SettingsError",
    "SignalsFullError",
    "SimulationError",
    "UnknownActivityError",
]

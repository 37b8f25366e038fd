"""What travels between a workflow and the activities around Secrets and namespaces. Never a value of a Secret."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

import pydantic

from activities.types.base import Model
from activities.types.kubernetes import AppliedObject
from perdure import SecretRef

__all__ = [
    "NamespaceInput",
    "NamespaceOutput",
    "SecretInput",
    "SecretOutput",
    "TenantName",
    "TenantSubject",
    "WriteSecretInput",
]

_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_SUBJECT = re.compile(r"(User|Group):[^\n]+|ServiceAccount:[a-z0-9-]+/[a-z0-9.-]+")


class SecretInput(Model):
    """Which Secret to look at; without a namespace it is in the run's own."""

    name: str
    namespace: str | None = None


class SecretOutput(Model):
    """What may be known of a Secret: the names of its keys, which life of it this is, and in which version."""

    keys: list[str]
    uid: str
    resource_version: str


class WriteSecretInput(Model):
    """A Secret to make: values that are copied from other Secrets, and values that are drawn, by key.

    `generate` gives the length of each drawn value, in characters that need no quoting anywhere.
    """

    name: str
    namespace: str | None = None
    type: str = "Opaque"
    from_: dict[str, SecretRef] = pydantic.Field(default_factory=dict, alias="from")
    generate: dict[str, Annotated[int, pydantic.Field(ge=8, le=1_024)]] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _says_where_each_value_comes_from(self) -> Self:
        if not (self.from_ or self.generate):
            message = "expected at least one key in from or generate"
            raise ValueError(message)
        if both := sorted(self.from_.keys() & self.generate.keys()):
            message = f"a key is copied or generated, not both: {', '.join(both)}"
            raise ValueError(message)
        return self


def _check_subject(subject: str) -> str:
    if _SUBJECT.fullmatch(subject) is None:
        message = f"expected User:NAME, Group:NAME or ServiceAccount:NAMESPACE/NAME, got {subject!r}"
        raise ValueError(message)
    return subject


TenantName = Annotated[str, pydantic.StringConstraints(pattern=_DNS_LABEL)]
"""The name of a namespace: a DNS label (RFC 1123)."""

TenantSubject = Annotated[str, pydantic.AfterValidator(_check_subject)]
"""Who may be let into a namespace: `User:NAME`, `Group:NAME` or `ServiceAccount:NAMESPACE/NAME`."""


class NamespaceInput(Model):
    """A namespace, and what comes with it.

    `quota` bounds the whole namespace (`requests.cpu: "4"`, `pods: "20"`), `limits` and `requests` are what a container
    gets that names none; `admins` are bound to the ClusterRole `role`. It is this run's own, unless it belongs to an
    `owner` that outlives the run: a resource, `namespace/name`.
    """

    name: TenantName
    labels: dict[str, str] = pydantic.Field(default_factory=dict)
    quota: dict[str, str] = pydantic.Field(default_factory=dict)
    limits: dict[str, str] = pydantic.Field(default_factory=dict)
    requests: dict[str, str] = pydantic.Field(default_factory=dict)
    admins: list[TenantSubject] = pydantic.Field(default_factory=list)
    role: str = "admin"
    pod_security: Literal["privileged", "baseline", "restricted"] = "restricted"
    owner: str = ""


class NamespaceOutput(Model):
    """The namespace, and all that was applied, itself among it."""

    name: str
    uid: str
    objects: list[AppliedObject]

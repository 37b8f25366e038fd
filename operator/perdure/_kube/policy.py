"""Who may run what: the rules of an installation about resources, decided before their runs start.

An operator that everybody may write resources to is a way to run whatever its workers offer. Two settings narrow that:
which orchestrations a namespace may run, and whether a run may act as the namespace's default ServiceAccount. Pure: a
request in, a refusal out. What a run may do in the cluster is not decided here but by RBAC, for its ServiceAccount.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence

from perdure._kube.api.refusals import Refusal

__all__ = ["Policy"]

_EVERYWHERE = "*"
_SHOWN = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """The rules. `allowed` is patterns of names by namespace, those of `*` for every namespace; empty allows all."""

    allowed: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    requires_account: bool = False

    def refusal_or_none(self, namespace: str, orchestration: str, *, account: str | None) -> Refusal | None:
        """Say why a namespace may not run this; `account` is the ServiceAccount that the spec names."""
        patterns = [*self.allowed.get(namespace, ()), *self.allowed.get(_EVERYWHERE, ())]
        if self.allowed and not any(fnmatch.fnmatchcase(orchestration, pattern) for pattern in patterns):
            return Refusal("OrchestrationNotAllowed", _not_allowed(namespace, orchestration, patterns))
        if self.requires_account and account is None:
            return Refusal("ServiceAccountRequired", _NO_ACCOUNT)
        return None


_NO_ACCOUNT = (
    "This operator runs nothing as the default ServiceAccount of a namespace. Name the one that the run shall act as "
    "in spec.serviceAccountName (PERDURE_DEFAULT_SERVICE_ACCOUNT=deny asks for that)."
)


def _not_allowed(namespace: str, orchestration: str, patterns: Sequence[str]) -> str:
    more = len(patterns) - _SHOWN
    known = ", ".join(patterns[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return (
        f"Namespace {namespace} may not run {orchestration}. Allowed there: {known or 'nothing'}. Name another one, or "
        "ask whoever runs the operator to add it to PERDURE_ALLOWED_ORCHESTRATIONS."
    )

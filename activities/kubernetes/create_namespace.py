"""Make a namespace that somebody may be let into: with a security level, a quota, defaults, and those who run it.

Everything is applied as the run's own, in order, so that a half-made namespace is completed by the next attempt. The
run's ServiceAccount may give no more rights than it has itself, unless it may `bind` the role: that is the API server's
rule, and its error says so.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import ownership
from activities.kubernetes.apply import apply_own
from activities.types import NamespaceInput, NamespaceOutput
from perdure import ActivityContext, JsonValue, Manifest, activity

__all__ = ["create_namespace", "manifests"]

SECURITY_LABEL = "pod-security.kubernetes.io/enforce"
"""https://kubernetes.io/docs/concepts/security/pod-security-admission/"""


@activity(names.KUBERNETES_CREATE_NAMESPACE)
async def create_namespace(ctx: ActivityContext, input: NamespaceInput) -> NamespaceOutput:
    """Make or complete the namespace.

    Raises `ObjectNotOwnedError` when it is there and not this run's, and what `apply` raises.
    """
    objects = [ownership.reference(made) for made in await apply_own(ctx, manifests(input))]
    return NamespaceOutput(name=input.name, uid=objects[0].uid, objects=objects)


def manifests(input: NamespaceInput) -> list[Manifest]:
    """Give the objects: the namespace, and as far as they are asked for a quota, defaults, and a binding."""
    labels: Manifest = {**input.labels, SECURITY_LABEL: input.pod_security}
    made: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": input.name, "labels": labels}}
    ]
    if input.quota:
        made.append(_object("v1", "ResourceQuota", "quota", input, spec={"hard": dict(input.quota)}))
    if input.limits or input.requests:
        container: Manifest = {"type": "Container"}
        if input.limits:
            container["default"] = dict(input.limits)
        if input.requests:
            container["defaultRequest"] = dict(input.requests)
        made.append(_object("v1", "LimitRange", "defaults", input, spec={"limits": [container]}))
    if input.admins:
        role: Manifest = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": input.role}
        subjects: list[JsonValue] = [_subject(admin) for admin in input.admins]
        made.append(_object(f"{_RBAC}/v1", "RoleBinding", "admins", input, roleRef=role, subjects=subjects))
    return made


_RBAC = "rbac.authorization.k8s.io"


def _object(api_version: str, kind: str, name: str, input: NamespaceInput, **content: JsonValue) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": input.name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def _subject(admin: str) -> Manifest:
    kind, _, name = admin.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition("/")
        return {"kind": kind, "namespace": namespace, "name": name}
    return {"apiGroup": _RBAC, "kind": kind, "name": name}

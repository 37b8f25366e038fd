"""Make a namespace that somebody may be let into: with a security level, a quota, defaults, and those who run it.

Everything is applied as the run's own, or its owner's, in order, so that a half-made namespace is completed by the next
attempt. What was asked for once and is no longer is taken away: above all the rights of former administrators. The
run's ServiceAccount may give no more rights than it has itself, unless it may `bind` the role: that is the API server's
rule, and its error says so.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import ownership
from activities.kubernetes.apply import apply_own
from activities.kubernetes.delete import delete_one
from activities.types import DeleteInput, NamespaceInput, NamespaceOutput
from perdure import ActivityContext, JsonValue, Manifest, activity

__all__ = ["create_namespace", "manifests"]

SECURITY_LABEL = "pod-security.kubernetes.io/enforce"
"""https://kubernetes.io/docs/concepts/security/pod-security-admission/"""


@activity(names.KUBERNETES_CREATE_NAMESPACE)
async def create_namespace(ctx: ActivityContext, input: NamespaceInput) -> NamespaceOutput:
    """Make or complete the namespace.

    Raises `ObjectNotOwnedError` when it is there and another's, and what `apply` raises.
    """
    ctx = ownership.acting_for(ctx, input.owner)
    wanted = manifests(input)
    objects = [ownership.reference(made) for made in await apply_own(ctx, wanted)]
    kinds = {manifest["kind"] for manifest in wanted}
    for api_version, kind, name in (_QUOTA, _DEFAULTS, _ADMINS):
        if kind not in kinds:
            await _take_away(ctx, DeleteInput(api_version=api_version, kind=kind, name=name, namespace=input.name))
    return NamespaceOutput(name=input.name, uid=objects[0].uid, objects=objects)


def manifests(input: NamespaceInput) -> list[Manifest]:
    """Give the objects: the namespace, and as far as they are asked for a quota, defaults, and a binding."""
    labels: Manifest = {**input.labels, SECURITY_LABEL: input.pod_security}
    made: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": input.name, "labels": labels}}
    ]
    if input.quota:
        made.append(_object(_QUOTA, input, spec={"hard": dict(input.quota)}))
    if input.limits or input.requests:
        container: Manifest = {"type": "Container"}
        if input.limits:
            container["default"] = dict(input.limits)
        if input.requests:
            container["defaultRequest"] = dict(input.requests)
        made.append(_object(_DEFAULTS, input, spec={"limits": [container]}))
    if input.admins:
        role: Manifest = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": input.role}
        subjects: list[JsonValue] = [_subject(admin) for admin in input.admins]
        made.append(_object(_ADMINS, input, roleRef=role, subjects=subjects))
    return made


_RBAC = "rbac.authorization.k8s.io"
_QUOTA = ("v1", "ResourceQuota", "quota")
_DEFAULTS = ("v1", "LimitRange", "defaults")
_ADMINS = (f"{_RBAC}/v1", "RoleBinding", "admins")


async def _take_away(ctx: ActivityContext, target: DeleteInput) -> None:
    """Delete what an earlier input has asked for; an object of that name that is another's stays."""
    there = await ctx.kubernetes.get(target.api_version, target.kind, target.name, namespace=target.namespace)
    if there is not None and ownership.is_own(there, ctx.instance_id):
        await delete_one(ctx, target)


def _object(what: tuple[str, str, str], input: NamespaceInput, **content: JsonValue) -> Manifest:
    api_version, kind, name = what
    metadata: Manifest = {"name": name, "namespace": input.name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def _subject(admin: str) -> Manifest:
    kind, _, name = admin.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition("/")
        return {"kind": kind, "namespace": namespace, "name": name}
    return {"apiGroup": _RBAC, "kind": kind, "name": name}

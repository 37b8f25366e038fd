"""Whose an object is: the label that says so, and the rule that nobody takes what is another's.

Every object that a run makes carries the label `perdure.dev/instance`, a label-safe form of the run's instance id, and
an annotation with the id itself, for people. An object of that name that is not this run's is refused, as Helm does:
two runs that were given the same name by mistake must not share a database. Pure: facts in, a manifest or an error out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re

from activities.kubernetes import fields
from activities.types import AppliedObject
from perdure import ActivityContext, Manifest, errors

__all__ = ["acting_for", "bound", "describe", "instance_label", "is_own", "labelled", "reference", "require_own"]

FIELD_MANAGER = "perdure"
"""The one name under which all runs write; which run it was is said by the label."""

LABEL = "perdure.dev/instance"
ANNOTATION = "perdure.dev/instance-id"

_LABEL_CHARACTERS = 63
"""https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set"""
_HASH_CHARACTERS = 16
"""64 bits: among a million instances the chance of any collision is below one in ten million."""


def instance_label(instance_id: str) -> str:
    """Give a label value for an instance id: readable at its front, unique by a hash at its end.

    At most 63 letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit; the same for ever.
    """
    digest = hashlib.sha256(instance_id.encode()).hexdigest()[:_HASH_CHARACTERS]
    readable = re.sub(r"[^A-Za-z0-9._-]+", ".", instance_id)[: _LABEL_CHARACTERS - _HASH_CHARACTERS - 1]
    readable = readable.strip("._-")
    return f"{readable}-{digest}" if readable else digest


def acting_for(ctx: ActivityContext, owner: str) -> ActivityContext:
    """Give the context in which the owner's objects are one's own; without an owner those of the run.

    What is to outlive the run that made it has an owner who does: a server is made by one run, looked after by another
    and removed by a third. In which attempt something was written is told by the epoch, which rises over all runs. Only
    for objects: an idempotency key is that of the run, and stays with the context that was given.
    """
    if not owner or owner == ctx.instance_id:
        return ctx
    return dataclasses.replace(ctx, info=dataclasses.replace(ctx.info, instance_id=owner))


def labelled(manifest: Manifest, instance_id: str) -> Manifest:
    """Give the manifest with the label and annotation of its owner."""
    metadata = fields.mapping(manifest, "metadata")
    labels = {**fields.mapping(metadata, "labels"), LABEL: instance_label(instance_id)}
    annotations = {**fields.mapping(metadata, "annotations"), ANNOTATION: instance_id}
    return {**manifest, "metadata": {**metadata, "labels": labels, "annotations": annotations}}


def is_own(existing: Manifest, instance_id: str) -> bool:
    """Say whether this run made the object."""
    return fields.text(existing, "metadata", "labels", LABEL) == instance_label(instance_id)


def require_own(existing: Manifest, instance_id: str) -> None:
    """Raise `ObjectNotOwnedError` when the object is not this run's."""
    if is_own(existing, instance_id):
        return
    label = fields.text(existing, "metadata", "labels", LABEL)
    owner = fields.text(existing, "metadata", "annotations", ANNOTATION) or label
    raise errors.ObjectNotOwnedError(describe(existing), owner, instance_id)


def bound(manifest: Manifest, existing: Manifest | None) -> Manifest:
    """Give the manifest bound to the object as it was looked at, so that no other can be hit.

    The uid binds it to this life of the object: one deleted and made again by somebody meanwhile is a conflict. The
    resource version binds it to what was seen of it: whoever has changed it since is not overruled.
    """
    if existing is None:
        return manifest
    seen = {key: fields.text(existing, "metadata", key) for key in ("uid", "resourceVersion")}
    return {**manifest, "metadata": {**fields.mapping(manifest, "metadata"), **seen}}


def reference(manifest: Manifest) -> AppliedObject:
    """Name an object as the server has it, for others to refer to."""
    return AppliedObject(
        api_version=fields.text(manifest, "apiVersion"),
        kind=fields.text(manifest, "kind"),
        name=fields.text(manifest, "metadata", "name"),
        namespace=fields.text(manifest, "metadata", "namespace") or None,
        uid=fields.text(manifest, "metadata", "uid"),
    )


def describe(manifest: Manifest) -> str:
    """Name an object for people: kind, name and, when it has one, namespace."""
    namespace = fields.text(manifest, "metadata", "namespace")
    place = f" in namespace {namespace}" if namespace else ""
    return f"{fields.text(manifest, 'kind')} {fields.text(manifest, 'metadata', 'name')}{place}"

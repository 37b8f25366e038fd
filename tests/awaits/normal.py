"""What two runs of one story have in common: names without what is drawn, counted or dated anew in each run. Pure."""

from __future__ import annotations

import re
from typing import Any

from activities.kubernetes import ownership

__all__ = ["manifest", "name", "text", "value"]

_DRAWN = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UID"),
    (re.compile(r"-(backup|restore)-[0-9a-f]{10}\b"), r"-\1-KEY"),
    (re.compile(r"\b\d{8}T\d{6}Z"), "TIME"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)"), "TIME"),
)
_OF_THE_SERVER = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "ownerReferences"}
)
_ANNOTATIONS = frozenset({"perdure.dev/epoch", "deployment.kubernetes.io/revision"})
_OF_CONTROLLERS = frozenset({"clusterIP", "clusterIPs", "volumeName", "nodeName"})
_BY_CONTROLLERS = frozenset({"Pod", "ReplicaSet"})
_COUNTED_OTHERWISE = frozenset({"Deployment"})
"""The API server counts changed annotations as well, and so each attempt that looks after one."""


def text(given: str, namespace: str) -> str:
    """Give a text that is the same in every run."""
    given = given.replace(namespace, "NAMESPACE")
    for drawn, word in _DRAWN:
        given = drawn.sub(word, given)
    return given


def value(given: Any, namespace: str) -> Any:
    """Give a JSON value whose texts, keys too, are the same in every run."""
    match given:
        case str():
            return text(given, namespace)
        case list():
            return [value(each, namespace) for each in given]
        case dict():
            return {text(key, namespace): value(each, namespace) for key, each in given.items()}
        case _:
            return given


def name(found: dict[str, Any]) -> str:
    """Give the name of an object, without the end that the API server has drawn for it."""
    drawn_from = found["metadata"].get("generateName")
    return f"{found['kind']} {f'{drawn_from}*' if drawn_from else found['metadata']['name']}"


def manifest(found: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Give what of an object is the same in every run: whose it is, its spec, and how often that was written.

    Of what controllers make of others it is their being there alone; of a Secret not the values.
    """
    metadata = dict(found["metadata"])
    annotations = {key: each for key, each in metadata.get("annotations", {}).items() if key not in _ANNOTATIONS}
    labels = dict(metadata.get("labels", {}))
    owner = annotations.get(ownership.ANNOTATION)
    if owner is not None and labels.get(ownership.LABEL) == ownership.instance_label(owner):
        labels[ownership.LABEL] = f"that of {owner}"
    kept = {key: each for key, each in metadata.items() if key not in _OF_THE_SERVER}
    kept |= {"labels": labels, "annotations": annotations, "name": name(found)}
    if found["kind"] in _COUNTED_OTHERWISE:
        kept.pop("generation", None)
    if found["kind"] in _BY_CONTROLLERS:
        return dict(value({"labels": labels}, namespace))
    content = {key: each for key, each in found.items() if key not in {"metadata", "status"}}
    if found["kind"] == "Secret":
        content["data"] = sorted(content.get("data", {}))
    if isinstance(content.get("spec"), dict):
        content["spec"] = {key: each for key, each in content["spec"].items() if key not in _OF_CONTROLLERS}
    return dict(value({**content, "metadata": kept}, namespace))

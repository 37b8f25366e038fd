"""JSON schemas for kubeconform from what is at hand: what the API server says of itself, and resource definitions.

A schema is closed where its source lists the fields and does not say that there may be others: that is what makes
`kubeconform -strict` find a field that nobody reads. Each kind is a file with all that it refers to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["LOCATION", "write"]

Schema = dict[str, Any]

LOCATION = "{{.Group}}-{{.ResourceAPIVersion}}-{{.ResourceKind}}.json"
"""The name of a file, as kubeconform's `-schema-location` writes it."""

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_AS_WRITTEN: Mapping[str, Schema] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
}
"""Types that the server describes as the text it makes of them."""


def write(folder: Path, openapi: Mapping[str, Any], crds: Iterable[Mapping[str, Any]]) -> None:
    """Write the schemas of every kind of an OpenAPI document (version 2) and of custom resource definitions."""
    definitions = {**{name: _closed(rule) for name, rule in openapi["definitions"].items()}, **_AS_WRITTEN}
    for name, rule in openapi["definitions"].items():
        for kind in rule.get("x-kubernetes-group-version-kind", []):
            _write(
                folder, (kind["group"], kind["version"], kind["kind"]), _with_references(_reference(name), definitions)
            )
    for crd in crds:
        for version in crd["spec"]["versions"]:
            rule = _closed(version["schema"]["openAPIV3Schema"])
            rule["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": _reference(_METADATA)}
            kind = (crd["spec"]["group"], version["name"], crd["spec"]["names"]["kind"])
            _write(folder, kind, _with_references(rule, definitions))


def _write(folder: Path, kind: tuple[str, str, str], schema: Schema) -> None:
    group, version, name = kind
    # of the core, which has no group, kubeconform asks for the version in its place
    path = folder / f"{group or version}-{version}-{name}.json".lower()
    path.write_text(json.dumps(schema), encoding="utf-8")


def _closed(rule: Mapping[str, Any]) -> Schema:
    """Give the schema with no fields but those listed, here and below; nothing is left of what only servers read."""
    made = {key: value for key, value in rule.items() if not key.startswith("x-") and key not in {"default", "format"}}
    if "properties" in rule:
        made["properties"] = {name: _closed(below) for name, below in rule["properties"].items()}
        if not rule.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in rule:
            made["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(rule.get(key), dict):
            made[key] = _closed(rule[key])
    if rule.get("x-kubernetes-int-or-string"):
        made["type"] = ["string", "integer"]
    return made


def _reference(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _with_references(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Add the definitions that the schema refers to, and those that these refer to."""
    needed: dict[str, Schema] = {}
    unread = [schema]
    while unread:
        for name in re.findall(r'"#/definitions/([^"]+)"', json.dumps(unread.pop())):
            if name not in needed:
                needed[name] = definitions[name]
                unread.append(definitions[name])
    return {**schema, "definitions": needed}

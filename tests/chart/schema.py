"""The schema of the values, made from values.yaml itself: types by the defaults, descriptions by the comments above.

So the manual and the schema cannot part. What a default does not tell stands in the tables below, by the path of the
value: words that may be chosen from, what lists hold, and maps that are open because they are Kubernetes' own or hold
names of the user. Everything else is closed: a value that is not in values.yaml is refused. The settings of the program
come from the model that reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from perdure.settings import Settings

__all__ = ["DECIDED_BY_THE_CHART", "render", "setting_names"]

Schema = dict[str, Any]

DECIDED_BY_THE_CHART = {
    "data_folder", "database_password_command", "database_password_file", "database_url", "embedded_postgres",
    "encryption_keys", "encryption_keys_file", "http_host", "http_port", "inventory_url", "kubernetes", "lease_name",
    "lease_namespace", "leader_election", "migrate", "modules", "namespaces", "queues", "roles", "secrets_folder",
}  # fmt: skip
"""Settings of the program that other values stand for, or that make no sense in a pod of the chart."""

_NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_SCALARS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_KUBERNETES: Schema = {"type": "object"}
_NUMBERS: Schema = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
_COUNT_OR_PERCENT: Schema = {"type": ["integer", "string"], "pattern": "^([0-9]+%)?$", "minimum": 0}

_WORDS: Mapping[str, list[str]] = {
    "mode": ["single", "split"],
    "pullPolicy": ["Always", "IfNotPresent", "Never"],
    "service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
    "tls.mode": ["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
}
_MAPS: Mapping[str, Schema] = {
    "affinity": _KUBERNETES,
    "alertLabels": _TEXTS,
    "annotations": _TEXTS,
    "behavior": _KUBERNETES,
    "commonLabels": _TEXTS,
    "containerSecurityContext": _KUBERNETES,
    "labels": _TEXTS,
    "livenessProbe": _NUMBERS,
    "nodeSelector": _TEXTS,
    "parameters": _SCALARS,
    "readinessProbe": _NUMBERS,
    "resources": _KUBERNETES,
    "securityContext": _KUBERNETES,
    "startupProbe": _NUMBERS,
    "global": _KUBERNETES,
    "test.input": {},
}
_ITEMS: Mapping[str, Schema] = {
    "constrained.rules": {
        "type": "object",
        "additionalProperties": False,
        "required": ["apiGroups", "resources", "verbs"],
        "properties": {
            word: {"type": "array", "items": {"type": "string"}}
            for word in ("apiGroups", "resourceNames", "resources", "verbs")
        },
    },
    "disabled": {"type": "string"},
    "extraObjects": {"type": ["object", "string"]},
    "impersonation.namespaces": _NAME,
    "modules": {"type": "string", "pattern": r"^[A-Za-z_]\w*(\.\w+)*$"},
    "pullSecrets": {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {"name": {"type": "string"}},
    },
    "queues": {"type": "string"},
    "serviceAccountNames": {"type": "string"},
    "watchNamespaces": _NAME,
}
_SCALAR_RULES: Mapping[str, Schema] = {
    "digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "http.port": {"minimum": 1, "maximum": 65535},
    "service.port": {"minimum": 1, "maximum": 65535},
    "database.port": {"minimum": 1, "maximum": 65535},
    "replicas": {"minimum": 0},
    "minReplicas": {"minimum": 1},
    "maxReplicas": {"minimum": 1},
    "maxUnavailable": _COUNT_OR_PERCENT,
    "minAvailable": _COUNT_OR_PERCENT,
    "terminationGracePeriodSeconds": {"minimum": 0},
}
_COMPONENTS = ("single", "controller")


def render(values: str) -> Schema:
    """Give the schema for the text of values.yaml."""
    schema = _of_map(yaml.safe_load(values), _comments(values), path="")
    properties = schema["properties"]
    pod = properties["pods"]
    for name in _COMPONENTS:
        properties[name] = _over_pod(properties[name], pod)
    pools = properties["workers"]
    pool = _over_pod(pools["properties"]["default"], pod)
    pool["properties"]["image"] = properties["image"]
    pool["properties"]["autoscaling"] = pools["properties"]["default"]["properties"]["autoscaling"]
    properties["workers"] = {
        "description": pools["description"],
        "type": "object",
        "propertyNames": {"pattern": "^[a-z0-9]([-a-z0-9]{0,11}[a-z0-9])?$"},
        "additionalProperties": pool,
    }
    properties["settings"] = _settings(properties["settings"]["description"])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of the chart perdure"}
    return {**head, **schema}


def setting_names() -> dict[str, str]:
    """Give the names of the program's settings as they stand in the values, each with the field that it sets."""
    return {_camel(field): field for field in Settings.model_fields if field not in DECIDED_BY_THE_CHART}


def _of_map(values: Mapping[str, Any], comments: Mapping[str, str], *, path: str) -> Schema:
    properties: Schema = {}
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        rule = _of_value(value, comments, path=here)
        properties[key] = {"description": comments[here], **rule} if here in comments else rule
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _of_value(value: object, comments: Mapping[str, str], *, path: str) -> Schema:
    match value:
        case dict():
            rule = _rule_or_none(_MAPS, path)
            return _of_map(value, comments, path=path) if rule is None else rule
        case list():
            return {"type": "array", "items": _rule_or_none(_ITEMS, path) or _KUBERNETES}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", **(_rule_or_none(_SCALAR_RULES, path) or {})}
        case str():
            words = _rule_or_none(_WORDS, path)
            return {"enum": words} if words else {"type": "string", **(_rule_or_none(_SCALAR_RULES, path) or {})}
        case _:
            message = f"{path}: a default of the type {type(value).__name__} tells no schema"
            raise TypeError(message)


def _rule_or_none(table: Mapping[str, Any], path: str) -> Any:
    """Find the rule for a value: by its whole path, by the end of it, or not at all."""
    parts = path.split(".")
    names = (".".join(parts[index:]) for index in range(len(parts)))
    return next((table[name] for name in names if name in table), None)


def _over_pod(own: Schema, pod: Schema) -> Schema:
    """Give the schema of a component: what it has of its own, and all that `pods` says for every one."""
    return {**own, "properties": {**own["properties"], **pod["properties"]}}


def _settings(description: str) -> Schema:
    """Give the schema of `settings` by the model of the program."""
    model = Settings.model_json_schema()["properties"]
    properties = {}
    for name, field in setting_names().items():
        properties[name] = {key: rule for key, rule in sorted(model[field].items()) if key not in {"default", "title"}}
    return {"description": description, "type": "object", "additionalProperties": False, "properties": properties}


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(map(str.capitalize, rest))


def _comments(values: str) -> dict[str, str]:
    """Find the comment right above each value, by the path of the value."""
    lines = values.splitlines()
    return {path: found for path, line in _places(yaml.compose(values), "") if (found := _above(lines, line))}


def _places(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int]]:
    """Yield the path of each value with the line of its key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = f"{path}.{key.value}" if path else str(key.value)
            yield here, key.start_mark.line
            yield from _places(value, here)


def _above(lines: list[str], line: int) -> str:
    begin = line
    while begin > 0 and re.match(r"\s*# (?!---)\S", lines[begin - 1]):
        begin -= 1
    return " ".join(text.strip().removeprefix("#").strip() for text in lines[begin:line])

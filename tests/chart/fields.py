"""The page of all fields of the resources, made from the definitions: what `kubectl explain` says, in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

__all__ = ["render"]

_HEAD = """# Every field of the resources

Made from [`crds/`](../crds) by `make chart`; `kubectl explain orchestration.spec` says the same. By theme:
[policies of an Orchestration](resources.md), [its status](status.md), [signals](signal-resource.md),
[schedules](schedules.md). A field in bold has to be given; of a list, `[]` stands for each item. All of `status` is
written by the operator.
"""
_TABLE = "| field | type | default | is for |\n|---|---|---|---|\n"


def render(definitions: Sequence[str]) -> str:
    """Give the page for the texts of the definitions, each a kind."""
    return _HEAD + "".join(map(_kind, map(yaml.safe_load, definitions)))


def _kind(definition: Mapping[str, Any]) -> str:
    group, names = definition["spec"]["group"], definition["spec"]["names"]
    [version] = definition["spec"]["versions"]
    parts = version["schema"]["openAPIV3Schema"]["properties"]
    text = f"\n## {names['kind']}\n\n`{group}/{version['name']}`, short `{names['shortNames'][0]}`. "
    text += "Beside types and bounds, these rules hold:\n\n"
    for part in ("spec", "status"):
        text += "".join(f"- {rule['message']}\n" for rule in _rules(parts[part]))
    for part in ("spec", "status"):
        text += f"\n{_TABLE}" + "".join(f"| {' | '.join(row)} |\n" for row in _rows(parts[part], part))
    return text


def _rules(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from schema.get("x-kubernetes-validations", [])
    for below in (*schema.get("properties", {}).values(), schema.get("items", {})):
        if isinstance(below, dict) and below:
            yield from _rules(below)


def _rows(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    for key, rule in schema.get("properties", {}).items():
        here = f"{path}.{key}"
        field = f"**`{here}`**" if key in schema.get("required", []) else f"`{here}`"
        default = f"`{rule['default']}`" if rule.get("default") not in (None, "", [], {}) else ""
        yield field, _type(rule), default, rule.get("description", "").replace("|", "\\|").replace("\n", " ")
        yield from _rows(rule, here)
        yield from _rows(rule.get("items", {}), f"{here}[]")


def _type(rule: Mapping[str, Any]) -> str:
    """Say what may stand there, with its bounds."""
    if "enum" in rule:
        return ", ".join(f"`{one}`" for one in rule["enum"])
    name = "any JSON" if "type" not in rule else str(rule.get("format", "").replace("int64", "") or rule["type"])
    low, high = rule.get("minimum"), rule.get("maximum")
    if low is not None or high is not None:
        return f"{name}, {'' if low is None else low} to {'' if high is None else high}"
    most = rule.get("maxLength", rule.get("maxItems"))
    return f"{name}, at most {most}" if most is not None else name

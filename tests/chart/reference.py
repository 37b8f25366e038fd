"""The page of all values, made from values.yaml and its schema: for who looks one up instead of reading the manual."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

__all__ = ["render"]

_HEAD = """# Values of the chart

Made from [`values.yaml`](../charts/perdure/values.yaml) by `make chart`; [installing it](install.md) tells by theme
what to set. What is said of a group holds for all below it. `single`, `controller` and each pool of `workers` take
everything that stands below `pods`, too.

| value | default | is for |
|---|---|---|
"""


def render(values: str, schema: Mapping[str, Any]) -> str:
    """Give the page for the text of values.yaml and its schema."""
    rows = _rows(yaml.safe_load(values), schema, "")
    return _HEAD + "".join(f"| `{path}` | {default} | {meaning} |\n" for path, default, meaning in rows)


def _rows(values: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        rule = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or {}
        meaning = rule.get("description", "").replace("|", "\\|")
        if isinstance(value, dict) and value and rule.get("properties", rule.get("additionalProperties")):
            if meaning:
                yield here, "", meaning
            yield from _rows(value, rule, here)
        else:
            yield here, "" if value in ("", [], {}) else f"`{json.dumps(value)}`", meaning

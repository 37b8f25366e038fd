"""Reading objects of the API server, in which nearly every field may be missing.

Pure and tiny: each function follows a path through nested mappings and gives a value of one type, or an empty one.
It exists so that the rules that read objects (readiness, ownership) can be written as sentences.
"""

from __future__ import annotations

from collections.abc import Iterator

from perdure import JsonValue, Manifest

__all__ = ["conditions", "field", "items", "mapping", "merged", "number", "text"]


def field(manifest: Manifest, *path: str) -> JsonValue:
    """Give what stands at the path, or None."""
    value: JsonValue = manifest
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(manifest: Manifest, *path: str) -> str:
    """Give the text at the path, or an empty one."""
    value = field(manifest, *path)
    return value if isinstance(value, str) else ""


def number(manifest: Manifest, *path: str) -> int | None:
    """Give the whole number at the path, or None."""
    value = field(manifest, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(manifest: Manifest, *path: str) -> Manifest:
    """Give the mapping at the path, or an empty one."""
    value = field(manifest, *path)
    return value if isinstance(value, dict) else {}


def items(manifest: Manifest, *path: str) -> Iterator[Manifest]:
    """Give the mappings in the list at the path."""
    value = field(manifest, *path)
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            yield item


def conditions(manifest: Manifest) -> dict[str, Manifest]:
    """Give the conditions of the status by their type."""
    return {text(condition, "type"): condition for condition in items(manifest, "status", "conditions")}


def merged(manifest: Manifest, patch: Manifest) -> Manifest:
    """Give what a JSON merge patch makes of an object: https://www.rfc-editor.org/rfc/rfc7396#section-2."""
    result = dict(manifest)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result

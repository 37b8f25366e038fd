"""Parts of an input that stand elsewhere: where they go, what may go wrong, and the input that comes of it.

`spec.inputFrom` names keys of ConfigMaps and Secrets, each with a path in the input. The value of a ConfigMap goes
there as text; of a Secret only a reference does, whatever was read to see that it is there (I11). Pure: what was found
is an argument; `preflight` finds it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import JsonValue

from perdure._core.activity import Manifest
from perdure._core.secret import SecretRef
from perdure._kube import nesting

__all__ = ["Source", "missing_or_none", "problem_or_none", "put", "read"]

_LEVELS_OF_A_REFERENCE = 2
_SHOWN_KEYS = 10
_Fields = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """An entry of `spec.inputFrom`: a key of a ConfigMap or a Secret, and where its value or its reference goes."""

    path: str
    kind: Literal["ConfigMap", "Secret"]
    name: str
    key: str

    def value(self, manifest: Manifest) -> JsonValue:
        """Give what goes into the input; the key is there."""
        if self.kind == "Secret":
            return {"secretRef": {**SecretRef(self.name, self.key).to_json()["secretRef"]}}
        return _data(manifest)[self.key]


def read(entries: JsonValue) -> list[Source]:
    """Read `spec.inputFrom` as the API server gives it, which has checked it."""
    found: list[Source] = []
    for entry in entries if isinstance(entries, list) else []:
        match entry:
            case {"path": str(path), "configMapKeyRef": {"name": str(name), "key": str(key)}}:
                found.append(Source(path, "ConfigMap", name, key))
            case {"path": str(path), "secretKeyRef": {"name": str(name), "key": str(key)}}:
                found.append(Source(path, "Secret", name, key))
            case _:
                pass  # the schema lets nothing else through
    return found


def problem_or_none(value: JsonValue, sources: Sequence[Source]) -> str | None:
    """Say why these sources cannot be put into this input, whatever they hold; None when they can."""
    if not sources:
        return None
    if not isinstance(value, dict | None):
        return (
            f"spec.input is {_named(value)}, and spec.inputFrom puts fields into an object. Make it an object, or "
            "leave one of the two out."
        )
    taken: dict[_Fields, int] = {}
    for number, source in enumerate(sources):
        fields = tuple(source.path.split("."))
        found = _unusable(fields) or _occupied(value or {}, fields) or _taken(taken, fields)
        if found is not None:
            return f"spec.inputFrom[{number}].path {source.path[:200]!r} cannot be filled: {found}."
        taken[fields] = number
    return None


def missing_or_none(source: Source, manifest: Manifest | None) -> str | None:
    """Say what of a source is not there: its object (None) or the key in it."""
    if manifest is None:
        return f"{source.kind} {source.name} does not exist"
    held = _data(manifest)
    if source.key in held:
        return None
    more = len(held) - _SHOWN_KEYS
    keys = ", ".join(sorted(held)[:_SHOWN_KEYS]) + (f" and {more} more" if more > 0 else "")
    return f"{source.kind} {source.name} has no key {source.key} in its data, only {keys or 'none at all'}"


def put(value: JsonValue, sources: Sequence[Source], *, manifests: Mapping[tuple[str, str], Manifest]) -> JsonValue:
    """Give the input with every source at its path; the objects come by kind and name, and nothing is missing."""
    for source in sources:
        value = _with(value, source.path.split("."), source.value(manifests[source.kind, source.name]))
    return value


def _with(value: JsonValue, fields: Sequence[str], leaf: JsonValue) -> dict[str, JsonValue]:
    first, *rest = fields
    outer = value if isinstance(value, dict) else {}
    return {**outer, first: _with(outer.get(first), rest, leaf) if rest else leaf}


def _data(manifest: Manifest) -> Mapping[str, JsonValue]:
    data = manifest.get("data")
    return data if isinstance(data, dict) else {}


def _unusable(fields: _Fields) -> str | None:
    if not all(fields):
        return "a field name in it is empty; expected names joined by dots, as in database.host"
    if len(fields) + _LEVELS_OF_A_REFERENCE > nesting.LEVELS:
        return f"it is nested {len(fields)} levels deep, and an input has at most {nesting.LEVELS}"
    return None


def _occupied(value: Mapping[str, JsonValue], fields: _Fields) -> str | None:
    """Say what of the input itself is in the way."""
    inner = value
    for depth, field in enumerate(fields[:-1], start=1):
        if field not in inner:
            return None
        below = inner[field]
        if not isinstance(below, dict):
            return f"spec.input.{'.'.join(fields[:depth])} is {_named(below)}, not an object"
        inner = below
    return "spec.input has a value there already" if fields[-1] in inner else None


def _taken(taken: Mapping[_Fields, int], fields: _Fields) -> str | None:
    """Say which earlier source goes to the same place, or above or below it."""
    for other, number in taken.items():
        shorter = min(len(other), len(fields))
        if other[:shorter] == fields[:shorter]:
            return f"spec.inputFrom[{number}] goes to {'.'.join(other)}"
    return None


def _named(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"

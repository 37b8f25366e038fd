"""What of an object is not as it was made: the fields of a manifest, compared with the object in the cluster. Pure.

Only what the manifest says is compared: defaults of the API server and what others have added are none of its business.
Lists of things with names are compared by the names, quantities by what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from activities.postgres import quantities
from perdure import JsonValue, Manifest

__all__ = ["drifted_fields"]


def drifted_fields(wanted: Manifest, existing: Manifest) -> list[str]:
    """Give the paths of the fields that are missing or have another value, as in `spec.replicas`."""
    return list(_differences(wanted, existing, ""))


def _differences(wanted: JsonValue, existing: JsonValue, path: str) -> Iterator[str]:
    match wanted, existing:
        case dict(), dict():
            for key, value in wanted.items():
                yield from _differences(value, existing.get(key), f"{path}.{key}" if path else key)
        case list(), list() if _by_name(wanted):
            there = _by_name(existing)
            for name, value in _by_name(wanted).items():
                yield from _differences(value, there.get(name), f"{path}[{name}]")
        case list(), list() if len(wanted) == len(existing):
            for number, (one, other) in enumerate(zip(wanted, existing, strict=True)):
                yield from _differences(one, other, f"{path}[{number}]")
        case _ if wanted != existing and not _is_same_quantity(wanted, existing) and (wanted or existing):
            yield path


def _by_name(values: list[JsonValue]) -> dict[str, JsonValue]:
    return {str(value["name"]): value for value in values if isinstance(value, dict) and "name" in value}


def _is_same_quantity(one: JsonValue, other: JsonValue) -> bool:
    number = quantities.parse_or_none(one)
    return number is not None and number == quantities.parse_or_none(other)

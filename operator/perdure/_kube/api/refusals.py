"""What a resource asks for that this release cannot do, said plainly.

A field whose behaviour does not exist yet is refused with a condition, never silently ignored: who asks for something
and gets nothing was lied to. Pure: the spec in, a reason and a sentence out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pydantic import JsonValue

__all__ = ["NOT_SUPPORTED_YET", "Refusal", "refusal_or_none"]

NOT_SUPPORTED_YET = "NotSupportedYet"

_FIELDS = ("inputFrom",)
"""The fields that do not have their behaviour yet. Unset and empty always do what they say."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why a resource is not run: `reason` for programs, `message` for people."""

    reason: str
    message: str


def refusal_or_none(spec: Mapping[str, JsonValue]) -> Refusal | None:
    """Say why this spec cannot be run as it is written, naming each field and value; None when it can."""
    unsupported = [
        f"spec.{field}: {_show(value)} (not supported)"
        for field in _FIELDS
        if (value := spec.get(field)) not in (None, [])
    ]
    if not unsupported:
        return None
    return Refusal(
        NOT_SUPPORTED_YET,
        f"This release cannot do what the spec asks for: {'; '.join(unsupported)}. Change or remove it, or install a "
        "release that supports it.",
    )


def _show(value: JsonValue) -> str:
    return f"{len(value)} entries" if isinstance(value, list) else str(value)

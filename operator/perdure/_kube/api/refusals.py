"""What a resource asks for that this release cannot do, said plainly.

A field whose behaviour does not exist yet is refused with a condition, never silently ignored: who writes
`timeoutSeconds: 60` and gets no timeout was lied to. Pure: the spec in, a reason and a sentence out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pydantic import JsonValue

__all__ = ["NOT_SUPPORTED_YET", "Refusal", "refusal_or_none"]

NOT_SUPPORTED_YET = "NotSupportedYet"

_ONLY: Mapping[str, tuple[JsonValue, ...]] = {
    "inputFrom": ([],),
    "suspend": (False,),
    "timeoutSeconds": (),
    "deletionPolicy": ("Cancel",),
    "rerunPolicy": ("Never",),
    "updatePolicy": ("AfterCurrentRun",),
    "onNondeterminism": ("Hold",),
    "ttlSecondsAfterFinished": (),
    "historyRetentionSeconds": (),
    "readyWhen": ("Completed",),
}
"""The fields that do not have all of their behaviour yet, and the values that do what they say. Unset always does."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why a resource is not run: `reason` for programs, `message` for people."""

    reason: str
    message: str


def refusal_or_none(spec: Mapping[str, JsonValue]) -> Refusal | None:
    """Say why this spec cannot be run as it is written, naming each field and value; None when it can."""
    unsupported = [
        f"spec.{field}: {_show(spec[field])} ({_expected(values)})"
        for field, values in _ONLY.items()
        if spec.get(field) is not None and spec[field] not in values
    ]
    if not unsupported:
        return None
    return Refusal(
        NOT_SUPPORTED_YET,
        f"This release cannot do what the spec asks for: {'; '.join(unsupported)}. Change or remove it, or install a "
        "release that supports it.",
    )


def _show(value: JsonValue) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list():
            return f"{len(value)} entries"
        case _:
            return str(value)


def _expected(values: tuple[JsonValue, ...]) -> str:
    named = [_show(value) for value in values if not isinstance(value, list)]
    return f"only {' or '.join(named)} is supported" if named else "not supported"

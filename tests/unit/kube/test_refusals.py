"""What a spec may ask for in this release, and how the rest is refused: a table of fields and values."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from perdure._kube.api import refusals

DEFAULTED: dict[str, JsonValue] = {
    "orchestration": "w::o::demo",
    "deletionPolicy": "Cancel",
    "rerunPolicy": "Never",
    "updatePolicy": "AfterCurrentRun",
    "onNondeterminism": "Hold",
    "readyWhen": "Completed",
}
"""A spec as the API server gives it back when nothing but the name was written."""


@pytest.mark.parametrize(
    "field",
    [
        {},
        {"version": "1.0.0"},
        {"input": {"name": "db"}},
        {"input": None},
        {"serviceAccountName": "runner"},
        {"cancel": {"reason": "a mistake"}},
        {"inputFrom": []},
        {"suspend": True},
        {"timeoutSeconds": 60},
        {"deletionPolicy": "Compensate"},
        {"deletionPolicy": "Orphan"},
        {"rerunPolicy": "OnChange", "updatePolicy": "Signal"},
        {"rerunPolicy": "OnChange", "updatePolicy": "CancelCurrent"},
        {"onNondeterminism": "Fail"},
        {"ttlSecondsAfterFinished": 0},
        {"historyRetentionSeconds": 0},
        {"readyWhen": "Custom"},
    ],
    ids=str,
)
def test_what_works_is_not_refused(field: dict[str, JsonValue]) -> None:
    """Everything that does what its description says is taken, and so is everything unset."""
    assert refusals.refusal_or_none(DEFAULTED | field) is None
    assert refusals.refusal_or_none({"orchestration": "x"} | field) is None


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("inputFrom", [{"path": "a", "secretKeyRef": {"name": "s", "key": "k"}}], "1 entries"),
    ],
)
def test_what_comes_later_is_refused_by_name_and_value(field: str, value: JsonValue, shown: str) -> None:
    """A field that would be ignored is refused, and the message names it and what it was set to."""
    refusal = refusals.refusal_or_none(DEFAULTED | {field: value})

    assert refusal is not None
    assert refusal.reason == "NotSupportedYet"
    assert f"spec.{field}: {shown}" in refusal.message

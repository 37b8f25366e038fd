"""The finalizer's patch: what it tests and what it changes, as a table."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from perdure._kube import finalizers
from perdure._kube.api.orchestration import FINALIZER

UID: JsonValue = {"op": "test", "path": "/metadata/uid", "value": "u"}
VERSION: JsonValue = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}


def added(*finalizers: str) -> list[JsonValue]:
    """Give the patch after which these are there: of exactly what was read."""
    return [UID, VERSION, {"op": "add", "path": "/metadata/finalizers", "value": list(finalizers)}]


def removed(at: int) -> list[JsonValue]:
    """Give the patch that takes ours away from there, if it still is there."""
    path = f"/metadata/finalizers/{at}"
    return [UID, {"op": "test", "path": path, "value": FINALIZER}, {"op": "remove", "path": path}]


@pytest.mark.parametrize(
    ("listed", "wanted", "expected"),
    [
        (None, True, added(FINALIZER)),
        ([], True, added(FINALIZER)),
        (["other"], True, added("other", FINALIZER)),
        ([FINALIZER], True, []),
        (None, False, []),
        (["other"], False, []),
        ([FINALIZER], False, removed(0)),
        (["other", FINALIZER], False, removed(1)),
    ],
)
def test_the_finalizer_goes_on_and_off(listed: JsonValue, expected: list[JsonValue], *, wanted: bool) -> None:
    """Those of others stay, and nothing is changed that is not as it was read."""
    metadata: dict[str, JsonValue] = {"uid": "u", "resourceVersion": "7"}
    if listed is not None:
        metadata["finalizers"] = listed

    assert finalizers.patch({"metadata": metadata}, wanted=wanted) == expected


def test_who_is_being_deleted_is_given_none() -> None:
    """The API server would refuse it; ours is taken away all the same."""
    metadata: dict[str, JsonValue] = {"uid": "u", "resourceVersion": "7", "deletionTimestamp": "2026-01-01T00:00:00Z"}

    assert finalizers.patch({"metadata": metadata}, wanted=True) == []
    assert finalizers.patch({"metadata": {**metadata, "finalizers": [FINALIZER]}}, wanted=False) == removed(0)

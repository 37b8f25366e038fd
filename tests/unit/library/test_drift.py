"""What of an object is not as it was made, and sizes by what they mean: pure functions."""

from __future__ import annotations

from decimal import Decimal

import pytest

from activities.postgres import drift, manifests, quantities
from perdure import JsonValue, Manifest


def test_what_the_server_adds_is_no_drift() -> None:
    """Defaults, status and fields of others are not compared."""
    wanted: Manifest = {"spec": {"replicas": 1, "selector": {"app": "pg"}}}
    existing: Manifest = {"spec": {"replicas": 1, "selector": {"app": "pg", "more": "x"}, "policy": "y"}, "status": {}}

    assert drift.drifted_fields(wanted, existing) == []


@pytest.mark.parametrize(
    ("wanted", "existing", "paths"),
    [
        ({"spec": {"replicas": 1}}, {"spec": {"replicas": 0}}, ["spec.replicas"]),
        ({"spec": {"replicas": 1}}, {"spec": {}}, ["spec.replicas"]),
        ({"spec": {"replicas": 1}}, {}, ["spec"]),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, ["a"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a[1]"]),
        ({"env": [{"name": "x", "value": "1"}]}, {"env": [{"name": "y"}, {"name": "x", "value": "1"}]}, []),
        ({"env": [{"name": "x", "value": "1"}]}, {"env": [{"name": "x", "value": "2"}]}, ["env[x].value"]),
        ({"env": [{"name": "x"}]}, {"env": []}, ["env[x]"]),
        ({"cpu": "1"}, {"cpu": "1000m"}, []),
        ({"memory": "1024Mi"}, {"memory": "1Gi"}, []),
        ({"memory": "1Gi"}, {"memory": "1G"}, ["memory"]),
        ({"labels": {}}, {}, []),
        ({"value": ""}, {}, []),
    ],
    ids=str,
)
def test_what_differs_is_named_by_its_path(wanted: Manifest, existing: Manifest, paths: list[str]) -> None:
    """Lists of named things by their names, quantities by their meaning."""
    assert drift.drifted_fields(wanted, existing) == paths


def test_a_server_is_not_drifted_from_itself() -> None:
    """Whatever shape it has."""
    shape = manifests.Shape("data-v18", "mine:1", {"work_mem": "8MB"}, {"limits": {"cpu": "2"}})
    made = manifests.stateful_set("pg", "18", storage="1Gi", shape=shape)

    assert drift.drifted_fields(made, made) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("1Gi", 2**30), ("1024Mi", 2**30), ("1G", 10**9), ("500m", Decimal("0.5")), ("0.5", Decimal("0.5")), ("5", 5)],
)
def test_a_quantity_means_a_number(text: str, number: Decimal | int) -> None:
    """Suffixes of ten and of two."""
    assert quantities.parse_or_none(text) == number


@pytest.mark.parametrize("value", ["", "much", "1Xi", None, 5, "1 Gi", ".", "-1"])
def test_what_is_no_quantity_means_none(value: JsonValue) -> None:
    """Nothing is guessed."""
    assert quantities.parse_or_none(value) is None

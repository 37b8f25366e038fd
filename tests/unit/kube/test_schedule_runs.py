"""The Orchestration that a schedule creates: name, labels, owner, and the spec of its template."""

from __future__ import annotations

import datetime
from typing import Any
from uuid import UUID

from perdure._kube.schedules import runs

UID = UUID("12345678-1234-5678-1234-567812345678")
TICK = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.UTC)
SPEC: dict[str, Any] = {
    "cron": "@daily",
    "orchestrationTemplate": {
        "metadata": {"labels": {"team": "shop"}, "annotations": {"note": "nightly"}},
        "spec": {"orchestration": "flow", "input": {"a": [1, None]}},
    },
}


def test_an_orchestration_is_what_the_template_says_and_belongs_to_its_schedule() -> None:
    """The template's labels and annotations, ours beside them, one owner, and the spec as it stands."""
    made = runs.manifest(UID, SPEC, namespace="shop", name="report", tick=TICK)

    assert made == {
        "apiVersion": "perdure.dev/v1alpha1",
        "kind": "Orchestration",
        "metadata": {
            "name": "report-29627280",
            "namespace": "shop",
            "labels": {"team": "shop", "perdure.dev/schedule": "report"},
            "annotations": {"note": "nightly", "perdure.dev/scheduled-at": "2026-05-01T12:00:00Z"},
            "ownerReferences": [
                {
                    "apiVersion": "perdure.dev/v1alpha1",
                    "kind": "OrchestrationSchedule",
                    "name": "report",
                    "uid": str(UID),
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"orchestration": "flow", "input": {"a": [1, None]}},
    }


def test_a_template_without_metadata_is_enough() -> None:
    """Labels and annotations are ours alone then."""
    made = runs.manifest(
        UID, {"orchestrationTemplate": {"spec": {"orchestration": "flow"}}}, namespace="shop", name="a", tick=TICK
    )

    assert isinstance(made["metadata"], dict)
    assert made["metadata"]["labels"] == {"perdure.dev/schedule": "a"}


def test_the_longest_name_of_a_schedule_leaves_room() -> None:
    """The name of what is created fits a label too, also when minutes have nine digits."""
    assert len(runs.name_of("x" * 52, datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC))) <= 63


def test_what_somebody_else_made_is_told_from_ours() -> None:
    """The uid of the owner decides, not the name: an older schedule may have had the same."""
    ours = runs.manifest(UID, SPEC, namespace="shop", name="report", tick=TICK)

    assert runs.is_ours(ours, UID)
    assert not runs.is_ours(ours, UUID(int=1))
    assert not runs.is_ours({"metadata": {"name": "report-29627280"}}, UID)

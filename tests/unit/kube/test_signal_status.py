"""The status of a signal for each thing that can become of it, and the conditions that tools wait for."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from perdure._kube import signal_status
from perdure._kube.api import orchestration_signal
from perdure._store.signal_resources import SignalFact

PAGE = Path(__file__).parents[3] / "docs" / "signal-resource.md"
SEEN_AT = datetime(2026, 1, 1, tzinfo=UTC)
DECIDED_AT = datetime(2026, 1, 2, tzinfo=UTC)
NOW = datetime(2026, 1, 3, tzinfo=UTC)
FACT = SignalFact(
    uid=UUID(int=7),
    namespace="shop",
    name="approval",
    generation=1,
    target="db",
    phase="Pending",
    reason="RunMissing",
    detail="",
    instance_id=None,
    observed_at=SEEN_AT,
    decided_at=None,
    revision=0,
    status=None,
)

STORIES: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({}, {"Reconciling": "True"}, "Orchestration db does not exist, or has no run yet."),
    ({"reason": "SignalsFull", "instance_id": "shop/db:1"}, {"Reconciling": "True"}, "Run shop/db:1 has 10000 signals"),
    ({"reason": "PayloadMissing", "detail": "No such thing."}, {"Reconciling": "True"}, "No such thing. The signal is"),
    ({"reason": "PayloadUnreadable", "detail": "no right"}, {"Stalled": "True"}, "cannot be read: no right"),
    ({"reason": "PayloadInvalid", "phase": "Failed", "detail": "{x}"}, {"Stalled": "True"}, "cannot be sent: {x}"),
    ({"reason": "SignalInvalid", "phase": "Failed", "detail": "bad"}, {"Stalled": "True"}, "cannot be sent: bad"),
    ({"reason": "RunFinished", "phase": "Failed", "instance_id": "shop/db:1"}, {"Stalled": "True"}, "had finished"),
    ({"reason": "RunRemoved", "phase": "Failed", "instance_id": "shop/db:1"}, {"Stalled": "True"}, "is no more"),
    ({"reason": "Delivered", "phase": "Delivered", "instance_id": "shop/db:1"}, {"Ready": "True"}, "was delivered to"),
]


def built(previous: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Build the status of the fact with these changes."""
    if changes.get("phase", "Pending") != "Pending":
        changes = {"decided_at": DECIDED_AT, **changes}
    return signal_status.build(dataclasses.replace(FACT, **changes), previous, now=NOW)


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the conditions by type."""
    return {one["type"]: one for one in status["conditions"]}


@pytest.mark.parametrize(("changes", "true", "words"), STORIES, ids=[words for _, _, words in STORIES])
def test_each_story_has_its_conditions_and_its_sentence(
    changes: dict[str, Any], true: dict[str, str], words: str
) -> None:
    """One condition is True and no other; whatever is True, and Ready always, says why."""
    status = built(**changes)
    found = conditions(status)

    assert {type: one["status"] for type, one in found.items()} == dict.fromkeys(
        ("Ready", "Reconciling", "Stalled"), "False"
    ) | true
    assert {one["reason"] for one in found.values()} == {changes.get("reason", "RunMissing")}
    assert words in status["message"]
    assert found["Ready"]["message"] == found[next(iter(true))]["message"] == status["message"]
    assert status["phase"] == changes.get("phase", "Pending")
    assert status["observedGeneration"] == found["Ready"]["observedGeneration"] == 1


def test_every_reason_is_told() -> None:
    """The table above has them all."""
    assert {changes.get("reason", "RunMissing") for changes, _, _ in STORIES} == set(signal_status.REASONS)


def test_a_delivered_signal_says_when_and_to_whom() -> None:
    """And one that is not says neither."""
    delivered = built(phase="Delivered", reason="Delivered", instance_id="shop/db:1")
    failed = built(phase="Failed", reason="RunFinished", instance_id="shop/db:1")

    assert (delivered["deliveredAt"], delivered["instanceId"]) == ("2026-01-02T00:00:00Z", "shop/db:1")
    assert {"deliveredAt", "instanceId"} & set(failed) == set()


def test_a_condition_keeps_the_time_at_which_it_turned() -> None:
    """Ready is False from the first sight to the delivery, whatever the signal waits for meanwhile."""
    waits = built()
    stuck = built(waits, reason="PayloadUnreadable", detail="no right")
    delivered = built(stuck, phase="Delivered", reason="Delivered", instance_id="shop/db:1")

    times = [
        {type: one["lastTransitionTime"][:10] for type, one in conditions(status).items()}
        for status in (waits, stuck, delivered)
    ]
    assert times == [
        {"Ready": "2026-01-01", "Reconciling": "2026-01-01", "Stalled": "2026-01-01"},
        {"Ready": "2026-01-01", "Reconciling": "2026-01-03", "Stalled": "2026-01-03"},
        {"Ready": "2026-01-02", "Reconciling": "2026-01-03", "Stalled": "2026-01-02"},
    ]


def test_what_has_not_changed_is_equal() -> None:
    """So it is not written."""
    status = built()

    assert built(status) == status


def test_a_long_message_is_cut() -> None:
    """What an API server said may be of any length; a resource is no place for it."""
    assert len(built(reason="PayloadUnreadable", detail="x" * 100_000)["message"]) < 1_200


def test_the_page_has_every_field_and_every_reason() -> None:
    """`docs/signal-resource.md` is the reference: its tables name what there is, and nothing else."""
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    models = (orchestration_signal.OrchestrationSignalSpec, orchestration_signal.OrchestrationSignalStatus)
    fields = {str(field.alias) for model in models for field in model.model_fields.values()}

    assert named == fields | set(signal_status.REASONS)

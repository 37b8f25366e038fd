"""The OrchestrationSignal CRD on a real API server: what it takes, refuses and shows, with no operator anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.e2e.room import Room

MINIMAL: dict[str, Any] = {"orchestrationRef": {"name": "db"}, "signal": "approve"}


class Signals(Room):
    """One of the kind."""

    kind = "OrchestrationSignal"
    short = "orchsig"


@pytest.fixture
def room(cluster: Cluster, shared_namespace: str) -> Signals:
    """Give a name of one's own."""
    return Signals(cluster, shared_namespace)


def test_a_fresh_signal_is_not_ready(room: Signals) -> None:
    """Nothing is filled into the spec; the status says that nobody has looked yet."""
    created = room.create(MINIMAL)

    assert created["spec"] == MINIMAL
    assert (created["status"]["observedGeneration"], created["status"]["phase"]) == (-1, "Pending")
    [ready] = created["status"]["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")


@pytest.mark.parametrize("payload", [{"a": {"b": [1, None, "x"]}}, [1, None], "text", 5, 1.5, True, None], ids=str)
def test_any_json_is_a_payload(room: Signals, payload: Any) -> None:
    """The schema takes every JSON value as it is, and null is kept apart from nothing."""
    assert room.create(MINIMAL | {"payload": payload})["spec"]["payload"] == payload


SOURCE = {"configMapKeyRef": {"name": "c", "key": "k"}}
BOTH = SOURCE | {"secretKeyRef": {"name": "s", "key": "k"}}
SPECS_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"signal": "approve"}, "spec.orchestrationRef: Required value"),
    ({"orchestrationRef": {"name": "db"}}, "spec.signal: Required value"),
    (MINIMAL | {"orchestrationRef": {}}, "spec.orchestrationRef.name: Required value"),
    (MINIMAL | {"orchestrationRef": {"name": "Db"}}, "spec.orchestrationRef.name in body should match"),
    (
        MINIMAL | {"orchestrationRef": {"name": "db", "namespace": "x"}},
        'unknown field "spec.orchestrationRef.namespace"',
    ),
    (MINIMAL | {"signal": ""}, "spec.signal"),
    (MINIMAL | {"signal": "a\nb"}, "spec.signal in body should match"),
    (MINIMAL | {"signal": "x" * 201}, "spec.signal: Too long"),
    (MINIMAL | {"payloadFrom": {}}, "name exactly one source"),
    (MINIMAL | {"payloadFrom": BOTH}, "name exactly one source"),
    (MINIMAL | {"payload": 1, "payloadFrom": SOURCE}, "give payload or payloadFrom, not both"),
    (MINIMAL | {"ttlSecondsAfterDelivered": -1}, "spec.ttlSecondsAfterDelivered in body should be greater"),
]


@pytest.mark.parametrize("number", range(len(SPECS_REFUSED)), ids=lambda number: SPECS_REFUSED[number][1])
def test_a_malformed_spec_is_refused_by_the_server(room: Signals, number: int) -> None:
    """What the schema can refuse never reaches the operator, and the message names the field."""
    spec, complaint = SPECS_REFUSED[number]

    with pytest.raises(ClusterError) as refused:
        room.create(spec)

    assert complaint in str(refused.value)


CHANGES: list[dict[str, Any]] = [
    {"orchestrationRef": {"name": "other"}},
    {"signal": "other"},
    {"payload": {"by": {"name": "eve"}}},
    {"payload": None},
    {"ttlSecondsAfterDelivered": 5},
    {"ttlSecondsAfterDelivered": None},
]


def test_nothing_of_a_signal_can_be_changed(room: Signals) -> None:
    """No field changes, comes or goes; each refusal names its field."""
    room.create(MINIMAL | {"payload": {"by": {"name": "ann"}}, "ttlSecondsAfterDelivered": 60})

    for change in CHANGES:
        with pytest.raises(ClusterError) as refused:
            room.patch(change)
        field = next(iter(change))
        assert f"{field} cannot be changed, added or removed: a signal is sent once" in str(refused.value)


@pytest.mark.parametrize("added", [{"payload": 1}, {"payloadFrom": SOURCE}, {"ttlSecondsAfterDelivered": 5}], ids=str)
def test_nothing_can_be_added_to_a_signal(room: Signals, added: dict[str, Any]) -> None:
    """What was not sent cannot be sent afterwards."""
    room.create(MINIMAL)

    with pytest.raises(ClusterError, match="cannot be changed, added or removed"):
        room.patch(added)


def test_an_equal_signal_may_be_applied_again(room: Signals) -> None:
    """As GitOps tools do; labels are nobody's business."""
    created = room.create(MINIMAL | {"payload": {"a": [1, {"b": None}]}})

    created["metadata"]["labels"] = {"team": "a"}
    room.kubectl("replace", "--filename=-", input=json.dumps(created))

    assert json.loads(room.kubectl("get", "orchsig", room.name, "--output=json"))["metadata"]["generation"] == 1


def test_kubectl_knows_the_short_name_the_category_the_columns_and_the_manual(room: Signals) -> None:
    """And finds signals by whom they are for."""
    room.create(MINIMAL)

    header, row = room.kubectl("get", "orchsig", room.name).splitlines()
    assert header.split() == ["NAME", "SIGNAL", "TARGET", "PHASE", "AGE"]
    assert row.split()[:4] == [room.name, "approve", "db", "Pending"]
    assert f"orchestrationsignal.perdure.dev/{room.name}" in room.kubectl("get", "perdure", "--output=name").split()
    selected = room.kubectl("get", "orchsig", "--field-selector=spec.orchestrationRef.name=nobody", "--output=name")
    assert selected.split() == []
    assert "never delivered to another" in " ".join(room.kubectl("explain", "orchsig.spec.orchestrationRef").split())

"""The Orchestration CRD on a real API server: what it takes, refuses, fills in and shows, with no operator anywhere.

Users meet the schema before they meet the operator: every refusal here is one that needs no condition.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.e2e.room import Room

MINIMAL: dict[str, Any] = {"orchestration": "workflows::orchestration::demo"}
DEFAULTS = {
    "deletionPolicy": "Cancel",
    "rerunPolicy": "Never",
    "updatePolicy": "AfterCurrentRun",
    "onNondeterminism": "Hold",
    "readyWhen": "Completed",
}


class Runs(Room):
    """One of the kind."""

    kind = "Orchestration"
    short = "orch"

    def show(self, status: dict[str, Any], suffix: str = "", *, uid: str | None = None) -> None:
        """Write a status, as the projector does."""
        test = [] if uid is None else [{"op": "test", "path": "/metadata/uid", "value": uid}]
        patch = json.dumps([*test, {"op": "add", "path": "/status", "value": status}])
        name = self.name + suffix
        self.kubectl("patch", "orch", name, "--subresource=status", "--type=json", f"--patch={patch}")

    def get(self) -> dict[str, Any]:
        """Give the Orchestration."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "orch", self.name, "--output=json"))
        return found

    def table(self, *words: str) -> tuple[list[str], list[str]]:
        """Give the header and the row of `kubectl get orch`."""
        header, row = self.kubectl("get", "orch", self.name, *words).splitlines()
        return header.split(), row.split()


@pytest.fixture
def room(cluster: Cluster, shared_namespace: str) -> Runs:
    """Give a name of one's own."""
    return Runs(cluster, shared_namespace)


def ready(status: str, message: str = "") -> dict[str, Any]:
    """Give a Ready condition."""
    return {
        "type": "Ready",
        "status": status,
        "reason": "Running",
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }


def test_what_is_not_said_is_filled_in_and_a_fresh_resource_is_not_ready(room: Runs) -> None:
    """The server puts in the defaults, drops a status that comes with the spec, and shows Ready=Unknown."""
    created = room.create(MINIMAL)

    assert created["spec"] == MINIMAL | DEFAULTS
    assert created["status"]["observedGeneration"] == -1
    assert [(item["type"], item["status"], item["reason"]) for item in created["status"]["conditions"]] == [
        ("Ready", "Unknown", "Pending")
    ]


@pytest.mark.parametrize("input", [{"a": {"b": [1, None, "x"]}}, [1, None], "text", 5, 1.5, True, None], ids=str)
def test_any_json_is_an_input(room: Runs, input: Any) -> None:
    """The input is the author's: the schema takes every JSON value as it is, and null is kept apart from nothing."""
    assert room.create(MINIMAL | {"input": input})["spec"]["input"] == input


SPECS_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "spec.orchestration: Required value"),
    ({"orchestration": ""}, "spec.orchestration"),
    ({"orchestration": "-bad-"}, "spec.orchestration in body should match"),
    ({"orchestration": "a b"}, "spec.orchestration in body should match"),
    ({"orchestration": "x" * 201}, "spec.orchestration: Too long"),
    (MINIMAL | {"version": "1.0"}, "spec.version in body should"),
    (MINIMAL | {"version": "01.0.0"}, "spec.version in body should match"),
    (MINIMAL | {"version": "latest"}, "spec.version in body should match"),
    (MINIMAL | {"serviceAccountName": "Runner"}, "spec.serviceAccountName in body should match"),
    (MINIMAL | {"serviceAccountName": "a:b"}, "spec.serviceAccountName in body should match"),
    (MINIMAL | {"timeoutSeconds": 0}, "spec.timeoutSeconds in body should be greater than or equal to 1"),
    (MINIMAL | {"timeoutSeconds": 1.5}, "spec.timeoutSeconds"),
    (MINIMAL | {"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished in body should be greater"),
    (MINIMAL | {"ttlSecondsAfterFinished": 2**31}, "spec.ttlSecondsAfterFinished in body should be less"),
    (MINIMAL | {"historyRetentionSeconds": -1}, "spec.historyRetentionSeconds in body should be greater"),
    (MINIMAL | {"historyRetentionSeconds": 2**31}, "spec.historyRetentionSeconds in body should be less"),
    (MINIMAL | {"timeoutSeconds": 2**31}, "spec.timeoutSeconds in body should be less"),
    (MINIMAL | {"suspend": "yes"}, "spec.suspend"),
    (MINIMAL | {"updatePolicy": "Restart"}, "spec.updatePolicy"),
    (MINIMAL | {"onNondeterminism": "Ignore"}, "spec.onNondeterminism"),
    (MINIMAL | {"readyWhen": "Always"}, "spec.readyWhen"),
    (MINIMAL | {"deletionPolicy": "Forget"}, 'supported values: "Cancel", "Compensate", "Orphan"'),
    (MINIMAL | {"rerunPolicy": "Always"}, "spec.rerunPolicy"),
    (MINIMAL | {"cancel": {"reason": "x" * 1025}}, "spec.cancel.reason: Too long"),
    (MINIMAL | {"inputFrom": [{"path": "a"}]}, "name exactly one source"),
    (MINIMAL | {"inputs": {}}, 'unknown field "spec.inputs"'),
]


@pytest.mark.parametrize(("spec", "complaint"), SPECS_REFUSED, ids=[complaint for _, complaint in SPECS_REFUSED])
def test_a_malformed_spec_is_refused_by_the_server(room: Runs, spec: dict[str, Any], complaint: str) -> None:
    """What the schema can refuse never reaches the operator, and the message names the field."""
    with pytest.raises(ClusterError) as refused:
        room.create(spec)

    assert complaint in str(refused.value)


@pytest.mark.parametrize("version", ["0.0.0", "1.0.0", "10.20.30-rc.1+build.5"])
def test_every_semantic_version_is_taken(room: Runs, version: str) -> None:
    """What `@orchestration(version=...)` takes can be asked for."""
    assert room.create(MINIMAL | {"version": version})["spec"]["version"] == version


REQUEST = MINIMAL | {"version": "1.0.0", "input": {"a": [1]}, "serviceAccountName": "runner"}
CHANGES: list[dict[str, Any]] = [
    {"orchestration": "other"},
    {"version": "1.0.1"},
    {"version": None},
    {"input": {"a": [2]}},
    {"input": {"a": None, "b": 1}},
    {"input": None},
    {"input": {"a": [2]}, "cancel": {"reason": "hidden"}},
    {"inputFrom": [{"path": "a", "configMapKeyRef": {"name": "c", "key": "k"}}]},
    {"serviceAccountName": "other"},
    {"serviceAccountName": None},
]


def test_what_a_run_was_started_with_cannot_be_changed(room: Runs) -> None:
    """No request field changes, comes or goes while rerunPolicy is Never; each refusal names its field."""
    room.create(REQUEST)

    for change in CHANGES:
        with pytest.raises(ClusterError) as refused:
            room.patch(change)
        field = next(iter(change))
        assert f"spec.{field}: Invalid value: {field} cannot be changed, added or removed" in str(refused.value)


@pytest.mark.parametrize("input", [5, "x", [1, {"a": 1}], None])
def test_an_input_of_any_type_is_guarded(room: Runs, input: Any) -> None:
    """The rule compares whatever JSON the input is, deeply, and lets an equal one pass."""
    room.create(MINIMAL | {"input": input})

    manifest = room.get()
    manifest["spec"]["cancel"] = {"reason": "equal input, other change"}
    room.kubectl("replace", "--filename=-", input=json.dumps(manifest))
    with pytest.raises(ClusterError, match="input cannot be changed"):
        room.patch({"input": {"other": 1}})


def test_what_is_no_request_may_change_at_any_time(room: Runs) -> None:
    """Suspending, cancelling and policies are about the run, not about what was asked for."""
    room.create(REQUEST)

    for change in (
        {"suspend": True},
        {"cancel": {"reason": "enough"}},
        {"timeoutSeconds": 60},
        {"deletionPolicy": "Orphan", "updatePolicy": "Signal", "onNondeterminism": "Fail", "readyWhen": "Custom"},
        {"ttlSecondsAfterFinished": 0, "historyRetentionSeconds": 0},
        {"input": {"a": [1]}},
    ):
        room.patch(change)


def test_a_resource_that_may_run_again_may_change(room: Runs) -> None:
    """With rerunPolicy OnChange the request is free."""
    room.create(REQUEST | {"rerunPolicy": "OnChange"})

    room.patch({"version": "2.0.0", "input": 7})
    with pytest.raises(ClusterError, match="rerunPolicy cannot be changed"):
        room.patch({"rerunPolicy": "Never"})  # or the status would speak of another request than the spec


def test_the_columns_tell_the_story_of_a_run(room: Runs) -> None:
    """`kubectl get orch` shows phase, step, progress, readiness and age; `-o wide` the rest."""
    room.create(MINIMAL)
    header, row = room.table()
    assert header == ["NAME", "PHASE", "STEP", "PROGRESS", "READY", "AGE"]
    assert row[1:3] == ["Pending", "Unknown"]

    room.show(
        {
            "phase": "Running",
            "observedGeneration": 1,
            "conditions": [ready("False", "busy")],
            "instanceId": "n/run:1",
            "version": "1.0.0",
            "step": "deploy",
            "progress": {"text": "2/4", "done": 2, "total": 4},
            "duration": "3.2s",
        }
    )

    header, row = room.table("--output=wide")
    assert header[6:] == ["VERSION", "INSTANCE", "MESSAGE", "DURATION"]
    assert row[:5] == [room.name, "Running", "deploy", "2/4", "False"]
    assert row[6:] == ["1.0.0", "n/run:1", "busy", "3.2s"]


def test_runs_are_found_by_phase_and_by_orchestration(room: Runs) -> None:
    """The server itself selects by both fields, from the first moment on."""
    room.create(MINIMAL, "-one")
    room.create({"orchestration": "other"}, "-two")
    room.show({"phase": "Failed"}, "-two")

    selectors = ("status.phase=Failed", "status.phase=Pending", "spec.orchestration=other", "status.phase!=Failed")
    mine = f"--selector=test={room.name}"
    found = [
        room.kubectl("get", "orch", mine, "--output=name", f"--field-selector={selector}").strip().rpartition("-")[2]
        for selector in selectors
    ]

    assert found == ["two", "one", "two", "one"]


def test_kubectl_knows_the_short_name_the_category_and_the_manual(room: Runs) -> None:
    """`orch` and `perdure` find the resources, and `explain` reads like a manual."""
    room.create(MINIMAL)

    assert f"orchestration.perdure.dev/{room.name}" in room.kubectl("get", "perdure", "--output=name").split()
    manual = " ".join(room.kubectl("explain", "orch.spec.deletionPolicy").split())
    assert "Cancel Compensate Orphan" in manual
    assert "What becomes of an unfinished run when this resource is deleted." in manual


def test_a_status_write_touches_nothing_else_and_a_wrong_uid_nothing_at_all(room: Runs) -> None:
    """The projector's patch changes no generation, and fails on a resource of the same name that is another."""
    created = room.create(MINIMAL)
    room.show({"phase": "Running"}, uid=created["metadata"]["uid"])

    with pytest.raises(ClusterError):
        room.show({"phase": "Failed"}, uid="another")

    after = room.get()
    assert after["metadata"]["generation"] == created["metadata"]["generation"]
    assert after["status"]["phase"] == "Running"

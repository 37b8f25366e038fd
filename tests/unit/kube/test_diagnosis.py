"""What the doctor makes of what it reads, as tables: when it is well, when somebody should know, when it has failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import yaml

from perdure._kube import conditions, crds, diagnosis
from perdure._kube.diagnosis import Worker
from perdure._kube.election import Claim
from perdure._kube.verdict import CONDITIONS, State, Verdict
from perdure._kube.waiting import Waiting

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HERE, THERE = UUID(int=1), UUID(int=2)
SCHEMAS: dict[str, Any] = {
    (spec := yaml.load(text, yaml.CSafeLoader)["spec"])["names"]["kind"]: spec["versions"][0]["schema"][
        "openAPIV3Schema"
    ]
    for text in crds.render_all().values()
}


@pytest.mark.parametrize(
    ("version", "is_read_only", "result"),
    [(150_000, False, "ok"), (180_004, False, "ok"), (140_011, False, "failed"), (160_001, True, "failed")],
)
def test_a_database_is_new_enough_and_takes_writes(version: int, is_read_only: bool, result: str) -> None:  # noqa: FBT001 - a row
    """An old server and a standby are told apart from one that will do."""
    finding = diagnosis.postgres("postgresql://db", version, is_read_only=is_read_only)

    assert (finding.result, bool(finding.todo)) == (result, result != "ok")


@pytest.mark.parametrize(("ahead", "result", "found"), [(0.2, "ok", "ahead of"), (-9.0, "warning", "9.0 s behind")])
def test_a_clock_that_is_wrong_is_worth_a_warning(ahead: float, result: str, found: str) -> None:
    """No more than that: the database's clock decides."""
    finding = diagnosis.clock(ahead)

    assert finding.result == result
    assert found in finding.found


@pytest.mark.parametrize(
    ("tied_to", "this", "adopted", "result"),
    [
        (None, HERE, None, "ok"),
        (HERE, HERE, None, "ok"),
        (HERE, None, None, "ok"),
        (THERE, HERE, None, "failed"),
        (THERE, HERE, THERE, "warning"),
    ],
)
def test_a_database_of_another_cluster_is_found(
    tied_to: UUID | None, this: UUID | None, adopted: UUID | None, result: str
) -> None:
    """Unless that is meant: `PERDURE_ADOPT_CLUSTER` names it."""
    assert diagnosis.owner(tied_to, this, adopted=adopted).result == result


@pytest.mark.parametrize(
    ("version", "result"),
    [
        ({"major": "1", "minor": "36", "gitVersion": "v1.36.0"}, "ok"),
        ({"major": "1", "minor": "30+", "gitVersion": "v1.30.1-eks"}, "ok"),
        ({"major": "1", "minor": "29"}, "failed"),
        ({}, "ok"),
    ],
)
def test_an_api_server_is_new_enough(version: dict[str, Any], result: str) -> None:
    """Clouds write a plus behind the number; what says nothing is not judged."""
    assert diagnosis.kubernetes(version).result == result


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_definition_is_compared_field_by_field(kind: str) -> None:
    """The own one is the same, one with less is older, one with more is newer, and there may be none."""
    ours = SCHEMAS[kind]
    spec = ours["properties"]["spec"]
    (dropped, *_) = spec["properties"]
    kept = {name: below for name, below in spec["properties"].items() if name != dropped}
    older = {"properties": {**ours["properties"], "spec": {**spec, "properties": kept}}}

    same, old, new, none = (
        diagnosis.definition(kind, ours=mine, served=served)
        for mine, served in ((ours, ours), (ours, older), (older, ours), (ours, None))
    )

    assert [one.result for one in (same, old, new, none)] == ["ok", "failed", "warning", "failed"]
    assert f"lacks spec.{dropped}" in old.found
    assert f"has spec.{dropped}" in new.found


def test_fields_below_lists_and_maps_are_named() -> None:
    """What every object has is not compared: it is Kubernetes' own."""
    leaf: dict[str, Any] = {"properties": {"leaf": {"type": "string"}}}
    schema: dict[str, Any] = {
        "properties": {
            "metadata": leaf,
            "spec": {"properties": {"list": {"items": leaf}, "map": {"additionalProperties": leaf}}},
        }
    }

    assert list(diagnosis.fields(schema)) == ["spec", "spec.list", "spec.list.leaf", "spec.map", "spec.map.leaf"]


@pytest.mark.parametrize(
    ("namespace", "is_allowed", "result"),
    [("", False, "ok"), ("", True, "warning"), ("shop", True, "ok"), ("shop", False, "warning")],
)
def test_the_right_to_act_for_runs_is_best_given_by_namespace(namespace: str, is_allowed: bool, result: str) -> None:  # noqa: FBT001 - a row
    """In the whole cluster it is too much; in a namespace that is watched, none may be too little."""
    assert diagnosis.impersonation(namespace, is_allowed=is_allowed).result == result


def test_workers_are_listed_and_missed() -> None:
    """None at all, or none with a cluster where runs of resources need one."""
    one = Worker("host pid 1", NOON, has_cluster=False, offered=3, queues=["gpu"])

    alone = list(diagnosis.workers([one], needs_cluster=False))
    lacking = list(diagnosis.workers([one], needs_cluster=True))
    (nobody,) = diagnosis.workers([], needs_cluster=True)

    assert [finding.found for finding in alone] == ["host pid 1: 3 orchestrations, queues gpu, without a cluster"]
    assert [finding.result for finding in lacking] == ["ok", "failed"]
    assert nobody.result == "failed"


@pytest.mark.parametrize(
    ("claim", "result"),
    [
        (None, "failed"),
        (Claim(), "failed"),
        (Claim("a", 15.0, renewed=(NOON - timedelta(seconds=14)).isoformat()), "ok"),
        (Claim("a", 15.0, renewed=(NOON - timedelta(seconds=21)).isoformat()), "failed"),
        (Claim("a", 15.0, renewed=(NOON + timedelta(hours=1)).isoformat()), "ok"),
        (Claim("a", 15.0, renewed="once"), "warning"),
    ],
    ids=["no Lease", "released", "held", "over", "a clock ahead", "no time"],
)
def test_a_leader_is_there_or_missed(claim: Claim | None, result: str) -> None:
    """By a Lease whose times are another's, so a moment too long is not told of."""
    assert diagnosis.leader("Lease a/b", claim, now=NOON).result == result


@pytest.mark.parametrize(
    ("state", "phase", "waits", "result"),
    [
        ("UnderWay", "Running", [Waiting("Signal", "approved")], "ok"),
        ("UnderWay", "Running", [Waiting("Timer", until=NOON)], "ok"),
        ("UnderWay", "Running", [Waiting("Queue", "gpu")], "warning"),
        ("Completed", "Completed", [], "ok"),
        ("Stuck", "OnHold", [], "failed"),
        ("Failed", "Failed", [], "failed"),
    ],
)
def test_a_run_that_does_not_move_says_why(state: State, phase: str, waits: list[Waiting], result: str) -> None:
    """Who waits for a signal or for the time is well; who waits for a worker, is held or has failed is not."""
    finding = diagnosis.run(
        "shop/db", "shop/db:1", judged=Verdict(phase, CONDITIONS[state], "Why", "Because."), waits=waits
    )

    assert finding.result == result
    assert finding.found.startswith(f"{phase}, Why: Because.")
    assert all(wait.kind.lower() in finding.found for wait in waits)
    assert ("perdure get shop/db:1" in finding.todo) == (result != "ok")


@pytest.mark.parametrize(
    ("state", "generation", "result", "found"),
    [
        ("Waiting", 3, "ok", "Why: Because."),
        ("Done", 3, "ok", "Why: Because."),
        ("Stuck", 3, "failed", "Why: Because."),
        ("Done", 2, "warning", "generation 3 is not taken in; Why: Because."),
        (None, 3, "warning", "not taken in"),
    ],
)
def test_a_signal_or_a_schedule_says_what_its_status_says(
    state: conditions.State | None, generation: int, result: str, found: str
) -> None:
    """Who waits is well; what is stuck is not, and what no controller has seen is told."""
    resource: dict[str, Any] = {"metadata": {"generation": 3}}
    if state is not None:
        states = conditions.STATES[state]
        said = conditions.build(
            states, reason="Why", message="Because.", generation=generation, previous={}, at=lambda *_: NOON
        )
        resource["status"] = {"conditions": said}

    finding = diagnosis.shown("signal/shop/go", resource)

    assert (finding.result, finding.found) == (result, found)

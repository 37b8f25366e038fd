"""The OrchestrationSchedule CRD on a real API server: what it takes, refuses, fills in and shows, with no operator.

Each rule that the schema cannot say but CEL can has a spec here that breaks it, and one beside it that does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.e2e.room import Room

ROOT = Path(__file__).parents[2]
RUN: dict[str, Any] = {"orchestration": "workflows::orchestration::demo"}
MINIMAL: dict[str, Any] = {"cron": "*/5 * * * *", "orchestrationTemplate": {"spec": RUN}}


class Schedules(Room):
    """One of the kind."""

    kind = "OrchestrationSchedule"
    short = "orchsched"


@pytest.fixture
def room(cluster: Cluster, shared_namespace: str) -> Schedules:
    """Give a name of one's own."""
    return Schedules(cluster, shared_namespace)


def test_what_is_not_said_is_filled_in_as_a_cron_job_has_it(room: Schedules) -> None:
    """The defaults are those people know, the template gets those of an Orchestration, and nothing is Current yet."""
    created = room.create(MINIMAL)

    assert {key: value for key, value in created["spec"].items() if key not in MINIMAL} == {
        "timeZone": "UTC",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulRunsHistoryLimit": 3,
        "failedRunsHistoryLimit": 1,
        "catchUpLimit": 1,
    }
    assert created["spec"]["orchestrationTemplate"]["spec"]["deletionPolicy"] == "Cancel"
    assert created["status"]["observedGeneration"] == -1
    assert [(item["type"], item["status"]) for item in created["status"]["conditions"]] == [("Ready", "Unknown")]


CRONS = ["* * * * *", "0 3 * * MON-FRI", "0 0 L * *", "0 9 * * MON#1", " 0  0 1 1 * ", "@hourly", "@daily", "@yearly"]


@pytest.mark.parametrize("cron", CRONS)
def test_every_kind_of_cron_is_taken(room: Schedules, cron: str) -> None:
    """Five fields, or one of the names."""
    assert room.create(MINIMAL | {"cron": cron})["spec"]["cron"] == cron


def template(**fields: Any) -> dict[str, Any]:
    """Give a spec with another template."""
    return MINIMAL | {"orchestrationTemplate": {"spec": RUN} | fields}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "spec.cron: Required value"),
    ({"cron": "@daily"}, "spec.orchestrationTemplate: Required value"),
    (MINIMAL | {"cron": ""}, "spec.cron"),
    (MINIMAL | {"cron": "* * * *"}, "cron needs five fields"),
    (MINIMAL | {"cron": "0 * * * * *"}, "There are no seconds"),
    (MINIMAL | {"cron": "@every 1h"}, "cron needs five fields"),
    (MINIMAL | {"cron": "@reboot"}, "cron needs five fields"),
    (MINIMAL | {"cron": "TZ=UTC * * * *"}, "a time zone goes into timeZone"),
    (MINIMAL | {"cron": "CRON_TZ=UTC * * * * *"}, "a time zone goes into timeZone"),
    (MINIMAL | {"timeZone": ""}, "spec.timeZone"),
    (MINIMAL | {"timeZone": "../etc"}, "spec.timeZone in body should match"),
    (MINIMAL | {"concurrencyPolicy": "Queue"}, 'supported values: "Allow", "Forbid", "Replace"'),
    (MINIMAL | {"startingDeadlineSeconds": 0}, "spec.startingDeadlineSeconds"),
    (MINIMAL | {"successfulRunsHistoryLimit": -1}, "spec.successfulRunsHistoryLimit"),
    (MINIMAL | {"failedRunsHistoryLimit": 1001}, "spec.failedRunsHistoryLimit"),
    (MINIMAL | {"catchUpLimit": 0}, "spec.catchUpLimit"),
    (MINIMAL | {"catchUpLimit": 101}, "spec.catchUpLimit"),
    (MINIMAL | {"jitterSeconds": 86401}, "spec.jitterSeconds"),
    (MINIMAL | {"schedule": "@daily"}, 'unknown field "spec.schedule"'),
    (template(spec={}), "spec.orchestrationTemplate.spec.orchestration: Required value"),
    (template(spec=RUN | {"version": "1"}), "spec.orchestrationTemplate.spec.version"),
    (template(spec=RUN | {"cancel": {"reason": "no"}}), "cancel has no place in a template"),
    (template(spec=RUN | {"inputFrom": [{"path": "a"}]}), "name exactly one source"),
    (template(metadata={"labels": {"perdure.dev/schedule": "x"}}), "labels that begin with perdure.dev/"),
    (template(metadata={"annotations": {"perdure.dev/x": "x"}}), "annotations that begin with perdure.dev/"),
    (template(metadata={"labels": {"a": "not a label"}}), "spec.orchestrationTemplate.metadata.labels"),
    (template(metadata={"name": "mine"}), 'unknown field "spec.orchestrationTemplate.metadata.name"'),
]


@pytest.mark.parametrize(("spec", "complaint"), REFUSED, ids=[f"{at} {words}" for at, (_, words) in enumerate(REFUSED)])
def test_a_malformed_spec_is_refused_by_the_server(room: Schedules, spec: dict[str, Any], complaint: str) -> None:
    """What schema and rules can refuse never reaches the operator, and the message says what to write instead."""
    with pytest.raises(ClusterError) as refused:
        room.create(spec)

    assert complaint in str(refused.value)


def test_a_name_leaves_room_for_what_is_created(room: Schedules) -> None:
    """As with a CronJob 52 characters are taken, and 53 are not."""
    padding = "x" * (52 - len(room.name))

    room.create(MINIMAL, padding)
    with pytest.raises(ClusterError, match="at most 52 characters"):
        room.create(MINIMAL, padding + "x")


def test_everything_of_a_schedule_may_change(room: Schedules) -> None:
    """The template as well: what was created from it stays, and nothing else was started with it."""
    room.create(MINIMAL)

    changed = room.patch(
        {"cron": "@daily", "orchestrationTemplate": {"spec": {"orchestration": "other", "rerunPolicy": "OnChange"}}}
    )

    assert changed["spec"]["orchestrationTemplate"]["spec"]["orchestration"] == "other"


def test_labels_and_annotations_of_the_template_are_the_authors(room: Schedules) -> None:
    """Anything that is not ours is kept as it stands."""
    metadata = {"labels": {"team": "shop", "empty": ""}, "annotations": {"example.com/note": "any text, at all"}}

    assert room.create(template(metadata=metadata))["spec"]["orchestrationTemplate"]["metadata"] == metadata


def test_the_columns_say_when(room: Schedules) -> None:
    """`kubectl get orchsched`, and all resources of ours by their category."""
    room.create(MINIMAL)

    header, row = room.kubectl("get", "orchsched", room.name).splitlines()
    assert header.split() == ["NAME", "CRON", "ZONE", "SUSPEND", "ACTIVE", "LAST", "NEXT", "AGE"]
    assert row.split()[:8] == [room.name, "*/5", "*", "*", "*", "*", "UTC", "false"]
    assert room.name in room.kubectl("get", "perdure")


def test_the_example_is_taken(room: Schedules) -> None:
    """The schedule of the page can be applied as it stands there."""
    example = ROOT / "docs" / "examples" / "nightly-manifests.yaml"

    room.kubectl("apply", "--dry-run=server", "--validate=strict", f"--filename={example}")


def test_explain_reads_like_a_manual(room: Schedules) -> None:
    """Whoever knows a CronJob finds each field explained."""
    assert "IANA" in room.kubectl("explain", "orchestrationschedule.spec.timeZone")
    assert "spec of every Orchestration" in room.kubectl("explain", "orchsched.spec.orchestrationTemplate.spec")

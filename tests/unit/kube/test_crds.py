"""The rendered CRDs, read as data: what every structural schema must be, and what ours promises besides.

Whether a real API server takes them is shown in `tests/e2e/test_crd.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from perdure._kube import crds
from perdure._kube.api import orchestration

MAX_BYTES = 200_000


FILES = sorted(crds.render_all())
each_crd = pytest.mark.parametrize("file", FILES)


@functools.cache
def schema(file: str = "perdure.dev_orchestrations.yaml") -> dict[str, Any]:
    """Give the schema of a CRD, that of the Orchestration unless told otherwise."""
    version: dict[str, Any] = yaml.safe_load(crds.render_all()[file])["spec"]["versions"][0]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def walk(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every schema below this one with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from walk(node[key], f"{path}[]")


def test_each_crd_is_small() -> None:
    """A CRD that grows past 200 KB cannot be applied by kubectl any more."""
    assert {name: len(text) for name, text in crds.render_all().items() if len(text.encode()) > MAX_BYTES} == {}


@each_crd
def test_every_part_of_the_schema_is_structural(file: str) -> None:
    """Every field has a type, or says that it takes anything; nothing refers elsewhere or offers alternatives."""
    broken = [
        path
        for path, node in walk(schema(file))
        if not ({"type", "x-kubernetes-preserve-unknown-fields"} & set(node))
        or {"$ref", "$defs", "anyOf", "oneOf", "title", "propertyNames"} & set(node)
        or {"properties", "additionalProperties"} <= set(node)
    ]

    assert broken == []


@each_crd
def test_every_field_is_explained(file: str) -> None:
    """`kubectl explain` has a sentence for every field of spec and status."""
    unexplained = [
        path for path, node in walk(schema(file)) if path and not path.endswith("[]") and not node.get("description")
    ]

    assert unexplained == []


def test_the_spec_has_every_field_of_the_design() -> None:
    """The CRD is complete from its first release: fields are refused by condition, not by being unknown."""
    assert set(schema()["properties"]["spec"]["properties"]) == {
        "orchestration", "version", "input", "inputFrom", "serviceAccountName", "suspend", "cancel", "timeoutSeconds",
        "deletionPolicy", "rerunPolicy", "updatePolicy", "onNondeterminism", "ttlSecondsAfterFinished",
        "historyRetentionSeconds", "readyWhen",
    }  # fmt: skip


@each_crd
def test_a_fresh_resource_is_never_current(file: str) -> None:
    """The default status, put in on reading, keeps Helm and Flux waiting until an operator has looked."""
    default = schema(file)["properties"]["status"]["default"]

    assert default["observedGeneration"] == -1
    (ready,) = default["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")
    assert ready["lastTransitionTime"] == "1970-01-01T00:00:00Z"


def test_a_list_of_conditions_merges_and_a_list_of_steps_is_replaced() -> None:
    """Conditions are told apart by type; steps are atomic, which halves the API server's work."""
    status = schema()["properties"]["status"]["properties"]

    assert status["conditions"]["x-kubernetes-list-type"] == "map"
    assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert status["steps"]["x-kubernetes-list-type"] == "atomic"


def test_every_request_field_has_its_rule() -> None:
    """Each field that a run is started with is guarded by a rule that names it."""
    rules = schema()["properties"]["spec"]["x-kubernetes-validations"]

    assert [rule["fieldPath"] for rule in rules] == [
        f".{field}" for field in ("rerunPolicy", *orchestration.IMMUTABLE_FIELDS)
    ]
    assert all(rule["message"].startswith(rule["fieldPath"][1:]) for rule in rules)


@pytest.mark.parametrize(
    ("spec", "fields_set"),
    [
        ({"orchestration": "x"}, {"orchestration"}),
        ({"orchestration": "x", "input": None}, {"orchestration", "input"}),
        ({"orchestration": "x", "unknown": 1, "cancel": {}}, {"orchestration", "cancel"}),
    ],
)
def test_an_accepted_spec_reads_as_a_model(spec: dict[str, Any], fields_set: set[str]) -> None:
    """What the API server accepted is read, unknown fields of a newer CRD left aside; null differs from unset."""
    read = orchestration.OrchestrationSpec.model_validate(spec)

    assert read.orchestration == "x"
    assert read.model_fields_set == fields_set


def test_a_template_may_change() -> None:
    """The rules that keep a started run as it was are not those of a template that nothing was started from yet."""
    texts = crds.render_all()

    assert "oldSelf" in texts["perdure.dev_orchestrations.yaml"]
    assert "oldSelf" not in texts["perdure.dev_orchestrationschedules.yaml"]


def test_a_template_has_every_field_of_an_orchestration() -> None:
    """What can be applied by hand can be scheduled."""
    spec = schema("perdure.dev_orchestrationschedules.yaml")["properties"]["spec"]["properties"]
    template = spec["orchestrationTemplate"]["properties"]["spec"]["properties"]

    assert set(template) == set(schema()["properties"]["spec"]["properties"])

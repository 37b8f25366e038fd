"""What holds for every object, whatever the values: of its own names, found by labels, selected, and kept to the least.

What each value changes is said by the suites of the chart (`test_suites`).
"""

from __future__ import annotations

from typing import Any

import pytest

from perdure.settings import Settings
from tests.chart.rendering import EVERYTHING as ALL
from tests.chart.rendering import MATRIX, RELEASE, Manifest, Renderer, pods
from tests.tree import none_of

pytestmark = pytest.mark.slow


def variables(container: Manifest) -> dict[str, Any]:
    """Give the variables of a container: a value, or where it is from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def names(manifests: list[Manifest], kind: str) -> list[str]:
    """Name the objects of a kind."""
    return sorted(one["metadata"]["name"] for one in manifests if one["kind"] == kind)


@pytest.fixture(params=MATRIX)
def rendered(request: pytest.FixtureRequest, chart: Renderer) -> list[Manifest]:
    """Give the objects for each of the values that must do."""
    return chart.render(MATRIX[request.param])


# --- what holds for all values ---------------------------------------------------------------------------------------


def test_no_object_is_there_twice(rendered: list[Manifest]) -> None:
    """Kind, namespace and name are an object's own."""
    keys = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered]

    assert len(keys) == len(set(keys))


def test_every_object_can_be_found_by_its_labels(rendered: list[Manifest]) -> None:
    """Whatever was installed shows with one selector, but for what the user added."""
    none_of(
        f"{one['kind']}/{one['metadata']['name']}"
        for one in rendered
        if one["metadata"]["name"] not in {"extra", "text"}
        if one["metadata"].get("labels", {}).get("app.kubernetes.io/instance") != RELEASE
    )


def test_selectors_select_the_pods_they_are_for_and_no_others(rendered: list[Manifest]) -> None:
    """Each workload and each budget selects the pods of one template."""
    all_pods = {pod["metadata"]["name"]: pod["metadata"]["labels"].items() for pod in pods(rendered)}

    for one in rendered:
        if one["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            wanted = one["spec"]["selector"]["matchLabels"].items()
            assert [name for name, labels in all_pods.items() if wanted <= labels] == [one["metadata"]["name"]]


def test_every_variable_is_one_of_the_program(rendered: list[Manifest]) -> None:
    """The program refuses to start with one that it does not know; a Job that needs few gets no more."""
    known = {f"PERDURE_{field.upper()}" for field in Settings.model_fields}

    for pod in pods(rendered):
        for one in pod["spec"]["containers"]:
            given = {name for name in variables({"env": one.get("env", [])}) if name.startswith("PERDURE_")}
            assert given <= known, pod["metadata"]["name"]


def test_every_pod_keeps_to_the_least(rendered: list[Manifest]) -> None:
    """No root, nothing to write to but volumes, no token that is not used, no variables of Services."""
    for pod in pods(rendered):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["enableServiceLinks"] is False
        assert spec["automountServiceAccountToken"] is (not pod["metadata"]["name"].endswith(TOKENLESS))
        for one in spec["containers"]:
            assert one["securityContext"]["readOnlyRootFilesystem"] is True
            assert one["resources"]["requests"]


TOKENLESS = ("-postgres", "-migration", "-replay-check-default", "-replay-check-gpu", "-replay-check-operator")
"""Ends of the names of pods that never talk to the API server."""


# --- names -----------------------------------------------------------------------------------------------------------


def test_no_name_is_too_long(chart: Renderer) -> None:
    """Pods carry the names of their owners as labels, which have at most 63 characters."""
    values = {**ALL, "fullnameOverride": "x" * 60, "workers": {"a" * 13: {}}, "watchNamespaces": ["n" * 63] * 1}

    for one in chart.render(values):
        if one["kind"] in {"Deployment", "StatefulSet", "Job", "Service"}:
            assert len(one["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in one["metadata"].get("labels", {}).values())


def test_the_name_of_a_release_is_not_said_twice(chart: Renderer) -> None:
    """`perdure` and `my-perdure` stand for themselves, other names get the chart's; two namespaces never meet."""
    assert names(chart.render(name="my-perdure"), "Deployment") == ["my-perdure"]
    assert names(chart.render(name="prod"), "Deployment") == ["prod-perdure"]
    assert names(chart.render({"fullnameOverride": "x" * 80}), "Deployment") == ["x" * 36]
    one, other = (set(names(chart.render(namespace=name), "ClusterRole")) for name in ("a", "b"))
    assert not one & other

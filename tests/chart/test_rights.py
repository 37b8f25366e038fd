"""The roles of the chart grant what the operator's own list says (`rights.py`), place by place, and nothing else.

A test of the operator finds each right of the list used; so what is granted here is what is used.
"""

from __future__ import annotations

import pytest

from perdure._kube import rights
from tests.chart.rendering import Manifest, Renderer, Values, found

pytestmark = pytest.mark.slow

Verb = tuple[str, str, str]
"""API group, resource, verb."""

CLUSTER = "perdure-system:perdure"
RUNS: Values = {"impersonation": {"namespaces": ["team-a"]}}
NARROW: Values = {"watchNamespaces": ["team-a", "team-b"], **RUNS}
ALL_RUNS: Values = {"impersonation": {"allNamespaces": True}}


def granted(*roles: Manifest) -> set[Verb]:
    """Give what these roles allow."""
    return {verb for role in roles for verb in _of(role["rules"])}


def listed(where: rights.Where) -> set[Verb]:
    """Give what the list says for a place."""
    return set(_of(rights.rules(where)))


def _of(rules: list[Manifest]) -> list[Verb]:
    return [
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


@pytest.mark.parametrize(
    ("values", "kind", "name", "where"),
    [
        (RUNS, "ClusterRole", CLUSTER, "watched"),
        (RUNS, "ClusterRole", f"{CLUSTER}-identity", "cluster"),
        (RUNS, "Role", "perdure-leader", "own"),
        (RUNS, "Role", "perdure-impersonation", "runs"),
        (ALL_RUNS, "ClusterRole", f"{CLUSTER}-impersonation", "runs"),
    ],
    ids=["watched", "the cluster", "its own namespace", "where runs act", "where runs act: everywhere"],
)
def test_each_role_grants_what_is_listed_for_its_place(
    chart: Renderer, values: Values, kind: str, name: str, where: rights.Where
) -> None:
    """Verb by verb."""
    assert granted(found(chart.render(values), kind, name)) == listed(where)


def test_in_some_namespaces_each_role_grants_what_is_listed_for_what_is_watched(chart: Renderer) -> None:
    """With `watchNamespaces` the same stands in a Role of each of them."""
    roles = [one for one in chart.render(NARROW) if one["kind"] == "Role" and one["metadata"]["name"] == "perdure"]

    assert [role["metadata"]["namespace"] for role in roles] == ["team-a", "team-b"]
    assert [granted(role) for role in roles] == [listed("watched")] * 2


def test_the_operator_is_bound_to_no_other_role(chart: Renderer) -> None:
    """What is compared here is all that its ServiceAccount gets from the chart."""
    bindings = [one for one in chart.render(RUNS) if one["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    bound = {one["roleRef"]["name"] for one in bindings if one["subjects"][0]["name"] == "perdure"}

    assert bound == {CLUSTER, f"{CLUSTER}-identity", "perdure-leader", "perdure-impersonation"}


def test_rights_on_named_objects_are_on_these_alone(chart: Renderer) -> None:
    """The one namespace that tells which cluster this is."""
    assert found(chart.render(), "ClusterRole", f"{CLUSTER}-identity")["rules"] == rights.rules("cluster")

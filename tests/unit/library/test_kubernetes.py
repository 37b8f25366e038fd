"""What the activities around Kubernetes objects decide without a cluster."""

from __future__ import annotations

import dataclasses

import pytest

from activities.kubernetes import create_namespace, fencing, fields, roll_out, wait_for_condition
from activities.types import NamespaceInput
from perdure import ActivityContext, Manifest, errors
from perdure.testing import activity_context

WORKLOAD: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "generation": 2},
    "spec": {
        "template": {
            "spec": {
                "initContainers": [{"name": "prepare", "image": "tool:1"}],
                "containers": [{"name": "web", "image": "web:1", "ports": [80]}, {"name": "proxy", "image": "proxy:1"}],
            }
        }
    },
    "status": {"observedGeneration": 2, "conditions": [{"type": "Available", "status": "True", "reason": "Enough"}]},
}


def attempt(epoch: int) -> ActivityContext:
    """Give the context of an attempt that began at an epoch."""
    ctx = activity_context(instance_id="shop/pg:1")
    return dataclasses.replace(ctx, info=dataclasses.replace(ctx.info, epoch=epoch))


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({}, {"a": 1, "b": {"c": 2, "d": [3]}}),
        ({"a": None}, {"b": {"c": 2, "d": [3]}}),
        ({"b": {"c": None, "d": []}}, {"a": 1, "b": {"d": []}}),
        ({"a": {"e": 4, "f": None}}, {"a": {"e": 4}, "b": {"c": 2, "d": [3]}}),
        ({"z": None}, {"a": 1, "b": {"c": 2, "d": [3]}}),
    ],
    ids=str,
)
def test_a_patch_is_merged_as_the_api_server_does(patch: Manifest, result: Manifest) -> None:
    """Mappings are merged, null removes, everything else is replaced; the original stays as it was."""
    original: Manifest = {"a": 1, "b": {"c": 2, "d": [3]}}

    assert fields.merged(original, patch) == result
    assert original == {"a": 1, "b": {"c": 2, "d": [3]}}


def test_an_object_carries_the_epoch_of_who_wrote_it_and_refuses_those_before() -> None:
    """Equal is the same attempt and later is a successor; an earlier one is refused, and may be made again."""
    written = fencing.stamped(attempt(7), {"kind": "ConfigMap", "metadata": {"name": "colours"}})

    fencing.require_current(attempt(7), written)
    fencing.require_current(attempt(8), written)
    with pytest.raises(errors.StaleAttemptError, match=r"ConfigMap colours .* epoch 7; .* epoch 6") as caught:
        fencing.require_current(attempt(6), written)

    assert caught.value.retryable


@pytest.mark.parametrize("annotations", [{}, {fencing.ANNOTATION: "yesterday"}, {fencing.ANNOTATION: ""}], ids=str)
def test_an_object_without_a_readable_epoch_refuses_nobody(annotations: Manifest) -> None:
    """What was made before there were epochs, or by a person, is not out of reach."""
    fencing.require_current(attempt(1), {"metadata": {"annotations": annotations}})


def test_new_images_leave_the_rest_of_the_containers_alone() -> None:
    """Lists are replaced as a whole by a merge patch: so all of each container goes along."""
    patch = roll_out.with_images(WORKLOAD, {"web": "web:2", "prepare": "tool:2"})

    assert fields.mapping(patch, "spec", "template", "spec") == {
        "initContainers": [{"name": "prepare", "image": "tool:2"}],
        "containers": [{"name": "web", "image": "web:2", "ports": [80]}, {"name": "proxy", "image": "proxy:1"}],
    }


def test_a_container_that_is_not_there_is_refused_with_those_that_are() -> None:
    """A name that was misspelt changes nothing."""
    with pytest.raises(errors.NonRetryableError, match="no container wbe; it has prepare, web, proxy"):
        roll_out.with_images(WORKLOAD, {"wbe": "web:2"})


@pytest.mark.parametrize(
    ("changes", "state", "message"),
    [
        ({}, "ready", "Available is True (Enough)"),
        ({"metadata": {"generation": 3}}, "waiting", "condition Available is about an earlier generation"),
        ({"status": {"conditions": []}}, "waiting", "it has no condition Available"),
        ({"status": {"conditions": [{"type": "Available", "status": "Unknown"}]}}, "waiting", "Available is Unknown"),
        (
            {"status": {"conditions": [{"type": "Available", "status": "True", "observedGeneration": 1}]}},
            "waiting",
            "condition Available is about an earlier generation",
        ),
    ],
    ids=str,
)
def test_a_condition_counts_when_it_is_about_the_present_generation(
    changes: Manifest, state: str, message: str
) -> None:
    """What a controller said before it saw the last change is not believed."""
    verdict = wait_for_condition.judge(fields.merged(WORKLOAD, changes), "Available", status="true")

    assert (verdict.state, verdict.message) == (state, message)


def test_a_namespace_comes_with_what_was_asked_for() -> None:
    """Security level, quota, defaults and administrators; each only when it is named."""
    made = create_namespace.manifests(
        NamespaceInput(
            name="shop",
            labels={"team": "a"},
            quota={"pods": "5"},
            limits={"memory": "1Gi"},
            requests={"memory": "64Mi"},
            admins=["User:ann", "Group:shop", "ServiceAccount:ci/deployer"],
        )
    )

    assert [(one["kind"], fields.text(one, "metadata", "namespace")) for one in made] == [
        ("Namespace", ""), ("ResourceQuota", "shop"), ("LimitRange", "shop"), ("RoleBinding", "shop"),
    ]  # fmt: skip
    assert fields.mapping(made[0], "metadata", "labels") == {
        "team": "a",
        "pod-security.kubernetes.io/enforce": "restricted",
    }
    assert made[3]["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"},
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "shop"},
        {"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"},
    ]


def test_a_bare_namespace_is_one_object() -> None:
    """Nothing is made that nobody asked for."""
    assert [one["kind"] for one in create_namespace.manifests(NamespaceInput(name="shop"))] == ["Namespace"]

"""onboard-tenant from `kubectl apply` to its end: a real operator process, a real API server, signals as resources.

The resources are those of `docs/examples/onboard-tenant.yaml`, in the namespace of the test and for a tenant of it.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from activities.kubernetes import ownership
from tests.e2e.operator_process import until
from tests.e2e.operators import World
from tests.e2e.scene import Scene

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EXAMPLE = list(yaml.safe_load_all((Path(__file__).parents[2] / "docs/examples/onboard-tenant.yaml").read_text()))
RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")
RUN = "onboard-shop"


def example(scene: Scene, *, kinds: Iterable[str], payload: object = None, **input: object) -> str:
    """Give the objects of some kinds for this scene; with this as the payload, or added to the input."""
    found = []
    for each in copy.deepcopy(EXAMPLE):
        if each["kind"].startswith("ClusterRole"):
            each["metadata"]["name"] = f"onboarding-{scene.namespace}"
        else:
            each["metadata"]["namespace"] = scene.namespace
        if each["kind"] == "ClusterRoleBinding":
            each["roleRef"]["name"] = each["metadata"]["name"]
            each["subjects"][0]["namespace"] = scene.namespace
        if each["kind"] == "Orchestration":
            each["spec"]["input"] |= {"tenant": tenant_of(scene), **input}
        if each["kind"] == "OrchestrationSignal" and payload is not None:
            each["spec"]["payload"] = payload
        found += [each] if each["kind"] in kinds else []
    return yaml.safe_dump_all(found)


def tenant_of(scene: Scene) -> str:
    """Name the tenant of a scene."""
    return f"{scene.namespace}-tenant"


async def apply(scene: Scene, *kinds: str, **changes: Any) -> None:
    """Apply objects of the example."""
    await scene.kubectl("apply", "--filename=-", input=example(scene, kinds=kinds, **changes))


async def is_there(scene: Scene) -> bool:
    """Say whether the tenant has a namespace."""
    return bool(await scene.kubectl("get", "namespace", tenant_of(scene), "--ignore-not-found", "--output=name"))


@pytest_asyncio.fixture(loop_scope="module")
async def scene(library_world: World) -> AsyncIterator[Scene]:
    """Give a namespace whose ServiceAccount may onboard tenants, and remove what is made in the whole cluster."""
    scene = library_world.unused_scene()
    await apply(scene, *RIGHTS)
    yield scene
    await scene.kubectl("delete", "namespace", tenant_of(scene), "--ignore-not-found", "--wait=false")
    for kind in RIGHTS[1:]:
        await scene.kubectl("delete", kind, f"onboarding-{scene.namespace}")


async def test_a_tenant_gets_a_home_when_somebody_agrees(scene: Scene) -> None:
    """The run says what it waits for and makes nothing; after the signal there is all that was asked for."""
    await apply(scene, "Orchestration")
    waiting = await scene.shown(RUN, "waiting for the signal Approval until")
    assert waiting["customStatus"]["waitsFor"] == "Approval"
    assert not await is_there(scene)

    await apply(scene, "OrchestrationSignal")
    status = await scene.completed(RUN)

    assert (status["output"]["namespace"], status["output"]["approvedBy"]) == (tenant_of(scene), "ann")
    made = await scene.read("namespace", tenant_of(scene))
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    owner = ownership.instance_label(f"{scene.namespace}/{RUN}")
    assert made["metadata"]["labels"]["perdure.dev/instance"] == owner
    here = f"--namespace={tenant_of(scene)}"
    found = await scene.kubectl(here, "get", "quota,limits,rolebindings,networkpolicies", "--output=name")
    for name in ("quota/quota", "limitrange/defaults", "rolebinding.rbac", "/admins", "/default-deny"):
        assert name.removeprefix("quota/") in found


async def test_a_refusal_is_the_error_and_nothing_is_made(scene: Scene) -> None:
    """Who refused and why stands in the status."""
    await apply(scene, "Orchestration")
    await apply(scene, "OrchestrationSignal", payload={"approved": False, "by": "ann", "reason": "too big"})

    status = await scene.failed(RUN)

    assert "was refused by ann: too big" in status["error"]["message"]
    assert not await is_there(scene)


async def test_no_answer_in_time_is_a_refusal(scene: Scene) -> None:
    """The deadline is the input's."""
    await apply(scene, "Orchestration", approvalSeconds=1)

    status = await scene.failed(RUN)

    assert "Nobody has approved tenant" in status["error"]["message"]
    assert not await is_there(scene)


async def test_a_changed_spec_changes_the_same_namespace(scene: Scene) -> None:
    """The next run finds it as its own: quota and defaults are what is asked for now, former administrators are out."""
    await apply(scene, "Orchestration", requireApproval=False)
    first = await scene.completed(RUN)

    await apply(scene, "Orchestration", requireApproval=False, quota={"pods": "7"}, admins=[])
    await scene.shown(RUN, f"{scene.namespace}/{RUN}:2")
    second = await scene.completed(RUN)

    here = f"--namespace={tenant_of(scene)}"
    assert second["output"]["uid"] == first["output"]["uid"]
    hard = await scene.kubectl(here, "get", "quota", "quota", "--output=jsonpath={.spec.hard}")
    assert yaml.safe_load(hard) == {"pods": "7"}
    assert "admins" not in await scene.kubectl(here, "get", "rolebindings", "--output=name")


async def test_what_was_begun_and_fails_is_removed_again(scene: Scene) -> None:
    """A quota that the API server refuses: the error stays, the namespace goes."""
    await apply(scene, "Orchestration", requireApproval=False, quota={"pods": "many"})

    status = await scene.failed(RUN)

    assert "ResourceQuota" in status["error"]["message"] or "quota" in status["error"]["message"]
    left = await scene.kubectl("get", "namespace", tenant_of(scene), "--ignore-not-found", "--output=yaml")
    assert not left or "deletionTimestamp" in left


async def test_a_namespace_of_somebody_else_is_left_alone(scene: Scene) -> None:
    """Neither changed nor, when the run fails of it, removed."""
    await scene.kubectl("create", "namespace", tenant_of(scene))
    await apply(scene, "Orchestration", requireApproval=False)

    status = await scene.failed(RUN)

    assert "was not made by a run of Perdure" in status["error"]["message"]
    made = await scene.read("namespace", tenant_of(scene))
    assert "deletionTimestamp" not in made["metadata"]
    assert "perdure.dev/instance" not in made["metadata"].get("labels", {})


@pytest.mark.parametrize(("stuck_at", "policy"), [("rolebindings", "Compensate"), ("networkpolicies", "Cancel")])
async def test_a_tenant_whose_resource_is_deleted_midway_leaves_nothing(
    scene: Scene, stuck_at: str, policy: str
) -> None:
    """Within a step or between two: the namespace that is there already goes, and with it all that was in it."""
    await may_not(scene, "create", stuck_at)
    await apply(scene, "Orchestration", requireApproval=False)
    await scene.kubectl("patch", "orch", RUN, "--type=merge", f'--patch={{"spec": {{"deletionPolicy": "{policy}"}}}}')
    await scene.shown(RUN, f"may not create {stuck_at}")
    assert await is_there(scene)

    await scene.kubectl("delete", "orchestration", RUN, "--timeout=120s")

    async def is_gone() -> bool:
        return not await is_there(scene)

    await until(is_gone)


async def may_not(scene: Scene, verb: str, resource: str) -> None:
    """Take one right away from whoever onboards."""
    [role] = yaml.safe_load_all(example(scene, kinds=["ClusterRole"]))
    for rule in role["rules"]:
        if resource in rule["resources"]:
            rule["verbs"].remove(verb)
    await scene.kubectl("apply", "--filename=-", input=yaml.safe_dump(role))

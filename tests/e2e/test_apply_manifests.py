"""apply-manifests from `kubectl apply` to its end: objects in order, each one ready before the next.

The run acts as a ServiceAccount that may do everything in its namespace and nothing outside it. Only objects that need
no image are used, so that the test says the same wherever it runs.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.e2e.operators import World
from tests.e2e.scene import Scene

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"sky": "blue"}}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}
POD_IN_VAIN = {
    "restartPolicy": "Never",
    "schedulingGates": [{"name": "example.com/hold"}],
    "containers": [{"name": "load", "image": "example.invalid/none"}],
}
JOB_IN_VAIN = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "load"},
    "spec": {"activeDeadlineSeconds": 1, "template": {"spec": POD_IN_VAIN}},
}


def run(name: str, *manifests: dict[str, Any], **input: object) -> str:
    """Give the resource of a run."""
    return yaml.safe_dump(
        {
            "apiVersion": "perdure.dev/v1alpha1",
            "kind": "Orchestration",
            "metadata": {"name": name},
            "spec": {
                "orchestration": "workflows::orchestration::apply-manifests",
                "serviceAccountName": "runner",
                "input": {"manifests": list(manifests), **input},
            },
        }
    )


@pytest_asyncio.fixture(loop_scope="module")
async def scene(library_world: World) -> Scene:
    """Give a namespace with a ServiceAccount that may do everything in it."""
    scene = library_world.unused_scene()
    await scene.kubectl("create", "serviceaccount", "runner")
    account = f"--serviceaccount={scene.namespace}:runner"
    await scene.kubectl("create", "rolebinding", "runner", "--clusterrole=admin", account)
    return scene


async def test_manifests_are_applied_in_order_and_named_in_the_output(scene: Scene) -> None:
    """The output names every object with its uid."""
    await scene.kubectl("apply", "--filename=-", input=run("web", CONFIG, SERVICE))

    status = await scene.completed("web")

    applied = [(each["kind"], each["name"], each["namespace"]) for each in status["output"]["objects"]]
    assert applied == [("ConfigMap", "colours", scene.namespace), ("Service", "web", scene.namespace)]
    assert status["output"]["objects"][1]["uid"] == (await scene.read("service", "web"))["metadata"]["uid"]


async def test_a_failed_job_ends_the_run_with_its_reason(scene: Scene) -> None:
    """What comes after a failed Job is not applied, and nobody waits in vain."""
    await scene.kubectl("apply", "--filename=-", input=run("load", JOB_IN_VAIN, CONFIG))

    status = await scene.failed("load")

    assert "Job load in namespace" in status["error"]["message"]
    assert "DeadlineExceeded" in status["error"]["message"]
    assert "colours" not in await scene.kubectl("get", "configmaps", "--output=name")


async def test_objects_of_an_earlier_run_are_taken_over_only_when_the_input_says_so(scene: Scene) -> None:
    """A second run with other manifests says `takeOver`, or fails with the name of the first."""
    await scene.kubectl("apply", "--filename=-", input=run("first", CONFIG))
    await scene.completed("first")

    changed = {**CONFIG, "data": {"sky": "red"}}
    await scene.kubectl("apply", "--filename=-", input=run("second", changed))
    await scene.kubectl("apply", "--filename=-", input=run("third", changed, takeOver=True))

    assert "takeOver: true" in (await scene.failed("second"))["error"]["message"]
    await scene.completed("third")
    assert (await scene.read("configmap", "colours"))["data"] == {"sky": "red"}


async def test_a_secret_in_a_manifest_is_refused(scene: Scene) -> None:
    """The run fails before anything is applied, and says where the Secret stands in the list."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "door"}, "stringData": {"key": "hunter2"}}
    await scene.kubectl("apply", "--filename=-", input=run("door", CONFIG, secret))

    status = await scene.failed("door")

    assert "manifests.1: " in status["error"]["message"]
    assert "hunter2" not in str(status)
    assert "colours" not in await scene.kubectl("get", "configmaps", "--output=name")

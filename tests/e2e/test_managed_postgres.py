"""A Postgres server that is looked after: made, mended and removed by the operator, on a real API server.

The connection is left out, as the operator of these tests runs outside the cluster; see `test_create_postgres`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from perdure import errors
from perdure.client import Client
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import until
from tests.e2e.operators import World
from tests.e2e.scene import Scene
from tests.e2e.test_create_postgres import example

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

MANAGED = Path(__file__).parents[2] / "docs" / "examples" / "managed-postgres.yaml"
OBJECTS = "statefulset/orders", "service/orders", "secret/orders-credentials"


def managed(**spec: Any) -> str:
    """Give the resource of the page, with a short period and without the connection."""
    manifest = yaml.safe_load(MANAGED.read_text())
    manifest["spec"] |= spec
    manifest["spec"]["input"] |= {"verifyConnection": False, "periodSeconds": 1}
    return yaml.safe_dump(manifest)


@pytest.fixture(scope="module", autouse=True)
def images(cluster: Cluster) -> None:
    """Bring the image into a cluster that really runs it and has no network."""
    if cluster.has_kubelet:
        cluster.load_image("postgres:18")


@pytest.fixture
def scene(library_world: World) -> Scene:
    """Give a namespace with nothing in it."""
    return library_world.unused_scene()


async def there(scene: Scene) -> set[str]:
    """Name what there is of the server."""
    found = await scene.kubectl("get", "--ignore-not-found", "--output=name", *OBJECTS)
    return {line.replace(".apps", "") for line in found.split()}


async def looked_after(scene: Scene) -> None:
    """Make a managed server, and wait until it is as it should be."""
    await scene.kubectl("apply", "-f-", input=example(kinds=["ServiceAccount", "Role", "RoleBinding"]))
    await scene.kubectl("apply", "-f-", input=managed())
    await scene.shown("orders", "all of it is there")


async def test_what_is_deleted_by_hand_comes_back_and_the_status_says_so(scene: Scene) -> None:
    """The actor finds within its period that the Service is gone, makes it again, and tells what it did."""
    await looked_after(scene)

    await scene.kubectl("delete", "service/orders")
    status = await scene.shown("orders", '"lastHealed": "Service"')

    assert status["customStatus"]["healed"] >= 1
    assert await there(scene) == set(OBJECTS)


async def test_what_is_changed_by_hand_is_put_right(scene: Scene) -> None:
    """A StatefulSet that somebody has scaled to nothing is scaled back."""
    await looked_after(scene)

    await scene.kubectl("scale", "statefulset/orders", "--replicas=0")
    await scene.shown("orders", "replicas")

    async def is_back() -> bool:
        return bool((await scene.read("statefulset", "orders"))["spec"]["replicas"] == 1)

    await until(is_back)


async def test_a_changed_resource_changes_its_server(scene: Scene) -> None:
    """With `updatePolicy: Signal` the run hears of it, and the server has the setting."""
    await looked_after(scene)
    patch = '{"spec": {"input": {"parameters": {"work_mem": "64MB"}}}}'

    await scene.kubectl("patch", "orchestration/orders", "--type=merge", f"--patch={patch}")

    async def has_it() -> bool:
        return "work_mem=64MB" in str((await scene.read("statefulset", "orders"))["spec"])

    await until(has_it)
    assert (await scene.read("orchestration", "orders"))["status"]["instanceId"].endswith(":1")


async def test_deleting_the_resource_removes_the_server_in_order(library_world: World, scene: Scene) -> None:
    """`Compensate` keeps the resource until nothing is left; the inventory knows when it went, and the name is free."""
    await looked_after(scene)

    await scene.kubectl("delete", "orchestration/orders", "--timeout=120s")

    assert await there(scene) == set()
    query = "select state, released_at is not null as is_free from inventory.servers where namespace = $1"
    [server] = await library_world.database.fetch(query, scene.namespace)
    assert dict(server) == {"state": "deleted", "is_free": True}


async def test_a_creation_that_is_deleted_midway_leaves_nothing(scene: Scene) -> None:
    """A server that does not become ready is given up: the objects that were made for it go with the resource."""
    await scene.kubectl("create", "quota", "hold", "--hard=count/pods=0")
    await scene.kubectl("apply", "-f-", input=example(kinds=["ServiceAccount", "Role", "RoleBinding"]))
    kept = yaml.safe_load(example(kinds=["Orchestration"]))
    kept["spec"]["deletionPolicy"] = "Compensate"
    await scene.kubectl("apply", "-f-", input=yaml.safe_dump(kept))
    await scene.shown("orders-db", "wait-for-postgres")

    await scene.kubectl("delete", "orchestration/orders-db", "--timeout=120s")

    assert await there(scene) == set()


async def may_not_create_statefulsets(scene: Scene, **spec: Any) -> None:
    """Apply the example with all rights but one, and wait until the error says so."""
    role = example(kinds=["ServiceAccount", "Role", "RoleBinding"])
    await scene.kubectl("apply", "-f-", input=role)
    lacking = [each for each in yaml.safe_load_all(role) if each["kind"] == "Role"]
    lacking[0]["rules"] = [rule for rule in lacking[0]["rules"] if "statefulsets" not in rule["resources"]]
    lacking[0]["rules"].append({"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get"]})
    await scene.kubectl("apply", "-f-", input=yaml.safe_dump_all(lacking))
    [run] = yaml.safe_load_all(example(kinds=["Orchestration"], cleanUp=False))
    run["spec"] |= spec
    await scene.kubectl("apply", "-f-", input=yaml.safe_dump(run))
    said = f"provisioner may not create statefulsets of API group 'apps' in namespace {scene.namespace}"
    await scene.shown("orders-db", said)


async def test_a_right_that_is_missing_is_named_and_the_work_goes_on_when_it_is_given(
    library_world: World, scene: Scene
) -> None:
    """Resumed, the step that failed is done again, and none before it: the Secret is the one that was made before."""
    await may_not_create_statefulsets(scene)
    made = await scene.read("secret", "orders-credentials")

    await scene.kubectl("apply", "-f-", input=example(kinds=["Role"]))
    async with await Client.connect(library_world.dsn) as client:
        await client.resume_instance(f"{scene.namespace}/orders-db:1")
    await scene.completed("orders-db")

    assert (await scene.read("secret", "orders-credentials"))["data"] == made["data"]


async def test_a_run_that_failed_of_a_missing_right_is_followed_by_one_that_goes_on(
    library_world: World, scene: Scene
) -> None:
    """The next run of a changed request finds done what has been done, and makes what is missing."""
    await may_not_create_statefulsets(scene, rerunPolicy="OnChange")
    async with await Client.connect(library_world.dsn) as client:

        async def has_failed() -> bool:
            try:
                await client.resume_instance(f"{scene.namespace}/orders-db:1")
            except errors.InstanceFinishedError:
                return True
            return False

        await until(has_failed)
    failed = await scene.failed("orders-db")
    made = await scene.read("secret", "orders-credentials")

    await scene.kubectl("apply", "-f-", input=example(kinds=["Role"]))
    change = '{"spec": {"input": {"parameters": {"work_mem": "64MB"}}}}'
    await scene.kubectl("patch", "orchestration/orders-db", "--type=merge", f"--patch={change}")
    await scene.shown("orders-db", "orders-db:2")
    await scene.completed("orders-db")

    assert "may not create statefulsets" in failed["error"]["message"]
    assert (await scene.read("secret", "orders-credentials"))["data"] == made["data"]

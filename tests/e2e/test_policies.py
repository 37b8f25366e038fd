"""Every policy of a resource, as people meet it: with a real operator, a real API server, a real database.

What is decided in which case is tested as a table (`tests/unit/core/test_desired.py`); here each policy is seen to work
once, from `kubectl apply` to what the status says and the cluster holds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from perdure._kube.api.orchestration import API_VERSION, FINALIZER, KIND
from perdure._kube.client import Api
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import until
from tests.e2e.operators import World
from tests.e2e.scene import Scene
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

HOUR = 3600


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give a namespace and a database with an operator that gives compensation three seconds."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes")) as world:
        await world.operator(CANCEL_GRACE_SECONDS="3")
        yield world


async def exists(world: World, name: str) -> bool:
    """Tell whether a resource is there."""
    return bool(await world.scene.kubectl("get", "orch", name, "--ignore-not-found", "--output=name"))


async def is_gone(world: World, name: str) -> None:
    """Wait until a resource is no more."""

    async def gone() -> bool:
        return not await exists(world, name)

    await until(gone)


def ready(status: dict[str, object]) -> tuple[str, str]:
    """Give what kstatus looks at: Ready and Reconciling."""
    conditions = status["conditions"]
    assert isinstance(conditions, list)
    found = {condition["type"]: condition["status"] for condition in conditions}
    return found["Ready"], found["Reconciling"]


async def test_a_suspended_resource_waits_for_its_release(world: World) -> None:
    """Nothing runs and nothing has failed; released, it completes."""
    await world.apply("paused", suspend=True)
    status = await world.scene.shown("paused", "spec.suspend")
    noted = world.notes("paused")
    await world.apply("paused")

    assert (status["phase"], ready(status), noted) == ("Suspended", ("False", "True"), [])
    assert (await world.scene.completed("paused"))["output"] == {"done": 3}


async def test_a_run_that_takes_too_long_has_failed(world: World) -> None:
    """With a reason of its own."""
    await world.apply("late", flow="wait", input=HOUR, timeoutSeconds=1)

    status = await world.scene.failed("late")

    assert status["error"]["code"] == "PERDURE-1223"
    assert "RunTimedOut" in json.dumps(status["conditions"])


async def test_a_changed_request_runs_when_the_present_run_has_ended(world: World) -> None:
    """The status says that it waits, then shows the next run of the same resource."""
    await world.apply("again", flow="wait", input=HOUR, rerunPolicy="OnChange")
    await world.scene.shown("again", "a timer at")
    await world.apply("again", flow="wait", input=0, rerunPolicy="OnChange")
    await world.scene.shown("again", "A changed request waits")
    before = await world.instances("again")
    await world.database.execute(
        "insert into inbox (instance_id, kind, payload) values ($1, 'Cancel', '{}')", f"{world.scene.namespace}/again:1"
    )
    await world.database.execute(
        "update instances set wake_at = now() where instance_id = $1", f"{world.scene.namespace}/again:1"
    )

    status = await world.scene.shown("again", "again:2")
    await world.in_phase("again:2", "Completed")

    assert before == {"again:1": "Running"}
    assert status["observedGeneration"] == 2


async def test_a_change_may_cancel_the_present_run(world: World) -> None:
    """It ends first, then the next one begins."""
    await world.apply("instead", flow="wait", input=HOUR, rerunPolicy="OnChange", updatePolicy="CancelCurrent")
    await world.scene.shown("instead", "a timer at")
    await world.apply("instead", flow="wait", input=0, rerunPolicy="OnChange", updatePolicy="CancelCurrent")
    await world.in_phase("instead:2", "Completed")

    assert await world.instances("instead") == {"instead:1": "Cancelled", "instead:2": "Completed"}


async def test_a_run_that_serves_is_ready_and_is_told_of_changes(world: World) -> None:
    """Ready follows what its code says, and a changed input reaches it as the signal `update`."""

    async def apply(steps: int) -> None:
        work = {"folder": str(world.folder), "steps": steps}
        await world.apply(
            "served", flow="keep", input=work, readyWhen="Custom", rerunPolicy="OnChange", updatePolicy="Signal"
        )

    await apply(3)
    first = await world.scene.shown("served", "3 steps are kept")
    await world.scene.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "orchestration/served")
    await apply(5)
    second = await world.scene.shown("served", "5 steps are kept")

    assert (ready(first), ready(second)) == (("True", "False"), ("True", "False"))
    assert await world.instances("served") == {"served:1": "Running"}


async def test_a_deletion_waits_for_the_compensation(world: World) -> None:
    """The finalizer is there before the run begins; the resource goes when the run has ended, which compensated."""
    await world.apply("undone", flow="keep", input={"folder": str(world.folder)}, deletionPolicy="Compensate")
    await world.scene.shown("undone", "signal update")
    finalizers = (await world.scene.read("orchestration", "undone"))["metadata"]["finalizers"]

    await world.scene.kubectl("delete", "orchestration", "undone", "--timeout=60s")

    assert finalizers == [FINALIZER]
    assert await world.instances("undone") == {"undone:1": "Cancelled"}
    assert len(world.notes("undone")) == 2


async def test_a_compensation_that_hangs_is_ended_and_lets_the_resource_go(world: World) -> None:
    """While it goes on, the status says what keeps the resource, and until when."""
    await world.apply("hanging", flow="linger", deletionPolicy="Compensate")
    await world.scene.shown("hanging", "signal never")
    await world.scene.kubectl("delete", "orchestration", "hanging", "--wait=false")
    status = await world.scene.shown("hanging", "Compensating")

    await is_gone(world, "hanging")

    assert "it is ended by force" in json.dumps(status)
    await world.in_phase("hanging:1", "Cancelled")


async def test_an_orphan_goes_on_without_its_resource(world: World) -> None:
    """Nobody tells it anything."""
    await world.apply("orphan", flow="wait", input=HOUR, deletionPolicy="Orphan")
    await world.scene.shown("orphan", "a timer at")
    await world.delete("orphan")
    await world.apply("orphan-after")
    await world.scene.completed("orphan-after")

    assert await world.instances("orphan") == {"orphan:1": "Running"}


async def test_a_resource_goes_after_its_time_and_comes_back_without_another_run(world: World) -> None:
    """GitOps applies it again: it adopts the finished run, and stays; a changed request runs."""
    await world.apply("expiring", ttlSecondsAfterFinished=0)
    await is_gone(world, "expiring")
    await world.apply("expiring", ttlSecondsAfterFinished=0)
    adopted = await world.scene.completed("expiring")
    once = await world.instances("expiring")
    await world.apply("beside", ttlSecondsAfterFinished=0)
    await is_gone(world, "beside")
    stays = await exists(world, "expiring")
    await world.delete("expiring")
    await world.apply("expiring")
    await world.in_phase("expiring:2", "Completed")

    assert (adopted["instanceId"], adopted["output"]) == (f"{world.scene.namespace}/expiring:1", {"done": 3})
    assert once == {"expiring:1": "Completed"}
    assert stays


async def test_two_controllers_at_once_do_no_harm(world: World) -> None:
    """Both do the same chores: finalizers, TTL, adoption, the turn of a change; each run is there once."""
    second = await world.operator("controller", CANCEL_GRACE_SECONDS="3")
    folder = {"folder": str(world.folder)}
    names = [f"both-{number}" for number in range(5)]

    await world.apply(*names, ttlSecondsAfterFinished=0, deletionPolicy="Compensate")
    for name in names:
        await is_gone(world, name)
    await world.apply(*names, ttlSecondsAfterFinished=0, deletionPolicy="Compensate")
    for name in names:
        await world.scene.completed(name)
    await world.apply("both", flow="wait", input=HOUR, rerunPolicy="OnChange", updatePolicy="CancelCurrent")
    await world.scene.shown("both", "a timer at")
    await world.apply("both", flow="wait", input=0, rerunPolicy="OnChange", updatePolicy="CancelCurrent")
    await world.in_phase("both:2", "Completed")
    await world.apply("both-kept", flow="keep", input=folder, deletionPolicy="Compensate")
    await world.scene.shown("both-kept", "signal update")
    await world.scene.kubectl("delete", "orchestration", "both-kept", "--timeout=60s")
    await second.stop()

    assert await world.instances(*names) == {f"{name}:1": "Completed" for name in names}
    assert await world.instances("both") == {"both:1": "Cancelled", "both:2": "Completed"}
    assert await world.instances("both-kept") == {"both-kept:1": "Cancelled"}


async def test_a_history_goes_after_its_time_and_the_status_stays(world: World) -> None:
    """The run is removed from the database; what the resource says of it is what it said, also after a change."""
    await world.apply("forgotten", historyRetentionSeconds=0)
    shown = await world.scene.completed("forgotten")

    async def removed() -> bool:
        return await world.instances("forgotten") == {}

    await until(removed)
    await world.apply("forgotten", historyRetentionSeconds=1)

    async def is_observed() -> bool:
        found = (await world.scene.read("orchestration", "forgotten"))["status"]
        return bool(found["observedGeneration"] == 2)

    await until(is_observed)
    after = (await world.scene.read("orchestration", "forgotten"))["status"]
    for status in (shown, after):
        status.pop("observedGeneration")
        for condition in status["conditions"]:
            condition.pop("observedGeneration")

    assert after == shown


async def test_a_namespace_with_open_runs_can_be_deleted(cluster: Cluster, postgres: Server, world: World) -> None:
    """Whatever their policies, and although nothing can be created in it any more."""
    namespace = await asyncio.to_thread(cluster.make_namespace)
    with postgres.database("template0") as dsn:
        async with World.opened(cluster, namespace, dsn=dsn, folder=world.folder) as other:
            await other.operator(CANCEL_GRACE_SECONDS="3")
            await other.apply("one", flow="keep", input={"folder": str(world.folder)}, deletionPolicy="Compensate")
            await other.apply("two", flow="wait", input=HOUR)
            await other.scene.shown("one", "signal update")
            await asyncio.to_thread(cluster.kubectl, "delete", "namespace", namespace, "--timeout=60s")
            await other.in_phase("one:1", "Cancelled")
            await other.in_phase("two:1", "Cancelled")


async def test_what_was_deleted_while_the_operator_was_away_is_compensated_later(world: World) -> None:
    """The finalizer keeps it until an operator is there again."""
    folder = {"folder": str(world.folder)}
    await world.apply("away", flow="keep", input=folder, deletionPolicy="Compensate")
    await world.scene.shown("away", "signal update")
    await world.operators[0].stop()
    await world.scene.kubectl("delete", "orchestration", "away", "--wait=false")
    kept = await exists(world, "away")

    await world.operator(CANCEL_GRACE_SECONDS="3")
    await is_gone(world, "away")

    assert kept
    assert await world.instances("away") == {"away:1": "Cancelled"}


async def test_there_is_a_way_out_without_an_operator(cluster: Cluster) -> None:
    """`perdure finalizers release` lets go of what an operator that is gone has kept; those of others stay."""
    namespace = await asyncio.to_thread(cluster.make_namespace)
    api = await Api.connect(str(cluster.kubeconfig))
    scene = Scene(cluster, namespace, api=api, log=str)
    for name, finalizers in (("ours", [FINALIZER]), ("both", ["other.dev/hold", FINALIZER])):
        metadata = {"name": name, "finalizers": finalizers}
        resource = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"orchestration": "nobody"}}
        await scene.kubectl("create", "--filename=-", input=json.dumps(resource))
    await scene.kubectl("delete", "orchestrations", "--all", "--wait=false")

    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "perdure", "finalizers", "release", "--namespace", namespace),
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await command.communicate()
    await scene.kubectl("wait", "--for=delete", "orchestration/ours", "--timeout=60s")

    assert sorted(said.decode().splitlines()) == [f"released {namespace}/both", f"released {namespace}/ours"]
    assert (await scene.read("orchestration", "both"))["metadata"]["finalizers"] == ["other.dev/hold"]
    patch = json.dumps({"metadata": {"finalizers": []}})
    await scene.kubectl("patch", "orchestration", "both", "--type=merge", f"--patch={patch}")
    await api.close()
    await asyncio.to_thread(cluster.delete_namespace, namespace)

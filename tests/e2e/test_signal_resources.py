"""Signals as resources: applied before and after their run, around restarts and outages, each delivered once.

A real operator process, a real API server, a real database, shared by the tests of the first part: each has a name of
its own for what it applies. Those of the second part have operators that stop, and a world each.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from perdure._kube.api.base import API_VERSION
from perdure._kube.api.orchestration_signal import KIND, PLURAL
from tests.cluster.handle import CRDS, Cluster, Request
from tests.e2e.operator_process import until
from tests.e2e.operators import World, manifest
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

MODULES = "tests.e2e.flows,tests.e2e.flows.listening"
LISTEN = "test::orchestration::listen"
STATUS_WRITE = Request("PATCH", "perdure.dev", PLURAL, "status")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give a namespace and a database with an operator."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes")) as world:
        await world.operator(MODULES=MODULES)
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def lone(cluster: Cluster, postgres: Server, tmp_path: Path) -> AsyncIterator[World]:
    """Give a world of one's own, without an operator."""
    async with World.shared(cluster, postgres, folder=tmp_path) as world:
        yield world


def signal(name: str, target: str, **spec: object) -> str:
    """Give a signal as YAML; it says its own name unless told otherwise."""
    usual: dict[str, object] = {"orchestrationRef": {"name": target}, "signal": "say"}
    if "payloadFrom" not in spec:
        usual["payload"] = name
    return yaml.safe_dump(
        {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": usual | spec}, sort_keys=False
    )


async def apply(world: World, *manifests: str) -> None:
    """Apply these in one go, in this order."""
    await world.scene.kubectl(
        *("apply", "--server-side", "--field-manager=test", "--filename=-"), input="---\n".join(manifests)
    )


async def listen(world: World, name: str, count: int = 1) -> None:
    """Apply an Orchestration that waits for so many signals."""
    await apply(world, manifest(name, LISTEN, input=count))


async def status(world: World, name: str) -> dict[str, Any]:
    """Give the status of a signal."""
    return dict((await world.scene.read(PLURAL, name))["status"])


async def shown(world: World, name: str, reason: str) -> dict[str, Any]:
    """Wait until the Ready condition of a signal has this reason, and give its status."""
    found: dict[str, Any] = {}

    async def is_reached() -> bool:
        found.clear()
        found.update(await status(world, name))
        return any(one["type"] == "Ready" and one["reason"] == reason for one in found["conditions"])

    try:
        await until(is_reached)
    except TimeoutError:
        raise AssertionError(f"{name} did not come to {reason}: {found}\n{world.log[-4000:]}") from None
    return found


async def lose_status(world: World, name: str) -> None:
    """Have neither the resource nor the database know what was shown."""
    await world.database.execute("update signal_resources set shown_revision = -1, status = null")
    lost = json.dumps([{"op": "replace", "path": "/status", "value": {"phase": "Pending", "conditions": []}}])
    await world.scene.kubectl("patch", PLURAL, name, "--subresource=status", "--type=json", f"--patch={lost}")


def true(found: dict[str, Any]) -> list[str]:
    """Give the conditions that are True."""
    return [one["type"] for one in found["conditions"] if one["status"] == "True"]


async def test_a_signal_to_a_run_is_delivered(world: World) -> None:
    """The run goes on with the payload; the resource says when and to whom, in columns and conditions."""
    await listen(world, "first")
    await apply(world, signal("hello", "first", payload={"by": "jo", "sizes": [1, None]}))
    await world.scene.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"{PLURAL}/hello")

    assert (await world.scene.completed("first"))["output"] == [{"by": "jo", "sizes": [1, None]}]
    found = await status(world, "hello")
    assert (found["phase"], found["observedGeneration"]) == ("Delivered", 1)
    assert found["instanceId"] == f"{world.scene.namespace}/first:1"
    assert found["deliveredAt"]
    assert true(found) == ["Ready"]
    header, row = (await world.scene.kubectl("get", "orchsig", "hello")).splitlines()
    assert header.split() == ["NAME", "SIGNAL", "TARGET", "PHASE", "AGE"]
    assert row.split()[:4] == ["hello", "say", "first", "Delivered"]


async def test_a_signal_that_comes_before_its_orchestration_waits(world: World) -> None:
    """Its status says for what, and it is not taken for done; it is delivered when the run is there."""
    await apply(world, signal("early", "later"))
    found = await shown(world, "early", "RunMissing")
    assert (found["phase"], true(found)) == ("Pending", ["Reconciling"])

    await listen(world, "later")

    assert (await world.scene.completed("later"))["output"] == ["early"]
    assert (await shown(world, "early", "Delivered"))["phase"] == "Delivered"


async def test_one_folder_may_be_applied_in_any_order(world: World) -> None:
    """Two signals and the Orchestration that they are for, in one apply, the signals first."""
    await apply(world, signal("one-a", "folder"), signal("one-b", "folder"), manifest("folder", LISTEN, input=2))

    assert sorted((await world.scene.completed("folder"))["output"]) == ["one-a", "one-b"]


async def test_a_finished_run_takes_no_signal(world: World) -> None:
    """It fails, with the reason, as tools understand it."""
    await apply(world, manifest("over", "test::orchestration::wait", input=0))
    await world.scene.completed("over")
    await apply(world, signal("late", "over"))

    found = await shown(world, "late", "RunFinished")

    assert (found["phase"], true(found)) == ("Failed", ["Stalled"])
    assert f"{world.scene.namespace}/over:1 had finished" in found["message"]


async def test_a_signal_that_is_deleted_before_its_delivery_is_not_delivered(world: World) -> None:
    """The run waits for another one."""
    await apply(world, signal("regretted", "patient"))
    await shown(world, "regretted", "RunMissing")
    await world.scene.kubectl("delete", PLURAL, "regretted")
    await listen(world, "patient")
    await world.scene.shown("patient", "Running")
    await apply(world, signal("meant", "patient"))

    assert (await world.scene.completed("patient"))["output"] == ["meant"]


async def test_a_payload_from_a_config_map_is_read_as_the_run(world: World) -> None:
    """Without the right it says which one is missing; without the ConfigMap it waits; it goes on by itself."""
    reader, run = f"--serviceaccount={world.scene.namespace}:default", "configured"
    await listen(world, run)
    where = {"configMapKeyRef": {"name": "settings", "key": "size"}}
    await apply(world, signal("size", run, payloadFrom=where))
    refused = await shown(world, "size", "PayloadUnreadable")
    assert (refused["phase"], true(refused)) == ("Pending", ["Stalled"])
    assert "configmaps" in refused["message"]

    await world.scene.kubectl("create", "role", "reader", "--verb=get", "--resource=configmaps")
    await world.scene.kubectl("create", "rolebinding", "reader", "--role=reader", reader)
    assert true(await shown(world, "size", "PayloadMissing")) == ["Reconciling"]
    await world.scene.kubectl("create", "configmap", "settings", "--from-literal=size=large")

    assert (await world.scene.completed(run))["output"] == ["large"]
    assert (await shown(world, "size", "Delivered"))["phase"] == "Delivered"


async def test_a_payload_from_a_secret_is_a_reference_everywhere(world: World) -> None:
    """The activity has the value; the database, the resources and the logs have not."""
    value = "correct-horse-battery-staple"
    account = f"--serviceaccount={world.scene.namespace}:default"
    await world.scene.kubectl("create", "secret", "generic", "credentials", f"--from-literal=password={value}")
    await world.scene.kubectl("create", "role", "secrets", "--verb=get", "--resource=secrets")
    await world.scene.kubectl("create", "rolebinding", "secrets", "--role=secrets", account)
    await apply(world, manifest("vault", "test::orchestration::listen-for-secret"))
    where = {"secretKeyRef": {"name": "credentials", "key": "password"}}
    await apply(world, signal("unlock", "vault", payloadFrom=where))

    assert (await world.scene.completed("vault"))["output"] == len(value)
    tables = ("history", "inbox", "instances", "resources", "signal_resources", "tasks")
    rows = [dict(row) for table in tables for row in await world.database.fetch(f"select * from {table}")]  # noqa: S608 - names of tables, written above
    shown = [await world.scene.read(kind, name) for kind, name in ((PLURAL, "unlock"), ("orch", "vault"))]
    assert value not in str(rows) + json.dumps(shown) + world.log


async def test_a_signal_that_asks_for_it_removes_itself(world: World) -> None:
    """After its delivery, so that what was sent by a script leaves nothing behind."""
    await listen(world, "tidy")
    await apply(world, signal("brief", "tidy", ttlSecondsAfterDelivered=1))

    await world.scene.kubectl("wait", "--for=delete", "--timeout=60s", f"{PLURAL}/brief")

    assert (await world.scene.completed("tidy"))["output"] == ["brief"]


async def test_a_delivered_signal_costs_one_write_and_nothing_afterwards(world: World) -> None:
    """Applied again, as GitOps does every few minutes, it costs the operator nothing."""
    await listen(world, "cheap")
    await world.scene.shown("cheap", "Running")
    before = world.cluster.api_request_counts()[STATUS_WRITE]
    await apply(world, signal("cheaply", "cheap"))
    await shown(world, "cheaply", "Delivered")

    await apply(world, signal("cheaply", "cheap"))
    await apply(world, signal("marker", "cheap"))
    await shown(world, "marker", "RunFinished")

    assert world.cluster.api_request_counts()[STATUS_WRITE] - before == 2
    assert (await world.scene.completed("cheap"))["output"] == ["cheaply"]


async def test_a_signal_is_delivered_once_around_a_restart(lone: World) -> None:
    """The status was lost, the controller is another one, the run was followed by a second: nothing is sent again."""
    first = await lone.operator(MODULES=MODULES)
    await listen(lone, "db", count=2)
    await apply(lone, signal("once", "db"))
    await shown(lone, "once", "Delivered")
    await first.kill()
    await lose_status(lone, "once")

    await lone.operator(MODULES=MODULES)
    assert (await shown(lone, "once", "Delivered"))["instanceId"].endswith("/db:1")
    await lone.delete("db")
    await lone.in_phase("db:1", "Cancelled")
    await listen(lone, "db")
    await lone.scene.shown("db", "Running")
    await apply(lone, signal("twice", "db"))

    assert (await lone.scene.completed("db"))["output"] == ["twice"]


async def test_a_status_waits_for_the_api_server(local_cluster: Cluster, lone: World) -> None:
    """What could not be written is written when the API server is back; the process says what it waits for."""
    first = await lone.operator(MODULES=MODULES)
    await listen(lone, "db", count=2)
    await apply(lone, signal("once", "db"))
    await shown(lone, "once", "Delivered")
    await first.kill()
    await lose_status(lone, "once")

    await asyncio.to_thread(local_cluster.stop_api_server)
    try:
        second = await lone.operator(ready=False, MODULES=MODULES)
        await second.said("API server away, waiting for it")
    finally:
        await asyncio.to_thread(local_cluster.start_api_server)

    assert (await shown(lone, "once", "Delivered"))["instanceId"].endswith("/db:1")


async def test_two_controllers_deliver_once(lone: World) -> None:
    """Both see every signal; each comes in once, in both runs."""
    await asyncio.gather(*(lone.operator(MODULES=MODULES) for _ in range(2)))
    names = [f"s{number:03}" for number in range(100)]
    await apply(lone, *(signal(name, "db") for name in names), manifest("db", LISTEN, input=len(names) + 1))
    for name in (names[0], names[-1]):
        await shown(lone, name, "Delivered")
    await apply(lone, signal("zzz", "db"))

    output = (await lone.scene.completed("db"))["output"]

    assert sorted(output) == [*names, "zzz"]


async def test_a_definition_that_is_missing_for_a_while_stops_nothing_else(local_cluster: Cluster, lone: World) -> None:
    """Orchestrations go on, readiness and the log say what is missing, and signals go on when it is there again."""
    crd = f"crd/{PLURAL}.perdure.dev"
    operator = await lone.operator(MODULES=MODULES)
    await listen(lone, "db")
    local_cluster.kubectl("delete", crd)
    try:
        await operator.said("the API server refuses, trying again")
        assert "OrchestrationSignal" in await operator.needs("resources", ok=False)
        await lone.apply("meanwhile")
        assert (await lone.scene.completed("meanwhile"))["output"] == {"done": 3}
    finally:
        local_cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRDS}")
        local_cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", crd)

    await operator.needs("resources", ok=True)
    await apply(lone, signal("back", "db"))
    assert (await lone.scene.completed("db"))["output"] == ["back"]

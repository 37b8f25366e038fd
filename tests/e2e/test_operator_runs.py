"""What people see who apply an Orchestration: it completes, it fails, it waits for somebody, it says why.

A real operator process, a real API server, a real database, shared by the tests of this module: each has a name of its
own for what it applies. The orchestrations are those of `flows`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.cluster.errors import CommandFailedError
from tests.cluster.handle import Cluster
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give a namespace and a database with an operator."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes")) as world:
        await world.operator()
        yield world


async def test_an_applied_orchestration_completes(world: World) -> None:
    """`kubectl wait` ends, the columns say what happened, and every step was taken once."""
    await world.apply("plain")
    await world.scene.kubectl("wait", "--for=condition=Completed", "--timeout=60s", "orchestration/plain")

    header, row = (await world.scene.kubectl("get", "orch", "plain")).splitlines()
    assert header.split() == ["NAME", "PHASE", "STEP", "PROGRESS", "READY", "AGE"]
    assert row.split()[:2] == ["plain", "Completed"]
    assert "True" in row.split()
    assert (await world.scene.completed("plain"))["output"] == {"done": 3}
    assert world.notes("plain") == ["plain:1_1_1", "plain:1_1_2", "plain:1_1_3"]


async def test_the_wide_columns_name_version_and_instance(world: World) -> None:
    """`kubectl get -o wide` leads to the instance in the database."""
    await world.apply("wide")
    await world.scene.completed("wide")

    header, row = (await world.scene.kubectl("get", "orch", "wide", "--output=wide")).splitlines()

    assert header.split()[5:] == ["AGE", "VERSION", "INSTANCE", "MESSAGE", "DURATION"]
    assert "1.0.0" in row
    assert f"{world.scene.namespace}/wide:1" in row
    assert "The run has completed." in row


async def test_a_failing_orchestration_says_what_failed(world: World) -> None:
    """`kubectl wait` for Failed ends; the conditions are those that tools take for a failure; the error is whole."""
    await world.apply("failing", flow="fail")
    await world.scene.kubectl("wait", "--for=condition=Failed", "--timeout=60s", "orchestration/failing")

    status = await world.scene.failed("failing")
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert (conditions["Ready"], conditions["Stalled"], conditions["Finished"]) == ("False", "True", "True")
    assert status["error"]["activity"] == "test::activity::refuse"
    assert "asks for too much" in status["error"]["message"]


async def test_input_that_does_not_fit_fails_before_anything_runs(world: World) -> None:
    """The field, what was expected and what was found are named; no activity was started."""
    await world.apply("unfit", input={"folder": 3, "steps": "many"})
    status = await world.scene.failed("unfit")

    assert status["error"]["code"] == "PERDURE-1102"
    assert "folder: Input should be a valid string (found 3)" in status["error"]["message"]
    assert "steps: Input should be a valid integer" in status["error"]["message"]
    assert world.notes("unfit") == []


async def test_an_input_nested_too_deeply_is_refused_and_disturbs_nobody(world: World) -> None:
    """The API server takes it, the operator says why it does not, and runs everything else meanwhile and after."""
    for levels in (1_200, 5_000):
        deep = {
            "apiVersion": "perdure.dev/v1alpha1",
            "kind": "Orchestration",
            "metadata": {"name": f"deep-{levels}"},
            "spec": {"orchestration": "test::orchestration::steps", "input": "DEEP"},
        }
        text = json.dumps(deep).replace('"DEEP"', '{"a":' * levels + "1" + "}" * levels)
        path = f"/apis/perdure.dev/v1alpha1/namespaces/{world.scene.namespace}/orchestrations"
        await world.scene.kubectl("create", "--raw", path, "--filename=-", input=text)

        status = await world.scene.shown(f"deep-{levels}", "InputInvalid")
        await world.apply(f"beside-{levels}")

        assert "spec.input is nested more than 200 levels deep" in json.dumps(status)
        assert (await world.scene.completed(f"beside-{levels}"))["output"] == {"done": 3}


async def test_a_missing_right_fails_the_activity_by_name(world: World) -> None:
    """The verb and the resource that are missing stand in the status; given the right, the next run completes."""
    await world.apply("before", flow="configure")
    status = await world.scene.failed("before")

    await world.scene.kubectl("create", "role", "runner", "--verb=get,create,patch", "--resource=configmaps")
    account = f"--serviceaccount={world.scene.namespace}:default"
    await world.scene.kubectl("create", "rolebinding", "runner", "--role=runner", account)
    await world.apply("after", flow="configure")

    assert "patch" in status["error"]["message"]
    assert "configmaps" in status["error"]["message"]
    assert f"system:serviceaccount:{world.scene.namespace}:default" in status["error"]["message"]
    assert (await world.scene.completed("after"))["output"] == "ConfigMap"


async def test_a_missing_service_account_is_named(world: World) -> None:
    """The API server would let the operator act as an account that is not there; no run begins, until it is there."""
    await world.apply("account", flow="steps", serviceAccountName="nobody-home")
    status = await world.scene.shown("account", "ServiceAccountMissing")
    before = await world.instances("account")

    await world.scene.kubectl("create", "serviceaccount", "nobody-home")
    await world.scene.completed("account")

    assert "nobody-home" in json.dumps(status)
    assert before == {}


async def test_an_unknown_orchestration_waits_for_a_worker_that_has_it(world: World) -> None:
    """The known names are listed; when a worker joins that has the missing one, the run completes by itself."""
    await world.apply("unknown", orchestration="test::orchestration::later")
    status = await world.scene.shown("unknown", "UnknownOrchestration")

    late = await world.operator("worker", MODULES="tests.e2e.flows.later")
    await world.scene.completed("unknown")
    await late.stop()

    stalled = next(condition for condition in status["conditions"] if condition["type"] == "Stalled")
    assert stalled["status"] == "True"
    assert "test::orchestration::approve@1.0.0" in stalled["message"]


async def test_an_unknown_version_is_said(world: World) -> None:
    """A name that is known in another version only is as unknown as any."""
    await world.apply("version", version="7.0.0")
    status = await world.scene.shown("version", "UnknownOrchestration")

    assert "test::orchestration::steps@7.0.0" in json.dumps(status)
    assert "test::orchestration::steps@1.0.0" in json.dumps(status)


async def test_deleting_the_resource_cancels_the_run(world: World) -> None:
    """`kubectl delete` returns at once; the run ends Cancelled."""
    await world.apply("deleted", flow="wait", input=3600)
    await world.scene.shown("deleted", "Running")

    await world.delete("deleted")
    await world.in_phase("deleted:1", "Cancelled")

    assert await world.instances("deleted") == {"deleted:1": "Cancelled"}


async def test_a_cancel_in_the_spec_ends_the_run_with_its_reason(world: World) -> None:
    """The resource stays and shows who ended the run, and why."""
    await world.apply("withdrawn", flow="wait", input=3600)
    await world.scene.shown("withdrawn", "Running")

    await world.apply("withdrawn", flow="wait", input=3600, cancel={"reason": "the order was withdrawn"})
    await world.scene.kubectl(
        "wait", "--for=jsonpath={.status.phase}=Cancelled", "--timeout=60s", "orchestration/withdrawn"
    )

    assert "the order was withdrawn" in json.dumps(await world.scene.read("orchestration", "withdrawn"))


async def test_what_was_asked_for_cannot_be_changed(world: World) -> None:
    """The API server refuses a changed input; the run goes on as it was."""
    await world.apply("changed", flow="wait", input=3600)
    await world.scene.shown("changed", "Running")

    with pytest.raises(CommandFailedError, match="input cannot be changed"):
        await world.apply("changed", flow="wait", input=1)

    assert await world.instances("changed") == {"changed:1": "Running"}


async def test_metrics_and_instances_can_be_read(world: World) -> None:
    """What happened is counted, listed and told turn by turn, over HTTP."""
    operator = world.operators[0]
    await world.apply("told")
    await world.scene.completed("told")
    instance = f"{world.scene.namespace}/told:1"

    listed = await operator.ask(f"/api/v1/instances?phase=Completed&prefix={instance}")
    found = await operator.ask(f"/api/v1/instances/{instance}")
    history = await operator.ask(f"/api/v1/instances/{instance}/history")
    missing = await operator.ask("/api/v1/instances/nobody")

    assert [each["instance_id"] for each in listed[1]["items"]] == [instance]
    assert found[1]["output"] == {"done": 3}
    assert len(history[1]["turns"]) == 4
    assert (missing[0], missing[1]["error"]["code"]) == (404, "PERDURE-1203")
    assert json.dumps(history[1]).count("ActivityCompleted") == 3

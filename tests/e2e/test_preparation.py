"""What people see whose run cannot start yet: what is missing, who can give it, and that it goes on by itself.

An operator with the rights that it must have and no more, on a real API server, whose RBAC refuses what was not given;
the runs of the second namespace may not act at all until a test allows it. Each test has names of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from perdure.client import Client
from tests.cluster.handle import Cluster
from tests.e2e.limited import EVERYWHERE, Limited
from tests.e2e.operators import World, manifest
from tests.e2e.scene import Scene
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PASSWORD = "correct-horse-battery"
POST = "test::orchestration::post"
PASSWORD_FROM_SECRET = {"path": "password", "secretKeyRef": {"name": "mail", "key": "password"}}
TEXT_FROM_CONFIG = {"path": "text", "configMapKeyRef": {"name": "letters", "key": "first"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give two namespaces and a database."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes"), namespaces=2) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def limited(world: World) -> AsyncIterator[Limited]:
    """Give the identity of an operator that may impersonate nobody in the second namespace; one runs."""
    first, second = world.scenes
    limited = await Limited.made(world.cluster, world.folder.parent, runs=[first.namespace])
    allowed = {"*": ["test::*"], second.namespace: ["workflows::*"]}
    await world.operator(kubeconfig=limited.kubeconfig, NAMESPACES="", ALLOWED_ORCHESTRATIONS=json.dumps(allowed))
    yield limited
    await limited.remove()


async def account(scene: Scene, name: str, *rules: str) -> None:
    """Make a ServiceAccount that may do this with these resources: `get:configmaps`."""
    await scene.kubectl("create", "serviceaccount", name)
    for number, (verbs, _, resource) in enumerate(rule.partition(":") for rule in rules):
        role = f"{name}-{number}"
        await scene.kubectl("create", "role", role, f"--verb={verbs}", f"--resource={resource}")
        who = f"--serviceaccount={scene.namespace}:{name}"
        await scene.kubectl("create", "rolebinding", role, f"--role={role}", who)


async def apply(scene: Scene, name: str, orchestration: str, **spec: object) -> None:
    """Apply an Orchestration."""
    await scene.kubectl(
        "apply", "--server-side", "--field-manager=test", "--filename=-", input=manifest(name, orchestration, **spec)
    )


def ready(status: dict[str, Any]) -> dict[str, str]:
    """Give the condition Ready, and whether the others call this a failure."""
    found = {condition["type"]: condition for condition in status["conditions"]}
    return {
        "reason": found["Ready"]["reason"],
        "message": found["Ready"]["message"],
        "waits": found["Reconciling"]["status"],
        "stalled": found["Stalled"]["status"],
    }


async def test_parts_of_an_input_come_from_config_maps_and_secrets(world: World) -> None:
    """The text is put in, the Secret stays where it is; its value is in no status, no log and no row."""
    scene = world.scene
    await account(scene, "postman", "get:configmaps", "get:secrets")
    await scene.kubectl("create", "configmap", "letters", "--from-literal=first=Dear Ada")
    await scene.kubectl("create", "secret", "generic", "mail", f"--from-literal=password={PASSWORD}")
    wanted = [TEXT_FROM_CONFIG, PASSWORD_FROM_SECRET]
    await apply(scene, "letter", POST, inputFrom=wanted, serviceAccountName="postman")
    status = await scene.completed("letter")

    row = await world.database.fetchrow("select * from instances where instance_id = $1", f"{scene.namespace}/letter:1")
    assert row is not None
    assert status["output"] == {"text": "Dear Ada", "used": len(PASSWORD)}
    assert json.loads(row["input"]) == {
        "password": {"secretRef": {"key": "password", "name": "mail"}},
        "text": "Dear Ada",
    }
    assert await places_with(world, "letter", PASSWORD) == []


async def test_a_secret_that_is_changed_under_a_run_is_used_as_it_is_then(world: World) -> None:
    """Between two activities it gets another value: the second uses that, and neither stands anywhere."""
    scene = world.scene
    await corresponds(world, "changed", "first-of-the-values")
    await set_secret(scene, "changed", "another-value")
    await again(world, "changed")
    status = await scene.completed("changed")

    assert status["output"] == [len("first-of-the-values"), len("another-value")]
    assert await places_with(world, "changed", "first-of-the-values", "another-value") == []


async def test_a_secret_that_is_deleted_under_a_run_is_waited_for(world: World) -> None:
    """The run says which one is missing, and goes on by itself with the one that comes."""
    scene = world.scene
    await corresponds(world, "deleted", "value-of-the-first")
    await scene.kubectl("delete", "secret", "deleted")
    await again(world, "deleted")
    said = ready(await scene.shown("deleted", "there is no such Secret"))
    await set_secret(scene, "deleted", "of-the-second")
    status = await scene.completed("deleted")

    assert (said["reason"], said["waits"], said["stalled"]) == ("Retrying", "True", "False")
    assert "key password of Secret deleted cannot be resolved" in said["message"]
    assert status["output"] == [len("value-of-the-first"), len("of-the-second")]
    assert await places_with(world, "deleted", "value-of-the-first", "of-the-second") == []


async def corresponds(world: World, name: str, password: str) -> None:
    """Have a run of this name that has used its Secret, of this value, once, and waits to be asked again."""
    scene = world.scene
    await account(scene, name, "get:secrets")
    await set_secret(scene, name, password)
    wanted = [{"path": "password", "secretKeyRef": {"name": name, "key": "password"}}]
    flow = "test::orchestration::correspond"
    await apply(scene, name, flow, input={"text": "x"}, inputFrom=wanted, serviceAccountName=name)
    await scene.shown(name, "signal again")


async def set_secret(scene: Scene, name: str, password: str) -> None:
    """Make a Secret, or change it."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": password}}
    await scene.kubectl("apply", "--filename=-", input=json.dumps(secret))


async def again(world: World, name: str) -> None:
    """Ask a run to use its Secret once more."""
    async with await Client.connect(world.dsn) as client:
        await client.send_signal(f"{world.scene.namespace}/{name}:1", "again")


async def places_with(world: World, name: str, *values: str) -> list[str]:
    """Name the tables that hold one of these values, the log and the resource if they do."""
    told = {"resource": json.dumps(await world.scene.read("orchestration", name)), "log": world.log}
    for table in ("instances", "history", "tasks", "inbox", "resources"):
        rows = await world.database.fetch(f"select each::text as told from {table} each")  # noqa: S608 - the names above
        told[table] = "".join(row["told"] for row in rows)
    forms = [form for value in values for form in (value, value.encode().hex())]
    return [place for place, text in told.items() if any(form in text for form in forms)]


async def test_what_is_missing_is_named_and_waited_for(world: World) -> None:
    """All of it at once, as no failure; the run starts when it is there, with what was there then."""
    scene = world.scene
    await account(scene, "waiter", "get:configmaps", "get:secrets")
    wanted = [
        {"path": "text", "configMapKeyRef": {"name": "later", "key": "first"}},
        {"path": "password", "secretKeyRef": {"name": "later", "key": "password"}},
    ]
    await apply(scene, "waiting", POST, inputFrom=wanted, serviceAccountName="waiter")
    said = ready(await scene.shown("waiting", "InputSourceMissing"))
    before = await world.instances("waiting")

    await scene.kubectl("create", "configmap", "later", "--from-literal=other=no")
    await scene.kubectl("create", "secret", "generic", "later", f"--from-literal=password={PASSWORD}")
    no_key = ready(await scene.shown("waiting", "has no key first"))
    await scene.kubectl("patch", "configmap", "later", "--patch", '{"data": {"first": "now"}}')
    status = await scene.completed("waiting")

    assert (said["waits"], said["stalled"]) == ("True", "False")
    assert "ConfigMap later does not exist" in said["message"]
    assert "Secret later does not exist" in said["message"]
    assert before == {}
    assert "only other" in no_key["message"]
    assert status["output"]["text"] == "now"


async def test_who_may_not_read_a_source_is_told_which_right_is_missing(world: World) -> None:
    """Verb, resource, namespace and user; with the right the run starts."""
    scene = world.scene
    await account(scene, "blind")
    await scene.kubectl("create", "secret", "generic", "seen", "--from-literal=password=12345678")
    wanted = [{"path": "password", "secretKeyRef": {"name": "seen", "key": "password"}}]
    await apply(scene, "blinded", POST, input={"text": "x"}, inputFrom=wanted, serviceAccountName="blind")
    said = ready(await scene.shown("blinded", "InputSourceForbidden"))

    await scene.kubectl("create", "role", "sight", "--verb=get", "--resource=secrets")
    await scene.kubectl("create", "rolebinding", "sight", "--role=sight", f"--serviceaccount={scene.namespace}:blind")
    status = await scene.completed("blinded")

    assert f"system:serviceaccount:{scene.namespace}:blind may not get secrets" in said["message"]
    assert f"namespace {scene.namespace}" in said["message"]
    assert "verbs [get], resources [secrets]" in said["message"]
    assert status["output"] == {"text": "x", "used": 8}


async def test_a_service_account_that_comes_later_is_waited_for(world: World) -> None:
    """It is named with how to make it; a run that names none is started meanwhile."""
    scene = world.scene
    await apply(scene, "early", "test::orchestration::wait", input=0, serviceAccountName="late")
    said = ready(await scene.shown("early", "ServiceAccountMissing"))
    await apply(scene, "beside", "test::orchestration::wait", input=0)
    await scene.completed("beside")
    before = await world.instances("early")

    await scene.kubectl("create", "serviceaccount", "late")
    await scene.completed("early")

    assert f"kubectl create serviceaccount late --namespace {scene.namespace}" in said["message"]
    assert (said["waits"], said["stalled"], before) == ("True", "False", {})


async def test_a_right_that_is_missing_in_an_activity_is_waited_for_by_its_retries(world: World) -> None:
    """The attempt that fails names verb, resource, namespace and user; the one after the grant completes the run."""
    scene = world.scene
    await account(scene, "novice")
    await apply(scene, "patient", "test::orchestration::configure-patiently", serviceAccountName="novice")
    status = await scene.shown("patient", "Retrying")

    await scene.kubectl("create", "role", "master", "--verb=get,create,patch", "--resource=configmaps")
    await scene.kubectl(
        "create", "rolebinding", "master", "--role=master", f"--serviceaccount={scene.namespace}:novice"
    )
    await scene.completed("patient")

    message = ready(status)["message"]
    assert f"system:serviceaccount:{scene.namespace}:novice may not patch configmaps" in message
    assert f"namespace {scene.namespace}" in message


@pytest.mark.parametrize(
    ("name", "spec", "reason", "words"),
    [
        ("taken", {"input": {"text": "x"}, "inputFrom": [TEXT_FROM_CONFIG]}, "InputInvalid", "a value there already"),
        ("flat", {"input": "x", "inputFrom": [TEXT_FROM_CONFIG]}, "InputInvalid", "spec.input is a text"),
        ("twice", {"inputFrom": [TEXT_FROM_CONFIG, TEXT_FROM_CONFIG]}, "InputInvalid", "spec.inputFrom[0] goes to"),
        ("other", {"orchestration": "other::thing"}, "OrchestrationNotAllowed", "Allowed there: test::*"),
    ],
)
async def test_what_waiting_does_not_cure_is_refused(
    world: World, name: str, spec: dict[str, Any], reason: str, words: str
) -> None:
    """A path that leads nowhere, and an orchestration that is not allowed there, are failures with their reason."""
    wanted = {"orchestration": POST, **spec}
    await apply(world.scene, name, str(wanted.pop("orchestration")), **wanted)
    said = ready(await world.scene.shown(name, reason))

    assert words in said["message"]
    assert (said["waits"], said["stalled"]) == ("False", "True")
    assert await world.instances(name) == {}


async def test_what_a_namespace_may_run_is_its_own_list_and_that_of_all(world: World) -> None:
    """A pattern for `*` holds everywhere, one of a namespace in that one alone."""
    _, second = world.scenes
    await apply(second, "of-all", "test::orchestration::wait", input=0)
    await second.completed("of-all")
    await apply(second, "of-it", "workflows::orchestration::nobody-has-it")
    status = await second.shown("of-it", "UnknownOrchestration")

    assert ready(status)["stalled"] == "True"


async def test_an_operator_that_may_not_act_as_an_account_says_what_it_needs(world: World, limited: Limited) -> None:
    """Before the run starts: verb, resource, namespace, and the value of the chart; it starts after the grant."""
    _, second = world.scenes
    await second.kubectl("create", "serviceaccount", "runner")
    await apply(second, "barred", "test::orchestration::wait", input=0, serviceAccountName="runner")
    said = ready(await second.shown("barred", "ImpersonationForbidden"))
    before = await runs_of(world, second, "barred")

    await limited.may_act_in(second.namespace)
    await second.completed("barred")

    assert before == []
    assert said["stalled"] == "True"
    for words in (
        "verbs [impersonate]",
        "resources [serviceaccounts]",
        f"impersonation.namespaces: [{second.namespace}]",
    ):
        assert words in said["message"]


async def test_many_at_once_cost_a_handful_of_questions(world: World) -> None:
    """A hundred runs of one ServiceAccount: the API server is asked a few times, not a hundred."""
    await world.scene.kubectl("create", "serviceaccount", "crowd")
    before = await reviews(world)
    names = [f"crowd-{number}" for number in range(100)]
    await world.apply(*names, flow="wait", input=0, serviceAccountName="crowd")
    await asyncio.gather(*(world.in_phase(f"{name}:1", "Completed") for name in names[-3:]))
    spent = await reviews(world) - before

    assert 0 < spent <= 10


async def test_an_operator_that_cannot_even_look_says_so_and_looks_again(world: World, limited: Limited) -> None:
    """A right of its own is missing: the resource is known and says it, and runs when the right is there."""
    scene = world.scenes[0]
    await account(scene, "unseen")
    await limited.may([rule for rule in EVERYWHERE if rule["resources"] != ["serviceaccounts"]])

    await apply(scene, "unseen", "test::orchestration::wait", input=0, serviceAccountName="unseen")
    said = ready(await scene.shown("unseen", "LookFailed"))
    await limited.may(EVERYWHERE)

    assert (said["waits"], said["stalled"]) == ("True", "False")
    assert "serviceaccounts" in said["message"]
    await scene.completed("unseen")


async def test_a_run_that_has_begun_is_not_refused_by_a_rule_that_came_later(world: World, limited: Limited) -> None:
    """A second operator that allows nothing lets what has begun go on, and refuses what is new."""
    scene = world.scene
    await apply(scene, "begun", "test::orchestration::wait", input=3600)
    await scene.shown("begun", "Running")
    for operator in world.operators:
        await operator.stop()
    strict = await world.operator(
        kubeconfig=limited.kubeconfig, NAMESPACES="", ALLOWED_ORCHESTRATIONS='{"*": []}', DEFAULT_SERVICE_ACCOUNT="deny"
    )
    await apply(scene, "new", "test::orchestration::wait", input=0)
    said = ready(await scene.shown("new", "OrchestrationNotAllowed"))
    begun = await scene.read("orchestration", "begun")
    await strict.stop()

    assert "Allowed there: nothing" in said["message"]
    assert ready(begun["status"])["reason"] == "Waiting"


async def runs_of(world: World, scene: Scene, name: str) -> list[str]:
    """Name the runs of a resource of any namespace."""
    found = await world.database.fetch("select instance_id from instances")
    return [row["instance_id"] for row in found if row["instance_id"].startswith(f"{scene.namespace}/{name}:")]


async def reviews(world: World) -> int:
    """Count the access reviews and looks at ServiceAccounts that the API server has answered."""
    counts = await asyncio.to_thread(world.cluster.api_request_counts)
    return sum(
        count
        for request, count in counts.items()
        if request.resource == "selfsubjectaccessreviews"
        or (request.resource, request.verb) == ("serviceaccounts", "GET")
    )

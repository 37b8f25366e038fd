"""The offered activities against a real API server and a real Postgres, as the ServiceAccount of a run.

Called as a worker calls them, without the engine: what they do to the cluster, what they leave alone, and that doing it
again changes nothing. `Cast` is the cast of a scenario.
"""

from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import urlsplit

import pytest

from activities.kubernetes import ownership
from activities.kubernetes.apply import apply
from activities.kubernetes.delete import delete
from activities.kubernetes.get import get
from activities.kubernetes.wait_until_ready import wait_until_ready
from activities.postgres.connection import verify_connection
from activities.postgres.deploy import deploy_postgres
from activities.postgres.wait import wait_for_postgres
from activities.types import (
    ApplyInput,
    DeleteInput,
    DeployPostgresInput,
    ObjectRef,
    VerifyConnectionInput,
    WaitForPostgresInput,
    WaitInput,
)
from perdure import Manifest, errors
from perdure._store.embedded import EmbeddedPostgres
from tests.e2e.library import HOLD, Cast, config, managers

pytestmark = pytest.mark.slow

SERVER = DeployPostgresInput(name="orders", version="18", storage="1Gi")
CONFIG = {"api_version": "v1", "kind": "ConfigMap", "name": "colours"}


async def test_applying_again_changes_nothing(cast: Cast) -> None:
    """A repeated activity leaves the object as it was; one that was applied before, in the very version that it had."""
    wanted = ApplyInput(manifests=[config(sky="blue"), config("shapes", sun="round")])

    first = await cast.do(apply, wanted)
    second = await cast.do(apply, wanted)
    before = await cast.read("configmap", "colours")
    third = await cast.do(apply, wanted)

    assert third == second == first
    assert [each.name for each in first.objects] == ["colours", "shapes"]
    assert (await cast.read("configmap", "colours"))["metadata"] == before["metadata"]


async def test_what_is_applied_says_whose_it_is(cast: Cast) -> None:
    """Every object carries the label of its run and is managed by `perdure`."""
    await cast.do(apply, ApplyInput(manifests=[config(sky="blue")]))

    made = await cast.read("configmap", "colours")
    assert made["metadata"]["labels"] == {"perdure.dev/instance": ownership.instance_label(f"{cast.namespace}/first:1")}
    assert managers(made) == {"perdure"}


async def test_another_runs_object_is_left_alone_and_so_is_all_that_came_with_it(cast: Cast) -> None:
    """A refusal comes before anything of the list is applied."""
    await cast.do(apply, ApplyInput(manifests=[config(sky="blue")]), run="first")

    with pytest.raises(errors.ObjectNotOwnedError, match=f"{cast.namespace}/first:1"):
        await cast.do(apply, ApplyInput(manifests=[config("shapes"), config(sky="green")]), run="second")

    assert (await cast.read("configmap", "colours"))["data"] == {"sky": "blue"}
    assert "shapes" not in await cast.kubectl("get", "configmaps", "--output=name")


async def test_a_persons_object_is_taken_over_only_when_asked(cast: Cast) -> None:
    """Without `take_over` it is refused; with it the object is the run's from then on."""
    await cast.kubectl("create", "configmap", "colours", "--from-literal=sky=grey")
    with pytest.raises(errors.ObjectNotOwnedError, match="was not made by a run"):
        await cast.do(apply, ApplyInput(manifests=[config(sky="blue")]))

    await cast.do(apply, ApplyInput(manifests=[config(sky="blue")], take_over=True))
    await cast.do(apply, ApplyInput(manifests=[config(sky="red")]))

    assert (await cast.read("configmap", "colours"))["data"] == {"sky": "red"}


async def test_of_two_runs_that_take_the_same_object_over_one_gets_it(cast: Cast) -> None:
    """Taking over is bound to what was seen: the second one finds the object changed."""
    await cast.kubectl("create", "configmap", "colours", "--from-literal=sky=grey")
    seen = await cast.run("first").kubernetes.get("v1", "ConfigMap", "colours")
    await cast.do(apply, ApplyInput(manifests=[config(sky="blue")], take_over=True), run="second")

    late = ownership.bound(config(sky="green"), seen)
    with pytest.raises(errors.KubernetesConflictError) as caught:
        await cast.run("first").kubernetes.apply(late, field_manager=ownership.FIELD_MANAGER)

    assert caught.value.retryable
    assert (await cast.read("configmap", "colours"))["data"] == {"sky": "blue"}


async def test_an_object_that_was_made_anew_meanwhile_is_not_hit(cast: Cast) -> None:
    """An own object that was deleted and made again by somebody is in no version that was seen: the server refuses."""
    await cast.do(apply, ApplyInput(manifests=[config(sky="blue")]))
    seen = await cast.run().kubernetes.get("v1", "ConfigMap", "colours")
    await cast.kubectl("delete", "configmap", "colours")
    await cast.kubectl("create", "configmap", "colours", "--from-literal=sky=grey")

    late = ownership.bound(config(sky="green"), seen)
    with pytest.raises(errors.KubernetesConflictError, match="has been modified"):
        await cast.run().kubernetes.apply(late, field_manager=ownership.FIELD_MANAGER)

    assert (await cast.read("configmap", "colours"))["data"] == {"sky": "grey"}


async def test_an_object_on_its_way_out_is_tried_again_later(cast: Cast) -> None:
    """Applying to an object that is being deleted would be lost with it."""
    held = config(sky="blue")
    held["metadata"] = {"name": "colours", "finalizers": ["example.com/hold"]}
    await cast.do(apply, ApplyInput(manifests=[held]))
    await cast.kubectl("delete", "configmap", "colours", "--wait=false")

    with pytest.raises(errors.ObjectTerminatingError) as caught:
        await cast.do(apply, ApplyInput(manifests=[held]))

    assert caught.value.retryable
    await cast.kubectl("patch", "configmap", "colours", "--type=merge", '--patch={"metadata":{"finalizers":null}}')


async def test_deleting_again_is_fine_and_another_runs_object_is_not_deleted(cast: Cast) -> None:
    """Only the run that made an object deletes it, and its second attempt finds it gone."""
    await cast.do(apply, ApplyInput(manifests=[config()]), run="first")
    with pytest.raises(errors.ObjectNotOwnedError):
        await cast.do(delete, DeleteInput(**CONFIG), run="second")

    first = await cast.do(delete, DeleteInput(**CONFIG), run="first")
    second = await cast.do(delete, DeleteInput(**CONFIG), run="first")

    assert (first.deleted, second.deleted) == (True, False)


async def test_a_secret_is_read_without_its_values(cast: Cast) -> None:
    """Its keys may be known; what an activity returns stands in history."""
    await cast.kubectl("create", "secret", "generic", "door", "--from-literal=key=hunter2")

    found = await cast.do(get, ObjectRef(api_version="v1", kind="Secret", name="door"))
    missing = await cast.do(get, ObjectRef(api_version="v1", kind="Secret", name="window"))

    assert found.manifest is not None
    assert found.manifest["data"] == {"key": ""}
    assert missing.manifest is None


async def test_waiting_ends_when_the_object_comes(cast: Cast) -> None:
    """The object need not exist when the wait begins."""
    target = WaitInput(api_version="v1", kind="ConfigMap", name="colours", timeout_seconds=60)
    waiting = asyncio.create_task(_wait(cast, target))

    await cast.do(apply, ApplyInput(manifests=[config()]))

    assert await waiting == "it exists"


async def test_waiting_in_vain_says_what_was_last_seen(cast: Cast) -> None:
    """When the time is over the error says how far the object was."""
    target = WaitInput(api_version="v1", kind="ConfigMap", name="colours", timeout_seconds=0.5)

    with pytest.raises(errors.ObjectNotReadyError, match=r"after 0\.5 s\. Last seen: it does not exist"):
        await _wait(cast, target)


async def test_waiting_can_be_cancelled(cast: Cast) -> None:
    """A cancelled activity ends at its watch."""
    target = WaitInput(api_version="v1", kind="ConfigMap", name="colours")
    waiting = asyncio.create_task(_wait(cast, target))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_job_that_fails_ends_the_wait_at_once(cast: Cast) -> None:
    """The reason of the Job is the reason of the failure, and it is not retried."""
    template: Manifest = {
        "metadata": {"annotations": HOLD},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "load", "image": "example.invalid/none"}]},
    }
    job: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "load"},
        "spec": {"activeDeadlineSeconds": 1, "template": template},
    }
    await cast.do(apply, ApplyInput(manifests=[job]))

    with pytest.raises(errors.ObjectFailedError, match="Job load failed: DeadlineExceeded") as caught:
        await _wait(cast, WaitInput(api_version="batch/v1", kind="Job", name="load", timeout_seconds=60))

    assert not caught.value.retryable


async def test_deploying_again_keeps_the_password(cast: Cast) -> None:
    """The first attempt that gets through decides; every later one leaves Secret and server as they are."""
    first = await cast.do(deploy_postgres, SERVER)
    before = await cast.read("secret", "orders-credentials")
    second = await cast.do(deploy_postgres, SERVER)

    assert first == second
    assert await cast.read("secret", "orders-credentials") == before
    assert len(base64.b64decode(before["data"]["password"])) == 32
    for kind, name in (("secret", "orders-credentials"), ("service", "orders"), ("statefulset", "orders")):
        made = await cast.read(kind, name)
        label = ownership.instance_label(f"{cast.namespace}/first:1")
        assert made["metadata"]["labels"]["perdure.dev/instance"] == label
        assert "perdure" in managers(made)


async def test_of_two_runs_that_deploy_the_same_name_one_gets_everything(cast: Cast) -> None:
    """Who creates the Secret goes on, the other one is refused: no server is ever made of two runs."""
    ended = await asyncio.gather(
        *(cast.do(deploy_postgres, SERVER, run=name) for name in ("first", "second")), return_exceptions=True
    )

    assert [type(each).__name__ for each in ended if isinstance(each, BaseException)] == ["ObjectNotOwnedError"]
    made = [
        await cast.read(*words)
        for words in (("secret", "orders-credentials"), ("service", "orders"), ("statefulset", "orders"))
    ]
    assert len({each["metadata"]["labels"]["perdure.dev/instance"] for each in made}) == 1


async def test_deploying_over_a_persons_service_makes_nothing(cast: Cast) -> None:
    """A name that is in use is refused before there is a Secret."""
    await cast.kubectl("create", "service", "clusterip", "orders", "--tcp=80")

    with pytest.raises(errors.ObjectNotOwnedError, match="Service orders"):
        await cast.do(deploy_postgres, SERVER)

    assert "orders-credentials" not in await cast.kubectl("get", "secrets", "--output=name")


async def test_the_restricted_standard_takes_the_server(cast: Cast) -> None:
    """A namespace that enforces the `restricted` Pod Security Standard accepts the Pod."""
    await cast.kubectl("label", "namespace", cast.namespace, "pod-security.kubernetes.io/enforce=restricted")
    if cast.cluster.has_kubelet:
        await asyncio.to_thread(cast.cluster.load_image, "postgres:18")

    await cast.do(deploy_postgres, SERVER)
    ready = await cast.do(wait_for_postgres, WaitForPostgresInput(name="orders", timeout_seconds=120))

    assert ready.message == "1 of 1 replicas ready"


async def test_a_server_that_does_not_come_up_says_what_keeps_its_pod(cast: Cast) -> None:
    """The StatefulSet only counts; the reason is at the Pod that belongs to it."""
    gated = {"schedulingGates": [{"name": "example.com/hold"}], "containers": [{"name": "postgres", "image": "none"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orders-0"}, "spec": gated}
    await cast.kubectl("create", "--filename=-", input=json.dumps(pod))
    await cast.do(deploy_postgres, SERVER)

    server = await cast.read("statefulset", "orders")
    labels = [f"{key}={value}" for key, value in server["spec"]["selector"]["matchLabels"].items()]
    await cast.kubectl("label", "pod/orders-0", *labels)
    is_adopted = "--for=jsonpath={.metadata.ownerReferences[0].name}=orders"
    await cast.kubectl("wait", "pod/orders-0", is_adopted, "--timeout=120s")

    with pytest.raises(
        errors.ObjectNotReadyError, match=r"Last seen: .*; Pod orders-0: not scheduled: SchedulingGated"
    ):
        await cast.do(wait_for_postgres, WaitForPostgresInput(name="orders", timeout_seconds=1))


async def _wait(cast: Cast, target: WaitInput) -> str:
    return (await cast.do(wait_until_ready, target)).message


# --- connecting to a real server -------------------------------------------------------------------------------------


async def _give_password(cast: Cast, server: EmbeddedPostgres, *, password: str | None = None) -> VerifyConnectionInput:
    """Write a Secret for the server, and give what the activity is told of it."""
    address = urlsplit(server.dsn)
    literals = [
        f"--from-literal=username={address.username}",
        f"--from-literal=password={password or address.password}",
    ]
    await cast.kubectl("create", "secret", "generic", "orders-credentials", *literals)
    return VerifyConnectionInput(
        host=address.hostname or "",
        port=address.port or 0,
        database=address.path.removeprefix("/"),
        secret_name="orders-credentials",
    )


async def test_a_server_that_answers_says_its_version(cast: Cast, crashable_postgres: EmbeddedPostgres) -> None:
    """The connection is real: with the user and password of the Secret, over TCP."""
    target = await _give_password(cast, crashable_postgres)

    answer = await cast.do(verify_connection, target)

    assert answer.server_version.startswith("18")


async def test_a_server_that_is_away_is_tried_again(cast: Cast, crashable_postgres: EmbeddedPostgres) -> None:
    """A server that does not answer yet is a retryable failure, and answers the next attempt."""
    target = await _give_password(cast, crashable_postgres)
    await asyncio.to_thread(crashable_postgres.crash)

    with pytest.raises(errors.PostgresUnreachableError, match="Connect") as caught:
        await cast.do(verify_connection, target)
    await asyncio.to_thread(crashable_postgres.restart)

    assert caught.value.retryable
    assert (await cast.do(verify_connection, target)).server_version


async def test_a_wrong_password_is_not_tried_again_and_not_repeated(
    cast: Cast, crashable_postgres: EmbeddedPostgres
) -> None:
    """The Secret is not the one that the volume was set up with: no attempt changes that."""
    target = await _give_password(cast, crashable_postgres, password="hunter2")

    with pytest.raises(errors.CredentialsError, match="orders-credentials") as caught:
        await cast.do(verify_connection, target)

    assert not caught.value.retryable
    assert "hunter2" not in str(caught.value)


async def test_without_its_secret_a_server_is_not_asked(cast: Cast) -> None:
    """A missing Secret is a failure of its own, not a refused connection."""
    target = VerifyConnectionInput(host="127.0.0.1", port=1, database="app", secret_name="orders-credentials")

    with pytest.raises(errors.CredentialsError, match="There is no Secret orders-credentials"):
        await cast.do(verify_connection, target)

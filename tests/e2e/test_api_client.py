"""The client on a real API server: manifests in and out, watches through a crash of the server, and whom a run acts as.

The operator of these tests is a ServiceAccount with nothing but what its Role says, since impersonation, missing rights
and their messages mean nothing for an administrator.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from activities.kubernetes import fields
from perdure import errors
from perdure._core.activity import Manifest, Preconditions
from perdure._kube import client, identity
from tests.cluster.handle import Cluster

RBAC = "rbac.authorization.k8s.io"
PATIENCE_SECONDS = 60


def config(name: str = "colours", **data: str) -> Manifest:
    """Give a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}


def uid(manifest: Manifest) -> str:
    """Give the uid of an object."""
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["uid"])


def name_of(manifest: Manifest) -> str:
    """Give the name of an object."""
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])


@pytest.fixture
async def admin(cluster: Cluster) -> AsyncIterator[client.Api]:
    """Give the API server as an administrator sees it."""
    opened = await client.Api.connect(str(cluster.kubeconfig))
    yield opened
    await opened.close()


class Cast:
    """An operator that may impersonate one ServiceAccount, `runner`, which may do little."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.runner = identity.run_as(namespace, "runner")

    def kubectl(self, *words: str) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(*words, f"--namespace={self.namespace}")

    def allow(self, who: str, verbs: str, resource: str, *more: str) -> None:
        """Give a ServiceAccount rights by a Role."""
        role = f"{who}-{resource.replace('.', '-')}"
        self.kubectl("create", "role", role, f"--verb={verbs}", f"--resource={resource}", *more)
        self.kubectl("create", "rolebinding", role, f"--role={role}", f"--serviceaccount={self.namespace}:{who}")

    def kubeconfig(self, who: str, folder: Path) -> str:
        """Write a kubeconfig with a token of a ServiceAccount."""
        given: dict[str, Any] = yaml.safe_load(self.cluster.kubeconfig.read_text())
        context = next(item for item in given["contexts"] if item["name"] == given["current-context"])
        context["context"]["user"] = who
        given["users"] = [{"name": who, "user": {"token": self.kubectl("create", "token", who).strip()}}]
        path = folder / f"{who}.kubeconfig"
        path.write_text(json.dumps(given))
        return str(path)


@pytest.fixture
def roles(cluster: Cluster, namespace: str) -> Cast:
    """Give the cast: operator and runner, who may apply and read ConfigMaps."""
    made = Cast(cluster, namespace)
    for who in ("operator", "runner"):
        made.kubectl("create", "serviceaccount", who)
    made.allow("operator", "impersonate", "serviceaccounts", "--resource-name=runner", "--resource-name=ghost")
    made.kubectl("create", "role", "looker", "--verb=get", "--resource=serviceaccounts")
    made.kubectl("create", "rolebinding", "looker", "--role=looker", f"--serviceaccount={namespace}:operator")
    made.allow("runner", "get,list,watch,patch,create", "configmaps")
    return made


@pytest.fixture
async def operator(roles: Cast, tmp_path: Path) -> AsyncIterator[client.Api]:
    """Give the API server as the operator sees it."""
    opened = await client.Api.connect(roles.kubeconfig("operator", tmp_path))
    yield opened
    await opened.close()


async def test_an_object_lives_its_life(admin: client.Api, namespace: str) -> None:
    """Apply makes and changes, get and list find, delete ends; what is not there is None or False."""
    assert await admin.get("v1", "ConfigMap", "colours", namespace=namespace) is None

    made = await admin.apply(config(sky="blue"), field_manager="one", namespace=namespace)
    changed = await admin.apply(config(sky="grey"), field_manager="one", namespace=namespace)
    assert uid(changed) == uid(made)
    assert await admin.create(config(), field_manager="two", namespace=namespace) is None

    (found,) = [item for item in await admin.list("v1", "ConfigMap", namespace=namespace) if uid(item) == uid(made)]
    assert (found["apiVersion"], found["kind"], found["data"]) == ("v1", "ConfigMap", {"sky": "grey"})
    listed = await admin.list_metadata("v1", "ConfigMap", namespace=namespace)
    assert uid(made) in [uid(item) for item in listed.items]
    assert all("data" not in item for item in listed.items)

    for only, is_meant in (
        (Preconditions("another"), False),
        (Preconditions(uid(made), "1"), False),
        (Preconditions(uid(made)), True),
    ):
        deleted = await admin.delete("v1", "ConfigMap", "colours", namespace=namespace, preconditions=only)
        assert deleted is is_meant
    assert await admin.delete("v1", "ConfigMap", "colours", namespace=namespace) is False


async def test_a_patch_is_merged_into_the_version_that_it_names(admin: client.Api, namespace: str) -> None:
    """Other fields stay; a version that is not the present one is a conflict; what is not there is None."""
    made = await admin.apply(config(sky="blue", sun="round"), field_manager="one", namespace=namespace)
    named: Manifest = {"name": "colours", "namespace": namespace}
    patch: Manifest = {**config(sky="red"), "metadata": named}

    patched = await admin.patch(patch, field_manager="two")
    version = fields.text(made, "metadata", "resourceVersion")
    late: Manifest = {**patch, "metadata": {**named, "resourceVersion": version}}
    with pytest.raises(errors.KubernetesConflictError) as caught:
        await admin.patch(late, field_manager="two")
    nothing = await admin.patch({**patch, "metadata": {**named, "name": "shapes"}}, field_manager="two")

    assert patched is not None
    assert patched["data"] == {"sky": "red", "sun": "round"}
    assert caught.value.retryable
    assert nothing is None


async def test_a_list_may_be_cut_and_selected_by_fields(admin: client.Api, namespace: str) -> None:
    """As many as were asked for, and by what the server can select."""
    for name in ("one", "two", "three"):
        await admin.create({**config(), "metadata": {"name": name}}, field_manager="one", namespace=namespace)

    some = await admin.list("v1", "ConfigMap", namespace=namespace, limit=2)
    (one,) = await admin.list("v1", "ConfigMap", namespace=namespace, field_selector="metadata.name=two")

    assert len(some) == 2
    assert (one["kind"], fields.text(one, "metadata", "name")) == ("ConfigMap", "two")


async def test_a_field_of_somebody_else_is_taken_over_or_left(admin: client.Api, namespace: str) -> None:
    """Without force a conflict names the field and the owner, and is final; with force the field changes hands."""
    await admin.apply(config(sky="blue"), field_manager="one", namespace=namespace)

    with pytest.raises(errors.KubernetesConflictError, match=r'conflict with "one".*\.data\.sky') as refused:
        await admin.apply(config(sky="grey"), field_manager="two", namespace=namespace, force=False)
    assert not refused.value.retryable

    taken = await admin.apply(config(sky="grey"), field_manager="two", namespace=namespace)
    assert taken["data"] == {"sky": "grey"}


async def test_a_patch_for_another_object_of_that_name_changes_nothing(admin: client.Api, namespace: str) -> None:
    """The uid test is what a late status write fails on; without the object it is None."""
    made = await admin.apply(config(sky="blue"), field_manager="one", namespace=namespace)

    async def patch(expected: str, name: str = "colours") -> Manifest | None:
        return await admin.json_patch(
            "v1",
            "ConfigMap",
            name=name,
            namespace=namespace,
            patch=[
                {"op": "test", "path": "/metadata/uid", "value": expected},
                {"op": "add", "path": "/data/sky", "value": "red"},
            ],
        )

    with pytest.raises(errors.KubernetesPatchTestError):
        await patch("another")
    assert await patch(uid(made), "nobody") is None
    patched = await patch(uid(made))
    assert patched is not None
    assert patched["data"] == {"sky": "red"}


async def test_a_race_for_one_object_has_one_winner(admin: client.Api, namespace: str) -> None:
    """Of two replacements of the same version one is refused, and may try again."""
    made = await admin.apply(config(sky="blue"), field_manager="one", namespace=namespace)

    await admin.replace({**made, "data": {"sky": "grey"}}, field_manager="one")
    with pytest.raises(errors.KubernetesConflictError) as refused:
        await admin.replace({**made, "data": {"sky": "red"}}, field_manager="one")

    assert refused.value.retryable


async def test_a_list_longer_than_a_page_is_whole(
    admin: client.Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects of all pages are there, once each."""
    monkeypatch.setattr(client, "_PAGE", 2)
    for number in range(5):
        await admin.apply(config(f"c{number}"), field_manager="one", namespace=namespace)

    made = [name_of(item) for item in await admin.list("v1", "ConfigMap", namespace=namespace)]

    assert sorted(set(made) - {"kube-root-ca.crt"}) == [f"c{number}" for number in range(5)]
    assert len(set(made)) == len(made)


async def test_an_unknown_kind_is_named_and_found_once_it_is_there(admin: client.Api, cluster: Cluster) -> None:
    """A kind nobody serves is a mistake that says so; a CRD installed later is found without a restart."""
    with pytest.raises(
        errors.KubernetesKindUnknownError, match=r"no kind Orchestrations in apiVersion perdure\.dev/v1alpha1"
    ):
        await admin.list("perdure.dev/v1alpha1", "Orchestrations")
    with pytest.raises(errors.KubernetesKindUnknownError, match=r"no kind Thing in apiVersion nowhere\.example/v1"):
        await admin.list("nowhere.example/v1", "Thing")

    await asyncio.to_thread(cluster.install_crds)

    assert isinstance(await admin.list("perdure.dev/v1alpha1", "Orchestration"), list)


async def test_an_invalid_object_is_refused_for_good(admin: client.Api, namespace: str) -> None:
    """What the server finds wrong is passed on in its words, and trying again is of no use."""
    with pytest.raises(errors.KubernetesApiError, match=r"422 Invalid.*RFC 1123") as refused:
        await admin.apply(config("Not_A_Name"), field_manager="one", namespace=namespace)
    with pytest.raises(errors.KubernetesApiError, match='namespaces "nowhere-at-all" not found') as elsewhere:
        await admin.apply(config(), field_manager="one", namespace="nowhere-at-all")

    assert (refused.value.retryable, elsewhere.value.retryable) == (False, False)


async def test_a_watch_sees_an_object_come_change_and_go(admin: client.Api, namespace: str) -> None:
    """Absence, every change and the end are told as they happen."""
    changes = admin.watch("v1", "ConfigMap", "colours", namespace=namespace)

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await anext(changes) is None
        await admin.apply(config(sky="blue"), field_manager="one", namespace=namespace)
        assert (await anext(changes) or {})["data"] == {"sky": "blue"}
        await admin.apply(config("other", sky="red"), field_manager="one", namespace=namespace)
        await admin.apply(config(sky="grey"), field_manager="one", namespace=namespace)
        assert (await anext(changes) or {})["data"] == {"sky": "grey"}
        await admin.delete("v1", "ConfigMap", "colours", namespace=namespace)
        assert await anext(changes) is None
    await changes.aclose()


async def test_a_watch_survives_the_death_of_the_api_server(local_cluster: Cluster, namespace: str) -> None:
    """What changes after a SIGKILL and a restart is seen, without a word about the time between."""
    admin = await client.Api.connect(str(local_cluster.kubeconfig))
    await admin.apply(config(sky="blue"), field_manager="one", namespace=namespace)
    changes = admin.watch("v1", "ConfigMap", "colours", namespace=namespace)
    assert (await anext(changes) or {})["data"] == {"sky": "blue"}
    after = asyncio.ensure_future(anext(changes))

    await asyncio.to_thread(local_cluster.stop_api_server)
    try:
        with pytest.raises(
            errors.KubernetesUnavailableError, match=r"The API server https://127\.0\.0\.1:\d+ did not answer"
        ):
            await admin.get("v1", "ConfigMap", "colours", namespace=namespace)
    finally:
        await asyncio.to_thread(local_cluster.start_api_server)
    await admin.apply(config(sky="grey"), field_manager="one", namespace=namespace)

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await after or {})["data"] == {"sky": "grey"}
    await changes.aclose()
    await admin.close()


async def test_a_run_acts_with_its_own_rights_and_no_others(operator: client.Api, roles: Cast) -> None:
    """What the run's Role allows works though the operator itself may not; what it does not allow is named."""
    as_run = identity.Identities(operator).for_run(roles.runner)

    made = await as_run.apply(config(sky="blue"), field_manager="perdure")
    assert as_run.namespace == roles.namespace
    assert (await as_run.get("v1", "ConfigMap", "colours") or {})["data"] == made["data"]

    with pytest.raises(errors.KubernetesForbiddenError, match="The operator may not get configmaps"):
        await operator.get("v1", "ConfigMap", "colours", namespace=roles.namespace)
    with pytest.raises(errors.KubernetesForbiddenError) as refused:
        await as_run.list("apps/v1", "StatefulSet")
    assert refused.value.retryable
    assert refused.value.message.startswith(
        f"{roles.runner} may not list statefulsets of API group 'apps' in namespace {roles.namespace}. If it should, "
        "allow it with a Role in that namespace: verbs [list], resources [statefulsets], apiGroups ['apps']."
    )
    with pytest.raises(
        errors.KubernetesForbiddenError, match="may not get secrets of API group '' in namespace default"
    ):
        await as_run.get("v1", "Secret", "any", namespace="default")


async def test_a_run_watches_as_itself(operator: client.Api, roles: Cast) -> None:
    """A watch is the run's too, and a right that it lacks ends it at once."""
    as_run = identity.Identities(operator).for_run(roles.runner)
    changes = operator.acting_as(roles.runner).watch("v1", "ConfigMap", "colours")

    async with asyncio.timeout(PATIENCE_SECONDS), contextlib.aclosing(changes):
        assert await anext(changes) is None
        await as_run.apply(config(sky="blue"), field_manager="perdure")
        assert (await anext(changes) or {})["data"] == {"sky": "blue"}
    with pytest.raises(errors.KubernetesForbiddenError, match="may not list pods"):
        await anext(as_run.watch("v1", "Pod", "any"))


async def test_many_waiting_runs_leave_the_operator_its_connections(
    admin: client.Api, operator: client.Api, roles: Cast
) -> None:
    """With sixty watches of runs open, all of them are told a change, and reads and writes are answered at once."""
    await admin.apply(config(sky="blue"), field_manager="one", namespace=roles.namespace)
    as_run = operator.acting_as(roles.runner)
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def look() -> None:
        async with contextlib.aclosing(as_run.watch("v1", "ConfigMap", "colours")) as changes:
            async for found in changes:
                data = (found or {})["data"]
                assert isinstance(data, dict)
                seen.put_nowait(str(data["sky"]))

    async with asyncio.TaskGroup() as group:
        watches = [group.create_task(look()) for _ in range(60)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert {await seen.get() for _ in watches} == {"blue"}
            await admin.apply(config(sky="grey"), field_manager="one", namespace=roles.namespace)
            assert {await seen.get() for _ in watches} == {"grey"}
        async with asyncio.timeout(5):
            assert await operator.get("v1", "ServiceAccount", "runner", namespace=roles.namespace)
            assert await as_run.apply(config(sky="red"), field_manager="perdure")
        for watch in watches:
            watch.cancel()


async def test_whom_the_operator_may_not_impersonate_it_says(operator: client.Api, roles: Cast) -> None:
    """A ServiceAccount that the operator has no right to act as is told apart from one that lacks a right."""
    roles.kubectl("create", "serviceaccount", "stranger")
    as_stranger = identity.Identities(operator).for_run(identity.run_as(roles.namespace, "stranger"))

    with pytest.raises(
        errors.KubernetesForbiddenError,
        match=r"The operator may not act as .*:stranger\. Allow it for .*, or with a Role",
    ):
        await as_stranger.get("v1", "ConfigMap", "colours")


async def test_a_service_account_that_does_not_exist_is_nobody(operator: client.Api, roles: Cast) -> None:
    """The server would impersonate a ghost with whatever it is bound to; the run is told what to create instead."""
    roles.allow("ghost", "get", "configmaps")
    ghost = identity.run_as(roles.namespace, "ghost")
    assert await operator.acting_as(ghost).get("v1", "ConfigMap", "colours") is None

    as_ghost = identity.Identities(operator).for_run(ghost)
    with pytest.raises(errors.ServiceAccountMissingError, match="kubectl create serviceaccount ghost") as missing:
        await as_ghost.get("v1", "ConfigMap", "colours")
    assert missing.value.retryable

    roles.kubectl("create", "serviceaccount", "ghost")
    assert await as_ghost.get("v1", "ConfigMap", "colours") is None


async def test_a_deleted_service_account_is_noticed(operator: client.Api, roles: Cast) -> None:
    """The check is remembered for seconds only: a ServiceAccount that goes takes its runs' rights with it."""
    now = 0.0
    as_run = identity.Identities(operator, clock=lambda: now).for_run(roles.runner)
    assert await as_run.get("v1", "ConfigMap", "colours") is None
    roles.kubectl("delete", "serviceaccount", "runner")

    now = 60.0

    with pytest.raises(errors.ServiceAccountMissingError):
        await as_run.get("v1", "ConfigMap", "colours")

"""The rights that the page of the library names are enough for an activity, and each of them is used.

The column is read from the page, made a role of, and bound to a ServiceAccount that has nothing else. What the activity
has asked for then stands in the audit log of the API server, where there is one to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from activities.kubernetes.apply import apply
from activities.postgres.deploy import deploy_postgres
from activities.postgres.wait import wait_for_postgres
from activities.registry import create_activity_registry
from activities.types import (
    ApplyInput,
    BackupInput,
    ConditionInput,
    CopyChunkInput,
    DeleteInput,
    DeleteManyInput,
    DeletePostgresObjectsInput,
    DeployPostgresInput,
    HealthInput,
    ListInput,
    NameInput,
    NamespaceInput,
    ObjectRef,
    PatchInput,
    PlanMigrationInput,
    ReconfigureInput,
    ReleaseInput,
    ReserveInput,
    RestartInput,
    RestoreInput,
    RollOutInput,
    RunJobInput,
    ScaleInput,
    SecretInput,
    VerifyConnectionInput,
    VerifyMigrationInput,
    WaitForPostgresInput,
    WaitInput,
    WriteSecretInput,
)
from perdure import Manifest, SecretRef, errors
from perdure._kube.client import Api
from perdure._store.lending import LentDatabase
from tests.cluster.handle import Cluster
from tests.e2e.library import IMAGE, Cast, config, deployment, done, job
from tests.e2e.limited import Limited
from tests.tree import text

pytestmark = pytest.mark.slow

PATIENCE = 120.0
GROUPS = {
    "deployments": "apps",
    "statefulsets": "apps",
    "jobs": "batch",
    "rolebindings": "rbac.authorization.k8s.io",
    "clusterroles": "rbac.authorization.k8s.io",
}
CONFIG = {"api_version": "v1", "kind": "ConfigMap", "name": "colours"}
DEPLOYMENT = {"api_version": "apps/v1", "kind": "Deployment", "name": "web"}
FORBIDDEN = 403
"""What is asked for so that an error says more is asked where one may."""

Rights: TypeAlias = frozenset[tuple[str, str]]
"""Resources, with their subresource, and verbs."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What the attempts are given in turn, what there is `before`, and what it is `of` where the row names nothing.

    They are attempts of one activity, unless they are of `several`.
    """

    inputs: Sequence[Any]
    of: str = ""
    before: str = ""
    may_raise: tuple[type[Exception], ...] = ()
    several: bool = False


def twice(of: str, input: Any, before: str = "", *, several: bool = False) -> Case:
    """Give the case of an activity on one kind of objects: an attempt, and another one of the same."""
    return Case([input, input], of, before, several=several)


def once(input: Any, *may_raise: type[Exception], again: bool = False) -> Case:
    """Give the case of an activity on a server that is there."""
    return Case([input, input] if again else [input], before="server", may_raise=may_raise)


DOOR = WriteSecretInput(name="door", from_={"a": SecretRef("house", "key")}, generate={"b": 9})
GONE = {**CONFIG, "name": "shapes"}
SERVER = DeployPostgresInput(name="orders", version="18", storage="1Gi")
CHANGE = ReconfigureInput(name="orders", parameters={"work_mem": "8MB"})
NOWHERE = {"host": "127.0.0.1", "port": 1, "database": "app", "secret_name": "orders-credentials"}
MOVE = {"migration": "m", "source": NOWHERE, "target": NOWHERE, "table": {"name": "orders", "key": "id"}}
NOT_READY = errors.ObjectNotReadyError
AWAY = errors.PostgresUnreachableError
SAYS_NOTHING = errors.ObjectFailedError
"""Of a Job that a stand-in for a kubelet has only said to run."""

CASES: dict[str, Case] = {
    "kubernetes-apply": twice("configmaps", ApplyInput(manifests=[config(sky="red"), config("shapes")])),
    "kubernetes-patch": twice("configmaps", PatchInput(**CONFIG, patch={"data": {"sky": "red"}})),
    "kubernetes-get": twice("configmaps", ObjectRef(**CONFIG)),
    "kubernetes-list": twice("configmaps", ListInput(api_version="v1", kind="ConfigMap")),
    "kubernetes-delete": twice("configmaps", DeleteInput(**CONFIG, wait_seconds=PATIENCE)),
    "kubernetes-delete-many": twice(
        "configmaps", DeleteManyInput(targets=[ObjectRef(**CONFIG)], wait_seconds=PATIENCE)
    ),
    "kubernetes-wait-until-ready": twice("deployments", WaitInput(**DEPLOYMENT, timeout_seconds=PATIENCE), IMAGE),
    "kubernetes-wait-for-condition": twice(
        "deployments", ConditionInput(**DEPLOYMENT, condition="Available", timeout_seconds=PATIENCE), IMAGE
    ),
    "kubernetes-wait-until-gone": twice("configmaps", WaitInput(**GONE, timeout_seconds=PATIENCE)),
    "kubernetes-run-job": twice("jobs", RunJobInput(manifest=job("load"), timeout_seconds=PATIENCE), several=True),
    "kubernetes-roll-out": twice(
        "deployments", RollOutInput(name="web", images={"main": IMAGE}, timeout_seconds=PATIENCE), "old:1"
    ),
    "kubernetes-restart": twice("deployments", RestartInput(name="web", timeout_seconds=PATIENCE), IMAGE),
    "kubernetes-scale": twice("deployments", ScaleInput(**DEPLOYMENT, replicas=2, timeout_seconds=PATIENCE), IMAGE),
    "kubernetes-read-secret": twice("secrets", SecretInput(name="house")),
    "kubernetes-write-secret": Case([DOOR, DOOR.model_copy(update={"generate": {"b": 9, "c": 9}})], of="secrets"),
    "deploy-postgres": Case([SERVER, SERVER.model_copy(update={"storage": "2Gi"})], before="volume"),
    "wait-for-postgres": Case([WaitForPostgresInput(name="orders", timeout_seconds=1)], "", "held", (NOT_READY,)),
    "verify-postgres-connection": once(VerifyConnectionInput(**NOWHERE), AWAY),
    "plan-postgres-migration": once(PlanMigrationInput(**MOVE, chunk_rows=1, chunks=1), AWAY),
    "copy-postgres-chunk": once(CopyChunkInput(**MOVE, chunk=1), AWAY),
    "verify-postgres-migration": once(VerifyMigrationInput(**MOVE), AWAY),
    "reconfigure-postgres": Case(
        [CHANGE, CHANGE.model_copy(update={"storage": "2Gi"})], before="volume server halved", several=True
    ),
    "postgres-connection-info": once(NameInput(name="orders")),
    "check-postgres-health": once(HealthInput(name="orders", timeout_seconds=1)),
    "backup-postgres-database": once(BackupInput(name="orders"), SAYS_NOTHING, again=True),
    "restore-postgres-database": once(RestoreInput(name="orders", backup="a"), SAYS_NOTHING),
    "delete-postgres-objects": Case(
        [DeletePostgresObjectsInput(name="orders", wait_seconds=PATIENCE)], before="server stray"
    ),
}


class Narrow:
    """A ServiceAccount with the rights of a row, and what it has asked for."""

    def __init__(self, cast: Cast, api: Api) -> None:
        self.cast = cast
        self.api = api
        self.user = f"system:serviceaccount:{cast.namespace}:narrow"

    async def may(self, rights: Rights, *, everywhere: bool = False) -> None:
        """Give it these rights, in the namespace or `everywhere`."""
        kind, name = ("ClusterRole", self.cast.namespace) if everywhere else ("Role", "narrow")
        made = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "rules": [
                {"apiGroups": [GROUPS.get(resource.partition("/")[0], "")], "resources": [resource], "verbs": [verb]}
                for resource, verb in sorted(rights)
            ],
        }
        await self.cast.kubectl("create", "serviceaccount", "narrow")
        await self.cast.kubectl("create", "--filename=-", input=json.dumps(made))
        account = f"--serviceaccount={self.cast.namespace}:narrow"
        await self.cast.kubectl("create", f"{kind.lower()}binding", name, f"--{kind.lower()}={name}", account)

    async def does(self, name: str, input: Any, *, seq: int, epoch: int, database: LentDatabase | None = None) -> None:
        """Make an attempt of an activity."""
        activity = next(one for one in create_activity_registry() if one.name.endswith(f"::{name}"))
        ctx = self.cast.run(seq=seq, epoch=epoch)
        info = dataclasses.replace(ctx.info, run_as=self.user)
        await done(
            activity, dataclasses.replace(ctx, info=info, _kubernetes=self.api.acting_as, _database=database), input
        )

    def check(self, rights: Rights) -> None:
        """Hold what it has asked for, and was given, against these rights; where that is written down nowhere, do not.

        Who finds at once what it waits for has watched nothing.
        """
        if self.cast.cluster.control_plane is None:
            return
        events = map(json.loads, self.cast.cluster.control_plane.audit_log.read_text().splitlines())
        used = frozenset(
            ("/".join(filter(None, map(event["objectRef"].get, ("resource", "subresource")))), event["verb"])
            for event in events
            if event.get("impersonatedUser", {}).get("username") == self.user
            and event["responseStatus"]["code"] != FORBIDDEN
        )
        spared = {(resource, "watch") for resource, verb in used if verb == "list"}
        assert used - rights == frozenset(), "more was asked for than the page says"
        assert rights - used - spared == frozenset(), "the page names more than is needed"


@pytest.fixture(scope="module")
def audited(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited | None]:
    """Give an operator whose requests are written down, where they are."""
    if cluster.control_plane is None:
        yield None
        return
    limited = asyncio.run(Limited.made(cluster, tmp_path_factory.mktemp("audited"), runs=[]))
    yield limited
    asyncio.run(limited.remove())


@pytest.fixture
async def narrow(cast: Cast, audited: Limited | None) -> AsyncIterator[Narrow]:
    """Give a ServiceAccount without any right, and an operator that acts as it."""
    if audited is None:
        yield Narrow(cast, cast.api)
        return
    await audited.may_act_in(cast.namespace)
    api = await Api.connect(str(audited.kubeconfig))
    yield Narrow(cast, api)
    await api.close()


@pytest.mark.parametrize("name", CASES)
async def test_the_rights_on_the_page_are_enough_and_each_is_used(cast: Cast, narrow: Narrow, name: str) -> None:
    """With a Role of just what the page says every attempt comes to its end, and all of it is needed."""
    case, rights = CASES[name], rights_of(name, CASES[name].of)
    await prepare(cast, case)
    await narrow.may(rights)

    inputs = case.inputs if cast.cluster.control_plane else case.inputs[:1]
    for number, input in enumerate(inputs, start=2):
        if "volume" in case.before and number > len(case.inputs):
            bound = "--for=jsonpath={.status.phase}=Bound"
            await cast.kubectl("wait", "pvc/data-orders-0", bound, f"--timeout={PATIENCE}s")
        with contextlib.suppress(*case.may_raise):
            await narrow.does(name, input, seq=number if case.several else 2, epoch=number)

    narrow.check(rights)


async def prepare(cast: Cast, case: Case) -> None:
    """Make what is there before the activity begins."""
    await cast.load_images()
    before = [config(sky="blue")]
    if case.of == "deployments":
        before.append(deployment("web", image=case.before))
    await cast.do(apply, ApplyInput(manifests=before))
    await cast.kubectl("create", "secret", "generic", "house", "--from-literal=key=hunter2hunter2")
    if "volume" in case.before and cast.cluster.control_plane:
        await cast.kubectl("create", "--filename=-", input="\n---\n".join(map(json.dumps, growing(cast.namespace))))
    if "held" in case.before:
        await cast.kubectl("create", "quota", "hold", "--hard=count/pods=0")
        await cast.do(deploy_postgres, SERVER)
    if "server" in case.before:
        await cast.do(deploy_postgres, SERVER)
        await cast.do(wait_for_postgres, WaitForPostgresInput(name="orders", timeout_seconds=PATIENCE))
    if "stray" in case.before:
        await cast.kubectl("create", "--filename=-", input=json.dumps(stray()))
    if "halved" in case.before:
        await cast.kubectl("delete", "service", "orders")


def stray() -> Manifest:
    """Give a Pod of an earlier life of the server, which goes with no StatefulSet."""
    labels: Manifest = {"app.kubernetes.io/name": "postgres", "app.kubernetes.io/instance": "orders"}
    container: Manifest = {"name": "main", "image": IMAGE, "command": ["sleep", "infinity"]}
    spec: Manifest = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stray", "labels": labels}, "spec": spec}


def growing(namespace: str) -> list[Manifest]:
    """Give a class whose volumes may grow, and the claim of the server's volume in it."""
    claim: Manifest = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-orders-0"},
        "spec": {
            "storageClassName": namespace,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    of_class: Manifest = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": namespace},
        "provisioner": "kubernetes.io/no-provisioner",
        "allowVolumeExpansion": True,
    }
    return [of_class, claim]


async def test_the_rights_for_a_namespace_are_enough_and_each_is_used(cast: Cast, narrow: Narrow) -> None:
    """It is made, changed, and what is no longer asked for is taken away, with a ClusterRole of what the page says."""
    rights, name = rights_of("kubernetes-create-namespace"), f"{cast.namespace}-tenant"
    await narrow.may(rights, everywhere=True)
    full = NamespaceInput(name=name, quota={"pods": "1"}, limits={"cpu": "1"}, admins=["User:ann"])
    try:
        for epoch, input in enumerate((full, full, NamespaceInput(name=name)), start=2):
            await narrow.does("kubernetes-create-namespace", input, seq=2, epoch=epoch)
    finally:
        await cast.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
        for kind in ("clusterrole", "clusterrolebinding"):
            await cast.kubectl("delete", kind, cast.namespace)

    narrow.check(rights - {("clusterroles", "bind")})  # which is looked at, and never asked for


async def test_the_rights_to_release_a_name_are_enough_and_each_is_used(cast: Cast, narrow: Narrow, dsn: str) -> None:
    """What is left of a server is looked for, of every kind."""
    rights, database = rights_of("inventory-release"), LentDatabase(dsn, address="", variable="PERDURE_INVENTORY_URL")
    await narrow.may(rights)

    for seq, name, input in (
        (1, "inventory-reserve", ReserveInput(name="orders", version="18", storage="1Gi")),
        (2, "inventory-release", ReleaseInput(name="orders")),
    ):
        await narrow.does(name, input, seq=seq, epoch=seq, database=database)
    await database.close()

    narrow.check(rights)


def test_no_activity_is_left_out() -> None:
    """One that is added to the library is tried here, unless its row says that it needs no right."""
    offered = {name.rpartition("::")[2] for name in create_activity_registry().names()}
    tried = {*CASES, "kubernetes-create-namespace", "inventory-release"}

    assert {name for name in offered - {"greet"} if rights_of(name, "any")} == tried


def rights_of(name: str, of: str = "") -> Rights:
    """Read the last column of an activity's row: verbs of the objects that are named, or of what it is `of`.

    Words before the name of a resource are for people.
    """
    (row,) = [line for line in text(Path("docs/library.md")).splitlines() if line.startswith(f"| `{name}` ")]
    rights: set[tuple[str, str]] = set()
    for part in row.strip("| ").rpartition(" | ")[2].split("; "):
        if part.startswith("bind on "):
            rights.add(("clusterroles", "bind"))
        elif part != "none":
            named, _, verbs = part.rpartition(": ")
            words = [each.rpartition(" ")[2] for each in named.split(", ")]
            resources = [{"": of, "wait": of, "scale": f"{of}/scale"}.get(word, word) for word in words]
            rights |= {(resource, verb) for resource in resources for verb in verbs.split(", ")}
    return frozenset(rights)

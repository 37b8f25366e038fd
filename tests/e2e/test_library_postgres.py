"""The activities around a Postgres server against a real API server: what is judged, changed, refused and left alone.

Each of the older system's mistakes has a test: a server is judged by all of its objects, half-made sets are completed,
a name is not free while its old Service lives, and a Pod of an earlier life speaks for nobody.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.inventory.look import get_entry
from activities.inventory.release import release
from activities.inventory.reserve import reserve
from activities.kubernetes import ownership
from activities.postgres import manifests
from activities.postgres.backup import backup_database
from activities.postgres.delete import delete_postgres_objects
from activities.postgres.deploy import deploy_postgres
from activities.postgres.health import check_postgres_health
from activities.postgres.info import connection_info
from activities.postgres.reconfigure import reconfigure_postgres
from activities.postgres.restore import restore_database
from activities.postgres.wait import wait_for_postgres
from activities.types import (
    BackupInput,
    DeletePostgresObjectsInput,
    DeployPostgresInput,
    EntryInput,
    HealthInput,
    HealthOutput,
    NameInput,
    ReconfigureInput,
    ReconfigureOutput,
    ReleaseInput,
    ReserveInput,
    RestoreInput,
    WaitForPostgresInput,
)
from perdure import ActivityContext, JsonValue, NonRetryableError, errors
from perdure._store.lending import LentDatabase
from tests.e2e.library import Cast, done

pytestmark = pytest.mark.slow

OWNER = "shop/orders-db"
SERVER = DeployPostgresInput(name="orders", version="18", storage="1Gi", owner=OWNER)
LOOK = HealthInput(name="orders", owner=OWNER, version="18", connect=False)
GONE = DeletePostgresObjectsInput(name="orders", owner=OWNER, wait_seconds=60)


async def deployed(cast: Cast, server: DeployPostgresInput = SERVER) -> None:
    """Deploy a server and wait until it is ready."""
    if cast.cluster.has_kubelet:
        await asyncio.to_thread(cast.cluster.load_image, f"postgres:{server.version}")
    await cast.do(deploy_postgres, server, epoch=1)
    await cast.do(wait_for_postgres, WaitForPostgresInput(name=server.name, timeout_seconds=120))


async def looked(cast: Cast, *, run: str = "actor", **how: Any) -> HealthOutput:
    """Look at the server, as another run than the one that made it."""
    return await cast.do(check_postgres_health, LOOK.model_copy(update=how), run=run, epoch=2)


async def left(cast: Cast) -> set[str]:
    """Name what there is in the namespace of the server's kinds."""
    kinds = "statefulsets,services,secrets,persistentvolumeclaims,pods,jobs"
    return set((await cast.kubectl("get", kinds, "--output=name")).split())


# --- health ----------------------------------------------------------------------------------------------------------


async def test_a_whole_server_is_healthy_and_looking_changes_nothing(cast: Cast) -> None:
    """All objects are there, as they were made, and the Pod of this StatefulSet is ready."""
    await deployed(cast)
    before = await cast.read("statefulset", "orders")

    seen = await looked(cast)

    assert (seen.healthy, seen.ready, seen.missing, seen.drifted) == (True, True, [], [])
    assert await cast.read("statefulset", "orders") == before


@pytest.mark.parametrize(("kind", "name"), [("Secret", "orders-credentials"), ("Service", "orders")])
async def test_a_server_of_which_one_object_is_missing_is_not_whole(cast: Cast, kind: str, name: str) -> None:
    """Existence is judged by all of the objects: each one that is missing is named, and deploying completes the set."""
    await deployed(cast)
    await cast.kubectl("delete", kind, name)

    seen = await looked(cast)
    await cast.do(deploy_postgres, SERVER, run="actor", epoch=3)

    assert (seen.healthy, seen.missing) == (False, [kind])
    assert (await looked(cast)).missing == []


async def test_a_server_that_is_not_there_is_an_answer(cast: Cast) -> None:
    """Nothing of it exists, and that is no error."""
    seen = await looked(cast)

    assert (seen.healthy, seen.ready, seen.missing) == (False, False, ["Secret", "Service", "StatefulSet"])


async def test_what_was_changed_by_hand_is_named_and_put_right(cast: Cast) -> None:
    """A Service that leads elsewhere and a server that was scaled away are drift; deploying puts them right."""
    await deployed(cast)
    await cast.kubectl("patch", "service", "orders", '--patch={"spec":{"selector":{"app.kubernetes.io/instance":"x"}}}')
    await cast.kubectl("scale", "statefulset", "orders", "--replicas=0")

    seen = await looked(cast)
    await cast.do(deploy_postgres, SERVER, run="actor", epoch=3)

    assert seen.drifted == ["Service spec.selector.app.kubernetes.io/instance", "StatefulSet spec.replicas"]
    assert (await looked(cast)).drifted == []


async def test_a_pod_of_an_earlier_life_speaks_for_nobody(cast: Cast) -> None:
    """A ready Pod with the server's labels that is not of this StatefulSet does not make the server ready."""
    old: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "a-first-pod",
            "labels": {"app.kubernetes.io/name": "postgres", "app.kubernetes.io/instance": "orders"},
        },
        "spec": {"containers": [{"name": "postgres", "image": "postgres:18", "command": ["sleep", "3600"]}]},
    }
    await deployed(cast)
    await cast.kubectl("create", "--filename=-", input=json.dumps(old))
    await cast.kubectl("wait", "pod/a-first-pod", "--for=condition=Ready", "--timeout=60s")
    await cast.kubectl("scale", "statefulset", "orders", "--replicas=0")
    await cast.kubectl("wait", "pod/orders-0", "--for=delete", "--timeout=120s")

    seen = await looked(cast)

    assert (seen.ready, seen.healthy) == (False, False)
    assert "no Pod" in seen.message


async def test_without_a_version_the_settings_of_the_server_are_right(cast: Cast) -> None:
    """Who does not say what the server should be is told only of what no server should be."""
    await deployed(cast, SERVER.model_copy(update={"parameters": {"work_mem": "8MB"}}))

    assert (await looked(cast, version="")).healthy
    assert (await looked(cast, parameters={"work_mem": "8MB"})).healthy
    assert (await looked(cast, parameters={"work_mem": "16MB"})).drifted == [
        "StatefulSet spec.template.spec.containers[postgres].args[1]"
    ]


async def test_a_server_that_does_not_answer_is_an_answer(cast: Cast) -> None:
    """Where the name of the Service leads nowhere, as outside of the cluster, the look says so and raises nothing."""
    await deployed(cast)

    seen = await looked(cast, connect=True, timeout_seconds=2)

    assert (seen.ready, seen.connected, seen.healthy, seen.latency_ms) == (True, False, False, None)
    assert "Cannot connect" in seen.message


async def test_another_owners_server_is_told_and_left_alone(cast: Cast) -> None:
    """Nobody heals, changes, backs up or deletes what is not theirs."""
    await deployed(cast)
    mine = {"owner": "shop/other"}

    seen = await looked(cast, **mine)

    assert not seen.healthy
    assert "StatefulSet orders" in seen.message
    assert "is not its own" in seen.message
    ended = await asyncio.gather(
        cast.do(deploy_postgres, SERVER.model_copy(update=mine)),
        cast.do(reconfigure_postgres, ReconfigureInput(name="orders", storage="2Gi", owner="shop/other")),
        cast.do(backup_database, BackupInput(name="orders", owner="shop/other")),
        cast.do(delete_postgres_objects, GONE.model_copy(update=mine)),
        return_exceptions=True,
    )
    assert [type(each).__name__ for each in ended] == ["ObjectNotOwnedError"] * 4


# --- deploying and changing ------------------------------------------------------------------------------------------


async def test_a_server_belongs_to_its_owner_whoever_deploys_it(cast: Cast) -> None:
    """Two runs that work for one owner work on the same objects, with the same password."""
    await cast.do(deploy_postgres, SERVER, run="first", epoch=1)
    before = await cast.read("secret", "orders-credentials")
    await cast.do(deploy_postgres, SERVER, run="second", epoch=2)

    assert (await cast.read("secret", "orders-credentials"))["data"] == before["data"]
    for kind, name in (("secret", "orders-credentials"), ("service", "orders"), ("statefulset", "orders")):
        labels = (await cast.read(kind, name))["metadata"]["labels"]
        assert labels["perdure.dev/instance"] == ownership.instance_label(OWNER)


async def test_another_major_version_is_refused_and_a_minor_one_is_not(cast: Cast) -> None:
    """Data of 16 is not read by 18: the refusal names the way, and nothing has changed."""
    await cast.do(deploy_postgres, SERVER.model_copy(update={"version": "16.2"}))

    with pytest.raises(NonRetryableError, match="upgrade-postgres"):
        await cast.do(deploy_postgres, SERVER, epoch=2)
    await cast.do(deploy_postgres, SERVER.model_copy(update={"version": "16.4"}), epoch=3)

    template = (await cast.read("statefulset", "orders"))["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "postgres:16.4"


async def test_an_upgrade_gets_a_new_volume_and_keeps_the_old_one(cast: Cast) -> None:
    """When the StatefulSet is gone, the new version claims another volume; the way back is the old one."""
    old, new = SERVER.model_copy(update={"version": "16"}), SERVER.model_copy(update={"volume": "data-v18"})
    await deployed(cast, old)
    with pytest.raises(NonRetryableError, match="in the volume data, not data-v18"):
        await cast.do(deploy_postgres, old.model_copy(update={"volume": "data-v18"}), epoch=2)

    await cast.kubectl("delete", "statefulset", "orders", "--cascade=foreground")
    await deployed(cast, new)

    claims = {each for each in await left(cast) if "persistentvolumeclaim" in each}
    assert claims == {"persistentvolumeclaim/data-orders-0", "persistentvolumeclaim/data-v18-orders-0"}
    assert (await looked(cast, volume="data-v18")).healthy


async def test_reconfiguring_changes_what_is_named_and_says_so_twice(cast: Cast) -> None:
    """The second attempt of an activity gives the answer of the first; another activity finds nothing to do."""
    await cast.do(deploy_postgres, SERVER.model_copy(update={"parameters": {"work_mem": "8MB", "jit": "off"}}))
    change = ReconfigureInput(name="orders", owner=OWNER, parameters={"work_mem": "16MB", "jit": ""}, version="18.4")

    first = await cast.do(reconfigure_postgres, change, seq=2, epoch=2)
    second = await cast.do(reconfigure_postgres, change, seq=2, epoch=3)
    other = await cast.do(reconfigure_postgres, change, seq=3, epoch=4)

    assert first == second == ReconfigureOutput(changed=True, restart_needed=True)
    assert other == ReconfigureOutput(changed=False, restart_needed=False)
    container = (await cast.read("statefulset", "orders"))["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["args"]) == ("postgres:18.4", ["-c", "work_mem=16MB"])


async def test_a_volume_grows_and_does_not_shrink(cast: Cast) -> None:
    """The claim is asked for more; less is refused before anything is asked."""
    await deployed(cast)

    with pytest.raises(NonRetryableError, match="can only grow"):
        await cast.do(reconfigure_postgres, ReconfigureInput(name="orders", owner=OWNER, storage="512Mi"), epoch=2)

    assert (await cast.read("pvc", "data-orders-0"))["spec"]["resources"]["requests"]["storage"] == "1Gi"


async def test_what_is_not_there_cannot_be_reconfigured_or_used(cast: Cast) -> None:
    """The missing kind is named, and it is tried again: deploying may be on its way."""
    for waiting in (
        cast.do(reconfigure_postgres, ReconfigureInput(name="orders")),
        cast.do(connection_info, NameInput(name="orders")),
        cast.do(backup_database, BackupInput(name="orders")),
        cast.do(restore_database, RestoreInput(name="orders", backup="monday")),
    ):
        with pytest.raises(errors.ServerIncompleteError, match="Of Postgres orders there is no") as caught:
            await waiting
        assert caught.value.retryable


async def test_a_server_says_where_it_is_by_the_name_of_its_service(cast: Cast) -> None:
    """Address and Secret, of which only the name is told."""
    made = await cast.do(deploy_postgres, SERVER.model_copy(update={"host": "orders-db"}))
    told = await cast.do(connection_info, NameInput(name="orders"))

    assert told.host == made.host == f"orders-db.{cast.namespace}.svc"
    assert told.secret_name == "orders-credentials"


# --- backups ---------------------------------------------------------------------------------------------------------


async def test_a_namespace_that_enforces_the_restricted_standard_takes_the_jobs(cast: Cast) -> None:
    """The Pods of backup and restore are admitted; a Job that says nothing of what it made has failed."""
    await cast.kubectl("label", "namespace", cast.namespace, "pod-security.kubernetes.io/enforce=restricted")
    await deployed(cast)
    if cast.cluster.has_kubelet:
        await _backed_up_and_restored(cast)
        return

    with pytest.raises(errors.ObjectFailedError, match="did not say with what"):
        await cast.do(backup_database, BackupInput(name="orders", owner=OWNER), seq=2, epoch=2)
    with pytest.raises(errors.ObjectFailedError, match="did not say with what"):
        await cast.do(restore_database, RestoreInput(name="orders", owner=OWNER, backup="a"), seq=3, epoch=3)

    there = await left(cast)
    assert "persistentvolumeclaim/orders-backups" in there
    assert len([each for each in there if each.startswith("job.batch/orders-")]) == 2


async def _backed_up_and_restored(cast: Cast) -> None:
    """Where containers run the Jobs do their work, and say what came out."""
    made = await cast.do(backup_database, BackupInput(name="orders", owner=OWNER, timeout_seconds=300), seq=2, epoch=2)
    back = RestoreInput(name="orders", owner=OWNER, backup=made.backup, timeout_seconds=300)

    assert made.size_bytes > 0
    assert (await cast.do(restore_database, back, seq=3, epoch=3)).backup == made.backup


# --- deleting and the name -------------------------------------------------------------------------------------------


async def test_a_server_goes_whole_and_its_backups_stay(cast: Cast) -> None:
    """In order, each gone before the next; the second attempt finds nothing, and what is not the server's stays."""
    await deployed(cast)
    await cast.kubectl("create", "--filename=-", input=_claim("orders-backups"))
    await cast.kubectl("create", "--filename=-", input=_claim("data-stock-0"))

    first = await cast.do(delete_postgres_objects, GONE, run="remover", epoch=2)
    second = await cast.do(delete_postgres_objects, GONE, run="remover", epoch=3)

    kinds = [each.partition(" ")[0] for each in first.deleted if not each.startswith("Pod")]
    assert kinds == ["StatefulSet", "Service", "PersistentVolumeClaim", "Secret"]
    assert second.deleted == []
    assert await left(cast) == {"persistentvolumeclaim/orders-backups", "persistentvolumeclaim/data-stock-0"}


async def test_data_that_is_to_stay_keeps_its_password(cast: Cast) -> None:
    """A volume without the Secret that it was set up with would open for nobody."""
    await deployed(cast)

    await cast.do(delete_postgres_objects, GONE.model_copy(update={"delete_volumes": False}), epoch=2)

    assert await left(cast) == {"persistentvolumeclaim/data-orders-0", "secret/orders-credentials"}


async def test_half_a_server_is_deleted_too(cast: Cast) -> None:
    """What an attempt that died has left goes with the next, whichever half it is."""
    await deployed(cast)
    await cast.kubectl("delete", "statefulset", "orders", "--cascade=orphan")

    await cast.do(delete_postgres_objects, GONE, epoch=2)

    assert await left(cast) == set()


async def test_what_a_controller_makes_while_the_server_goes_goes_too(cast: Cast) -> None:
    """A claim that was not there at the first look: its controller may hear late that a StatefulSet goes."""
    await deployed(cast)
    await _hold_service(cast, ["example.org/hold"])
    going = asyncio.create_task(cast.do(delete_postgres_objects, GONE, epoch=2))
    await cast.kubectl("wait", "--for=jsonpath={.metadata.deletionTimestamp}", "service/orders", "--timeout=60s")
    await cast.kubectl("create", "--filename=-", input=_claim("late-orders-0", **manifests.labels("orders")))
    await _hold_service(cast, None)

    deleted = (await going).deleted

    assert deleted[-2:] == ["PersistentVolumeClaim late-orders-0", "Secret orders-credentials"]
    assert await left(cast) == set()


async def _hold_service(cast: Cast, finalizers: list[str] | None) -> None:
    patch = json.dumps({"metadata": {"finalizers": finalizers}})
    await cast.kubectl("patch", "service", "orders", "--type=merge", f"--patch={patch}")


@dataclasses.dataclass
class Held:
    """A cast whose runs are lent a database."""

    cast: Cast
    database: LentDatabase

    def run(self, name: str = "first", *, seq: int = 1) -> ActivityContext:
        """Give the context of an attempt."""
        return dataclasses.replace(self.cast.run(name, seq=seq, epoch=seq), _database=self.database)


@pytest.fixture
async def held(cast: Cast, dsn: str) -> AsyncIterator[Held]:
    """Give a cast with an inventory."""
    database = LentDatabase(dsn, address="", variable="PERDURE_INVENTORY_URL")
    yield Held(cast, database)
    await database.close()


async def test_a_name_is_not_free_while_anything_of_its_server_lives(held: Held) -> None:
    """The release is refused, and says what is there, until the last object is gone; then the name is free."""
    wanted = ReserveInput(name="orders", version="18", storage="1Gi", owner=OWNER)
    await done(reserve, held.run(seq=1), wanted)
    await held.cast.do(deploy_postgres, SERVER)
    for kind, name in (("statefulset", "orders"), ("service", "orders")):
        with pytest.raises(errors.NameInUseError, match="Service orders") as caught:
            await done(release, held.run(seq=2), ReleaseInput(name="orders"))
        assert caught.value.retryable
        await held.cast.kubectl("delete", kind, name)

    with pytest.raises(errors.NameInUseError, match="Secret orders-credentials"):
        await done(release, held.run(seq=2), ReleaseInput(name="orders"))
    await held.cast.do(delete_postgres_objects, GONE, epoch=3)

    assert (await done(release, held.run(seq=2), ReleaseInput(name="orders"))).released
    entry = await done(get_entry, held.run(seq=3), EntryInput(name="orders"))
    assert entry is not None
    assert entry.released_at is not None


async def test_a_persons_service_of_that_name_holds_nothing(held: Held) -> None:
    """What has not the labels of the server is not the server's."""
    await done(reserve, held.run(seq=1), ReserveInput(name="orders", version="18", storage="1Gi"))
    await held.cast.kubectl("create", "service", "clusterip", "orders", "--tcp=80")

    assert (await done(release, held.run(seq=2), ReleaseInput(name="orders"))).released


async def test_a_name_may_be_given_back_with_data_that_is_to_stay(held: Held) -> None:
    """Volume and Secret are excepted on request; another owner's server of that name is refused by the Secret."""
    await done(reserve, held.run(seq=1), ReserveInput(name="orders", version="18", storage="1Gi", owner=OWNER))
    await deployed(held.cast)
    await held.cast.do(delete_postgres_objects, GONE.model_copy(update={"delete_volumes": False}), epoch=2)

    assert (await done(release, held.run(seq=2), ReleaseInput(name="orders", keep_volumes=True))).released
    with pytest.raises(errors.ObjectNotOwnedError, match="Secret orders-credentials"):
        await held.cast.do(deploy_postgres, SERVER.model_copy(update={"owner": "shop/other"}), epoch=3)


def _claim(name: str, **labels: JsonValue) -> str:
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources}
    metadata = {"name": name, "labels": labels}
    return json.dumps({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})

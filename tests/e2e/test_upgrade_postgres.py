"""upgrade-postgres and backup-postgres from `kubectl apply` to their ends: a real operator, API server and database.

Resources, ServiceAccounts and Roles are those of the pages' examples, with the connection step switched off where the
operator is outside of the cluster. On the local control plane Pods run nothing: there a Job says of its backup what the
namespace's annotation tells its stand-in to say, and what is looked at are the objects. Where containers run, the tests
marked so look at the data.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.cluster.handle import Cluster
from tests.cluster.kubelet import LAST_WORD
from tests.e2e.operators import World
from tests.e2e.scene import Scene

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SERVER = {"version": "16", "verifyConnection": False, "periodSeconds": 5}
"""An actor that looks often meets the upgrade in its middle."""

SAID = {"backup": "a", "sizeBytes": 9, "checksum": "sha256:0", "tables": 2, "finishedAt": "2026-03-29T01:30:00Z"}
"""What the stand-in of a Job says, for a backup and a restore alike."""


@pytest.fixture(scope="module", autouse=True)
def images(cluster: Cluster) -> None:
    """Bring the images into a cluster that really runs them and has no network."""
    if cluster.has_kubelet:
        for version in ("16", "18"):
            cluster.load_image(f"postgres:{version}")


@pytest_asyncio.fixture(loop_scope="module")
async def scene(library_world: World) -> Scene:
    """Give a namespace with a server `orders` of Postgres 16."""
    scene = library_world.unused_scene()
    await scene.kubectl("annotate", "namespace", scene.namespace, f"{LAST_WORD}={json.dumps(SAID)}")
    await scene.kubectl("apply", "--filename=-", input=example("create-postgres", **SERVER))
    await scene.completed("orders-db")
    return scene


def example(page: str, **input: object) -> str:
    """Give the objects of an example, with this added to the input of its run."""
    objects = list(yaml.safe_load_all((EXAMPLES / f"{page}.yaml").read_text()))
    for each in objects:
        if each["kind"] == "Orchestration":
            each["spec"]["input"] |= input
    return yaml.safe_dump_all(objects)


def backup(run: str, **input: object) -> str:
    """Give what the schedule of the example would create at a tick, with its ServiceAccount and Role."""
    *rights, schedule = yaml.safe_load_all((EXAMPLES / "nightly-backup.yaml").read_text())
    spec = schedule["spec"]["orchestrationTemplate"]["spec"]
    spec["input"] |= input
    made = {"apiVersion": schedule["apiVersion"], "kind": "Orchestration", "metadata": {"name": run}, "spec": spec}
    return yaml.safe_dump_all([*rights, made])


def signal(name: str) -> str:
    """Give a word of somebody for the run of the example."""
    spec = {"orchestrationRef": {"name": "orders-to-18"}, "signal": name}
    made = {"apiVersion": "perdure.dev/v1alpha1", "kind": "OrchestrationSignal", "metadata": {"name": name.lower()}}
    return yaml.safe_dump({**made, "spec": spec})


async def there(scene: Scene) -> set[str]:
    """Name the server's Services and claims, and the image that it runs."""
    names = await scene.kubectl("get", "service,persistentvolumeclaim", "--output=name")
    [container] = (await scene.read("statefulset", "orders"))["spec"]["template"]["spec"]["containers"]
    return {*names.split(), container["image"]}


BEFORE = {
    "service/orders",
    "persistentvolumeclaim/data-orders-0",
    "persistentvolumeclaim/orders-backups",
    "postgres:16",
}
AFTER = {
    "service/orders",
    "persistentvolumeclaim/data-v18-orders-0",
    "persistentvolumeclaim/orders-backups",
    "postgres:18",
}


async def test_an_approved_upgrade_leaves_the_new_server_and_nothing_else(scene: Scene) -> None:
    """The example waits for its signal; the rights of its Role are enough, and the password is the one of before."""
    password = (await scene.read("secret", "orders-credentials"))["data"]
    await scene.kubectl("apply", "--filename=-", input=example("upgrade-postgres", verifyConnection=False))
    await scene.shown("orders-to-18", "waitingFor")
    assert await there(scene) == BEFORE

    await scene.kubectl("apply", "--filename=-", input=signal("Approve"))
    status = await scene.completed("orders-to-18")

    assert (status["output"]["version"], status["output"]["volume"]) == ("18", "data-v18")
    assert await there(scene) == AFTER
    assert (await scene.read("secret", "orders-credentials"))["data"] == password


async def test_a_rejected_upgrade_has_touched_nothing(scene: Scene) -> None:
    """The StatefulSet is the very one of before."""
    before = (await scene.read("statefulset", "orders"))["metadata"]["uid"]
    await scene.kubectl("apply", "--filename=-", input=example("upgrade-postgres", verifyConnection=False))
    await scene.shown("orders-to-18", "waitingFor")

    await scene.kubectl("apply", "--filename=-", input=signal("Reject"))
    status = await scene.failed("orders-to-18")

    assert "was rejected; orders is untouched" in json.dumps(status)
    assert (await scene.read("statefulset", "orders"))["metadata"]["uid"] == before
    assert await there(scene) == BEFORE


async def test_an_upgrade_that_fails_is_back_where_it_was(scene: Scene) -> None:
    """A stranger has the name that the new server needs: the old one is made again on its volume, the error is told."""
    claim = (await scene.read("persistentvolumeclaim", "data-orders-0"))["metadata"]["uid"]
    await scene.kubectl("create", "service", "externalname", "orders-upgrade", "--external-name=example.org")
    await scene.kubectl("apply", "--filename=-", input=example("upgrade-postgres", requireApproval=False))

    status = await scene.failed("orders-to-18")

    assert "Service orders-upgrade" in json.dumps(status["conditions"])
    assert await there(scene) == {*BEFORE, "service/orders-upgrade"}
    assert (await scene.read("persistentvolumeclaim", "data-orders-0"))["metadata"]["uid"] == claim


async def test_the_rights_of_the_nightly_example_are_enough(scene: Scene) -> None:
    """What its schedule creates backs up and brings back, as its ServiceAccount."""
    await scene.kubectl("apply", "--filename=-", input=backup("first"))
    made = await scene.completed("first")
    name = made["output"]["backup"]

    await scene.kubectl("apply", "--filename=-", input=backup("second", restore=name))
    back = await scene.completed("second")

    assert back["output"] == {
        "backup": name,
        "tables": made["output"]["tables"],
        "restored": True,
        "sizeBytes": None,
        "checksum": None,
        "finishedAt": None,
    }


async def test_the_schedule_of_the_example_is_taken(scene: Scene) -> None:
    """As it stands: the API server admits it, and it knows its next night."""
    await scene.kubectl("apply", "--filename=-", input=(EXAMPLES / "nightly-backup.yaml").read_text())

    await scene.kubectl("wait", "orchsched/orders-backup", "--for=condition=Ready", "--timeout=60s")


async def lose(scene: Scene) -> None:
    """Take the server and its volume away, and return when its actor has made it again."""
    await scene.kubectl("delete", "statefulset/orders")
    await scene.kubectl("delete", "persistentvolumeclaim/data-orders-0")
    await scene.kubectl("wait", "statefulset/orders", "--for=create", "--timeout=50s")
    await scene.kubectl("rollout", "status", "statefulset/orders", "--timeout=50s")


async def test_a_lost_server_is_made_again_and_takes_its_backup(scene: Scene) -> None:
    """Its actor makes all of it anew, on another volume, and the backup is brought back into that."""
    volume = (await scene.read("persistentvolumeclaim", "data-orders-0"))["metadata"]["uid"]
    await scene.kubectl("apply", "--filename=-", input=backup("night"))
    await scene.completed("night")

    await lose(scene)
    await scene.kubectl("apply", "--filename=-", input=backup("morning", restore="latest"))

    assert (await scene.completed("morning"))["output"]["restored"] is True
    assert (await scene.read("persistentvolumeclaim", "data-orders-0"))["metadata"]["uid"] != volume


# --- where containers run --------------------------------------------------------------------------------------------

FILL = (
    "create table stock (id integer primary key, what text not null);"
    "insert into stock select n, 'thing ' || n from generate_series(1, 1000) n;"
    "create table notes (stock_id integer references stock);"
)
COUNT = "select count(*) || ' ' || sum(id) from stock"


async def psql(scene: Scene, statement: str) -> str:
    """Run a statement in the server's Pod, as its clients do: by the name of the Service, with the password."""
    command = (
        "export PGPASSWORD=$(cat /run/secrets/postgres/password) PGHOST=orders PGUSER=postgres PGDATABASE=app; "
        "timeout 60 sh -c 'until pg_isready --quiet; do :; done'; "
        f'psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --command="{statement}"'
    )
    return (await scene.kubectl("exec", "orders-0", "--", "sh", "-c", command)).strip()


@pytest.mark.needs_kubelet
async def test_an_upgrade_moves_real_data_from_16_to_18(scene: Scene) -> None:
    """Rows that were written after the backup for the approval are there too, read from a server that says 18."""
    await psql(scene, FILL)
    await scene.kubectl("apply", "--filename=-", input=example("upgrade-postgres", verifyConnection=False))
    await scene.shown("orders-to-18", "waitingFor")
    await psql(scene, "insert into stock values (1001, 'late')")

    await scene.kubectl("apply", "--filename=-", input=signal("Approve"))
    status = await scene.completed("orders-to-18")

    assert status["output"]["tables"] == 2
    assert (await psql(scene, "show server_version")).startswith("18.")
    assert await psql(scene, COUNT) == f"1001 {1001 * 1002 // 2}"
    assert await there(scene) == AFTER


@pytest.mark.needs_kubelet
async def test_an_upgrade_that_fails_leaves_the_data_where_it_was(scene: Scene) -> None:
    """A role that the new server does not have makes the restore fail: the old server is back with all of its rows."""
    await psql(scene, f"{FILL} create role clerk; grant select on stock to clerk;")
    await scene.kubectl(
        *("apply", "--filename=-"),
        input=example("upgrade-postgres", requireApproval=False, verifyConnection=False),
    )

    status = await scene.failed("orders-to-18")

    assert "clerk" in json.dumps(status)
    assert (await psql(scene, "show server_version")).startswith("16.")
    assert await psql(scene, COUNT) == f"1000 {1000 * 1001 // 2}"
    assert await there(scene) == BEFORE


@pytest.mark.needs_kubelet
async def test_a_backup_brings_the_data_back_after_the_loss_of_the_volume(scene: Scene) -> None:
    """Server and volume are gone; what is made again is empty, and has its rows after the restore of the latest."""
    await psql(scene, FILL)
    await scene.kubectl("apply", "--filename=-", input=backup("night"))
    await scene.completed("night")

    await lose(scene)
    assert await psql(scene, "select count(*) from pg_tables where schemaname = 'public'") == "0"

    await scene.kubectl("apply", "--filename=-", input=backup("morning", restore="latest"))
    back = await scene.completed("morning")

    assert back["output"]["tables"] == 2
    assert await psql(scene, COUNT) == f"1000 {1000 * 1001 // 2}"

"""create-postgres from `kubectl apply` to Completed: a real operator process, a real API server, a real database.

The resource, its ServiceAccount and its Role are those of the page for authors (`docs/examples/create-postgres.yaml`),
with the connection step switched off: the operator of these tests runs outside the cluster, where the name of a Service
means nothing. That step is tested against a real server in `test_library_activities`, and from a Pod of the operator in
`tests/kind`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from activities.kubernetes import ownership
from tests.cluster.handle import Cluster
from tests.e2e.operators import LIBRARY, World
from tests.e2e.scene import Scene

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "create-postgres.yaml"
SERVER = {"secret": "orders-credentials", "service": "orders", "statefulset": "orders"}


def example(*, kinds: Iterable[str] = (), run: str = "orders-db", **input: object) -> str:
    """Give the objects of the page, or those of some kinds; the run under this name, with this added to its input."""
    objects = list(yaml.safe_load_all(EXAMPLE.read_text()))
    for each in objects:
        if each["kind"] == "Orchestration":
            each["metadata"]["name"] = run
            each["spec"]["input"] |= {"verifyConnection": False, **input}
    return yaml.safe_dump_all([each for each in objects if not kinds or each["kind"] in kinds])


@pytest.fixture(scope="module", autouse=True)
def images(cluster: Cluster) -> None:
    """Bring the images into a cluster that really runs them and has no network."""
    if cluster.has_kubelet:
        for version in ("16", "18"):
            cluster.load_image(f"postgres:{version}")


@pytest.fixture
def scene(library_world: World) -> Scene:
    """Give a namespace with nothing in it."""
    return library_world.unused_scene()


async def test_a_postgres_is_created_and_says_where_it_is(scene: Scene) -> None:
    """The example of the page completes, and its output is what a client needs."""
    await scene.kubectl("apply", "--filename=-", input=example())
    status = await scene.completed("orders-db")

    assert status["output"] == {
        "host": f"orders.{scene.namespace}.svc",
        "port": 5432,
        "database": "app",
        "secretName": "orders-credentials",
        "version": "18",
    }
    assert status["progress"]["text"] == "4/4"
    for kind, name in SERVER.items():
        made = await scene.read(kind, name)
        assert made["metadata"]["labels"]["perdure.dev/instance"] == ownership.instance_label(
            f"{scene.namespace}/orders-db"
        )
        assert "perdure" in {entry["manager"] for entry in made["metadata"]["managedFields"]}


async def test_the_password_is_in_the_secret_and_nowhere_else(library_world: World, scene: Scene) -> None:
    """Neither the database, nor the status, nor the log, nor any object but the Secret knows the password."""
    await scene.kubectl("apply", "--filename=-", input=example())
    await scene.completed("orders-db")
    encoded = (await scene.read("secret", "orders-credentials"))["data"]["password"]
    secrets = (encoded, base64.b64decode(encoded).decode())

    told = {
        "database": await _everything_in(library_world.dsn),
        "status": json.dumps(await scene.read("orchestration", "orders-db")),
        "log": library_world.log,
        "objects": await scene.kubectl("get", "service,statefulset,pod,event", "--output=yaml"),
    }

    assert "orders-credentials" in told["database"]
    assert [place for place, text in told.items() for secret in secrets if secret in text] == []


async def test_a_missing_service_account_is_named_and_its_coming_is_noticed(scene: Scene) -> None:
    """The step says which ServiceAccount is missing, is tried again, and goes on when it is there."""
    await scene.kubectl("apply", "--filename=-", input=example(kinds=["Orchestration"]))
    await scene.shown("orders-db", f"ServiceAccount provisioner of namespace {scene.namespace}, which does not exist")

    await scene.kubectl("apply", "--filename=-", input=example(kinds=["ServiceAccount", "Role", "RoleBinding"]))

    await scene.completed("orders-db")


async def test_a_missing_right_is_named_and_its_granting_is_noticed(scene: Scene) -> None:
    """The step says which verb on which resource is missing, is tried again, and goes on when it is given."""
    await scene.kubectl("apply", "--filename=-", input=example(kinds=["ServiceAccount", "Orchestration"]))
    await scene.shown("orders-db", f"provisioner may not get services of API group '' in namespace {scene.namespace}")

    await scene.kubectl("apply", "--filename=-", input=example(kinds=["Role", "RoleBinding"]))

    await scene.completed("orders-db")


async def test_two_runs_that_want_one_name_do_not_share_a_server(scene: Scene) -> None:
    """The second run fails with the name of the first, and leaves its objects untouched."""
    await scene.kubectl("apply", "--filename=-", input=example())
    await scene.completed("orders-db")
    before = await scene.read("statefulset", "orders")

    await scene.kubectl(
        "apply", "--filename=-", input=example(run="orders-again", kinds=["Orchestration"], version="16")
    )
    second = await scene.failed("orders-again")

    assert f"{scene.namespace}/orders-db" in second["error"]["message"]
    assert (await scene.read("statefulset", "orders"))["spec"] == before["spec"]


async def test_an_input_that_does_not_fit_fails_before_anything_is_made(scene: Scene) -> None:
    """The failure names the field by its path, and no activity has run."""
    await scene.kubectl("apply", "--filename=-", input=example(storage="lots"))
    status = await scene.failed("orders-db")

    assert "CreatePostgresInput: storage: " in status["error"]["message"]
    assert status.get("steps", []) == []
    assert await scene.kubectl("get", "secrets,services,statefulsets", "--output=name") == ""


async def test_a_killed_operator_is_taken_over_where_it_was(
    cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """The next operator waits on, and the step that was done is not done again."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        first, scene = await world.operator(MODULES=LIBRARY), world.scene
        await scene.kubectl("create", "quota", "hold", "--hard=count/pods=0")
        await scene.kubectl("apply", "--filename=-", input=example(actor=False))
        await scene.shown("orders-db", "wait-for-postgres")
        made = await scene.read("secret", "orders-credentials")

        await first.kill()
        await scene.kubectl("delete", "quota", "hold")
        await world.operator(MODULES=LIBRARY)
        await scene.completed("orders-db")

        assert await scene.read("secret", "orders-credentials") == made
        history = await _everything_in(dsn)
        assert history.count('"type":"ScheduleActivity"') == 5


@pytest.mark.needs_kubelet
async def test_the_server_is_real_and_wants_the_password_of_the_secret(scene: Scene) -> None:
    """Where containers run, the server answers by the name of its Service, with the password and not without."""
    await scene.kubectl("apply", "--filename=-", input=example(version="16"))
    status = await scene.completed("orders-db")

    host = status["output"]["host"]
    # The server is ready before the node has the rules of its Service: without the step that connects, nobody waits.
    await scene.kubectl(
        "exec", "orders-0", "--", "timeout", "60", "sh", "-c", f"until pg_isready -h {host}; do :; done"
    )
    ask = f"psql --host={host} --username=postgres --dbname=app --no-password --tuples-only"
    with_password = f"PGPASSWORD=$(cat /run/secrets/postgres/password) {ask} --command='show server_version'"

    assert "16." in await scene.kubectl("exec", "orders-0", "--", "sh", "-c", with_password)
    assert "no" in await scene.kubectl("exec", "orders-0", "--", "sh", "-c", f"{ask} --command='select 1' 2>&1 || true")


async def _everything_in(dsn: str) -> str:
    """Give all rows of all tables of a database as one text."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        rows = [row for table in tables for row in await connection.fetch(f"table {table['tablename']}")]
    finally:
        await connection.close()
    return "\n".join(_text(value) for row in rows for value in row.values())


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

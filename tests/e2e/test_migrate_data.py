"""migrate-data from `kubectl apply` to its end: an operator process that is killed in the middle, and two databases.

What the activities do with rows is tested in `test_migration`, what the orchestration does with chunks in
`tests/unit/library/test_migration.py`; here they are together, with the real engine between them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import yaml

from perdure._store.embedded import EmbeddedPostgres
from tests.cluster.handle import Cluster
from tests.e2e.operators import LIBRARY, World
from tests.e2e.scene import Scene

pytestmark = pytest.mark.slow

ROWS = 60


@pytest.fixture
async def world(
    cluster: Cluster, namespace: str, crashable_postgres: EmbeddedPostgres, tmp_path: Path
) -> AsyncIterator[World]:
    """Give a world whose database is on the server that the other two are on."""
    async with World.opened(cluster, namespace, dsn=crashable_postgres.dsn, folder=tmp_path) as world:
        yield world


async def give_databases(scene: Scene, dsn: str) -> tuple[asyncpg.Connection, asyncpg.Connection]:
    """Make a source of sixty rows and an empty target, the Secret for both, and who may read it."""
    address = urlsplit(dsn)
    first = await asyncpg.connect(dsn)
    for side in ("source", "target"):
        await first.execute(f"create database {side}")
    await first.close()
    source, target = [
        await asyncpg.connect(urlunsplit(address._replace(path=f"/{side}"))) for side in ("source", "target")
    ]
    for each in (source, target):
        await each.execute("create table orders (id uuid primary key default gen_random_uuid(), body text)")
    await source.execute("insert into orders (body) select i from generate_series(1, $1::integer) as i", ROWS)
    literals = [f"--from-literal=username={address.username}", f"--from-literal=password={address.password}"]
    await scene.kubectl("create", "secret", "generic", "sides", *literals)
    await scene.kubectl("create", "serviceaccount", "mover")
    await scene.kubectl("create", "role", "mover", "--verb=get", "--resource=secrets")
    await scene.kubectl("create", "rolebinding", "mover", "--role=mover", f"--serviceaccount={scene.namespace}:mover")
    return source, target


def run(dsn: str, **input: object) -> str:
    """Give the resource of a run."""
    address = urlsplit(dsn)
    where = {"host": address.hostname, "port": address.port, "secretName": "sides"}
    sides = {side: {**where, "database": side} for side in ("source", "target")}
    spec = {
        "orchestration": "workflows::orchestration::migrate-data",
        "serviceAccountName": "mover",
        "input": {**sides, "tables": [{"name": "orders", "key": "id"}], "chunkRows": 5, **input},
    }
    return yaml.safe_dump({
        "apiVersion": "perdure.dev/v1alpha1", "kind": "Orchestration", "metadata": {"name": "move"}, "spec": spec,
    })  # fmt: skip


async def test_a_killed_operator_is_taken_over_and_every_row_arrives_once(
    world: World, crashable_postgres: EmbeddedPostgres
) -> None:
    """The next operator goes on with the chunks that are left; each is noted once, and both sides are the same."""
    first, scene = await world.operator(MODULES=LIBRARY), world.scene
    source, target = await give_databases(scene, crashable_postgres.dsn)
    await scene.kubectl("apply", "--filename=-", input=run(crashable_postgres.dsn, rowsPerSecond=10, parallel=2))
    await scene.shown("move", "copying orders")

    await first.kill()
    await world.operator(MODULES=LIBRARY)
    status = await scene.completed("move")

    counts = {"table": "orders", "copied": ROWS, "source": ROWS, "target": ROWS, "sequences": []}
    assert status["output"] == {"migration": f"{scene.namespace}/move", "rows": ROWS, "tables": [counts]}
    both = [await side.fetch("table orders order by id") for side in (source, target)]
    assert both[0] == both[1]
    assert [row["rows"] for row in await target.fetch("table perdure_migration order by chunk")] == [5] * 12
    for side in (source, target):
        side.terminate()

"""The database is lost, and the operator begins on an empty one: what has run before is not run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.handle import Cluster
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = pytest.mark.slow


async def test_nothing_is_run_again_when_the_database_is_lost(
    cluster: Cluster, namespace: str, postgres: Server, dsn: str, tmp_path: Path
) -> None:
    """A finished run stays finished, an open one is missing and says so; names go on counting, and what is new runs."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as before:
        operator = await before.operator()
        await before.apply("done")
        await before.apply("open", "again", flow="wait", input=3600)
        await before.scene.completed("done")
        for name in ("open", "again"):
            await before.scene.shown(name, "Running")
        await operator.stop()
        done = (await before.scene.read("orchestration", "done"))["status"]

    with postgres.database("template0") as empty:
        async with World.opened(cluster, namespace, dsn=empty, folder=tmp_path) as after:
            await after.operator()
            missing = await after.scene.shown("open", "InstanceMissing")
            await after.delete("again")
            await after.apply("new", "again")
            for name in ("new", "again"):
                await after.scene.completed(name)

            assert await after.instances() == {"again:2": "Completed", "new:1": "Completed"}
            assert (await after.scene.read("orchestration", "done"))["status"] == done
            assert "open:1 is not in the database" in str(missing["conditions"])
            assert len(after.notes("done")) == 3
            assert "statuses name runs that the database does not know" in after.log

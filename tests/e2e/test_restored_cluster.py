"""The API server was restored from a backup: generations that the database knows are not there any more.

A real backup needs an etcd of its own; a database that is ahead of the API server is the same to an operator.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.handle import Cluster
from tests.e2e.operator_process import until
from tests.e2e.operators import World

pytestmark = pytest.mark.slow

AHEAD = """
update resources
set generation = 7, spec = '{"orchestration":"of the future"}', status_generation = 7, request = 'other'
"""
WENT_BACK = "resource went back, the API server was restored from a backup: it counts"


async def test_what_a_restored_api_server_says_counts(
    cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """The run goes on and is not doubled, its status is of what stands there, and the next change is heard at once."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        operator = await world.operator(SWEEP_SECONDS="1")
        await world.apply("db", flow="wait", input=3600)
        await world.scene.shown("db", "Running")
        await world.database.execute(AHEAD)

        await operator.said(WENT_BACK)

        async def is_put_right() -> bool:
            return bool(await world.database.fetchval("select generation = 1 from resources"))

        await until(is_put_right)
        await world.apply("db", flow="wait", input=3600, suspend=True)
        status = await world.scene.shown("db", "Suspended")

        assert status["observedGeneration"] == 2
        assert await world.instances() == {"db:1": "Suspended"}
        assert operator.count(WENT_BACK) == 1

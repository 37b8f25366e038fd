"""The API server was restored from a backup: generations that the database knows are not there any more.

A real backup needs an etcd of its own; a database that is ahead of the API server is the same to an operator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from perdure._kube.api.base import API_VERSION
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import until
from tests.e2e.operators import World

pytestmark = pytest.mark.slow

AHEAD = """
update resources
set generation = 7, spec = '{"orchestration":"of the future"}', status_generation = 7, request = 'other'
"""
OTHERS_AHEAD = """
with ahead as (update signal_resources set generation = 7, deleting = true)
update schedules set generation = 7, spec = '{"cron":"@hourly"}', timing = 'hourly'
"""
OTHERS_PUT_RIGHT = """
select
    (select generation = 1 and spec like '%@yearly%' from schedules)
    and (select generation = 1 and not deleting from signal_resources)
"""
SCHEDULE = {"cron": "@yearly", "orchestrationTemplate": {"spec": {"orchestration": "wait"}}}
SIGNAL = {"orchestrationRef": {"name": "nobody"}, "signal": "say"}
WENT_BACK = "resource went back, the API server was restored from a backup: it counts"


def manifest(kind: str, spec: dict[str, Any]) -> str:
    """Give a resource named db as YAML."""
    return yaml.safe_dump({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "db"}, "spec": spec})


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


async def test_schedules_and_signals_of_a_restored_api_server_count(
    cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """Each is put right once: the comparisons after that find nothing."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        operator = await world.operator(SWEEP_SECONDS="1")
        for kind, spec in (("OrchestrationSchedule", SCHEDULE), ("OrchestrationSignal", SIGNAL)):
            await world.scene.kubectl("apply", "-f-", input=manifest(kind, spec))

        async def are(query: str) -> bool:
            return bool(await world.database.fetchval(query))

        await until(lambda: are("select exists (select from schedules) and exists (select from signal_resources)"))
        await world.database.execute(OTHERS_AHEAD)
        await until(lambda: are(OTHERS_PUT_RIGHT))
        before = await operator.reading("sweeps_total")

        async def is_swept_again() -> bool:
            return await operator.reading("sweeps_total") >= before + 6

        await until(is_swept_again)
        assert operator.count(WENT_BACK) == 2


async def test_what_a_restore_brings_back_is_left_alone_and_the_watch_too(
    cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """The database knows that it is gone; each comparison finds it, and none of them takes the watch for deaf."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        operator = await world.operator(SWEEP_SECONDS="1")
        await world.scene.kubectl("apply", "-f-", input=manifest("OrchestrationSchedule", SCHEDULE))

        async def is_gone() -> bool:
            return bool(await world.database.fetchval("update schedules set gone_at = now() returning true"))

        await until(is_gone)
        before = await operator.reading("sweeps_total")

        async def is_swept_again() -> bool:
            return await operator.reading("sweeps_total") >= before + 18

        await until(is_swept_again)
        assert await operator.reading("ingest_restarts_total") == 0
        assert await world.database.fetchval("select gone_at is not null from schedules")

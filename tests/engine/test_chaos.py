"""The storm: what a run is worth when everything dies again and again.

200 instances on two worker processes; every second a random one is killed by SIGKILL and replaced, and five times
Postgres itself crashes. The seed draws who and when. Afterwards everything must have come out as on a quiet day.
"""

from __future__ import annotations

import asyncio
import collections
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import asyncpg
import pytest

from perdure import errors
from perdure._core import history
from perdure._store.embedded import EmbeddedPostgres
from perdure.client import Client, InstanceInfo
from tests.engine import six_steps, storm

P = ParamSpec("P")
T = TypeVar("T")
INSTANCES = 200
SECONDS = 30
CRASHES = 5
LEASE_SECONDS = 2.0
PATIENCE_SECONDS = 180.0


@pytest.mark.slow
async def test_a_storm_of_crashes_loses_nothing_and_applies_nothing_twice(
    crashable_postgres: EmbeddedPostgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers dying every second and Postgres crashing five times: all instances end Completed with the right
    result, no step's result is applied twice, and nothing is left owned by the dead.
    """
    dsn = crashable_postgres.dsn
    with storm.seeded() as seed:
        with capsys.disabled():
            print(f"\nstorm with PERDURE_SEED={seed}", flush=True)  # noqa: T201 - for whoever watches
        await execute(dsn, six_steps.LEDGER)
        weather = storm.forecast(seed, seconds=SECONDS, crew=2, crashes=CRASHES)
        with storm.Crew(dsn, tmp_path, size=2, lease_seconds=LEASE_SECONDS) as crew:
            async with await Client.connect(dsn) as client, asyncio.timeout(SECONDS + PATIENCE_SECONDS):
                async with asyncio.TaskGroup() as group:
                    group.create_task(storm.blow(weather, crew, crashable_postgres))
                    group.create_task(start_all(client))
                infos = [await patiently(client.wait_for_orchestration, name(number)) for number in range(INSTANCES)]
                histories = [await client.get_history(info.instance_id) for info in infos]
            await until_only_the_living_are_listed(dsn, crew)
            await crew.dismiss()

        assert collections.Counter(info.phase for info in infos) == {"Completed": INSTANCES}
        for number, (info, turns) in enumerate(zip(infos, histories, strict=True)):
            check_result(number, info, turns)
        await check_ledger(dsn, infos)
        assert (
            await fetch(dsn, "select instance_id from instances where owner_id is not null or wake_at is not null")
            == []
        )
        assert (
            await fetch(dsn, "select instance_id, 'task' from tasks union all select instance_id, kind from inbox")
            == []
        )
        assert await fetch(dsn, "select worker_id from workers") == []


def name(number: int) -> str:
    """Name an instance."""
    return f"storm-{number:03}"


async def start_all(client: Client) -> None:
    """Start the instances over most of the storm, some at once and the rest one by one; each twice, as clients do."""
    for number in range(INSTANCES):
        for _ in range(2):
            order = six_steps.Order(number + 1)
            await patiently(client.start_orchestration, name(number), six_steps.six_steps, order)
        await asyncio.sleep(0 if number % 4 else 0.8 * 4 * SECONDS / INSTANCES)


async def patiently(call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what a client does while the database is away: call again."""
    while True:
        try:
            return await call(*args, **kwargs)
        except errors.DatabaseUnavailableError:
            await asyncio.sleep(0.05)


def check_result(number: int, info: InstanceInfo, turns: list[history.Turn]) -> None:
    """The output is that of six right steps, and history applied exactly one result to each of them: those."""
    completed = [event for turn in turns for event in turn.events if isinstance(event, history.ActivityCompleted)]
    applied = [json.loads(bytes(event.result)) for event in completed]
    seqs = [event.seq for event in completed]

    assert isinstance(info.output, dict)
    assert info.output["total"] == 21 * (number + 1), info
    assert [effect["id"] for effect in applied] == info.output["effects"], info.instance_id
    assert seqs == sorted(set(seqs)), info.instance_id
    assert len(seqs) == six_steps.STEPS, info.instance_id


async def check_ledger(dsn: str, infos: list[InstanceInfo]) -> None:
    """Every applied result was of one attempt that did not fail; every attempt built on the applied one before it."""
    rows = await fetch(dsn, "select effect_id, instance_id, step, previous, fails from ledger")
    ran = {row["effect_id"]: row for row in rows}
    effects = {info.instance_id: info.output["effects"] for info in infos if isinstance(info.output, dict)}

    for instance_id, ids in effects.items():
        assert isinstance(ids, list)
        found = [ran[str(id)] for id in ids]
        assert [(row["instance_id"], row["step"], row["fails"]) for row in found] == [
            (instance_id, step, False) for step in range(six_steps.STEPS)
        ]
    assert sum(not row["fails"] for row in rows) > six_steps.STEPS * INSTANCES, "no worker died in a step: a mild storm"
    for row in rows:
        ids = effects[row["instance_id"]]
        assert isinstance(ids, list)
        assert row["previous"] == (ids[row["step"] - 1] if row["step"] else ""), dict(row)


async def until_only_the_living_are_listed(dsn: str, crew: storm.Crew) -> None:
    """Wait until the workers have found all their dead and freed what those owned.

    Who was killed last may be on the list while the one in its place is not yet: so not the number says it, but who.
    """
    async with asyncio.timeout(20 * LEASE_SECONDS):
        while await listed(dsn) != crew.pids:  # noqa: ASYNC110 - it happens in the database
            await asyncio.sleep(0.1)


async def listed(dsn: str) -> list[int]:
    """Give the process of each worker on the list."""
    rows = await fetch(dsn, "select description from workers")
    return sorted(int(row["description"].rsplit(":", 1)[1]) for row in rows)


async def fetch(dsn: str, sql: str) -> list[asyncpg.Record]:
    """Ask the database behind everybody's back."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def execute(dsn: str, sql: str) -> None:
    """Tell the database behind everybody's back."""
    await fetch(dsn, sql)

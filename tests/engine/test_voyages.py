"""Everything at once: voyages (children, signals, timers, queues, executions) on quiet days and on bad ones.

One flow of the whole API, run by one worker process, by three, and by three of which one is killed by SIGKILL every
second while Postgres crashes again and again. What comes out must be the same.
"""

from __future__ import annotations

import asyncio
import collections
import json
from pathlib import Path

import pytest

from perdure._core import history
from perdure._store.embedded import EmbeddedPostgres
from perdure.client import Client, InstanceInfo
from tests.engine import six_steps, storm, voyage
from tests.engine.test_chaos import execute, fetch, patiently, until_only_the_living_are_listed

SECONDS = 25
LEASE_SECONDS = 5.0
"""After a third of it a turn counts as one that does not end: a machine with much to do may take a while for one."""
PATIENCE_SECONDS = 240.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crew", "voyages", "crashes"), [(1, 10, 0), (3, 10, 0), (3, 40, 4)], ids=["one", "three", "storm"]
)
async def test_voyages_end_as_they_should_whatever_happens(
    crashable_postgres: EmbeddedPostgres,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    crew: int,
    voyages: int,
    crashes: int,
) -> None:
    """All end Completed with the right receipt; each step's result is applied once, nothing is left behind."""
    dsn = crashable_postgres.dsn
    with storm.seeded() as seed:
        with capsys.disabled():
            print(f"\nvoyages with PERDURE_SEED={seed}", flush=True)  # noqa: T201 - for whoever watches
        await execute(dsn, six_steps.LEDGER)
        weather = storm.forecast(seed, seconds=SECONDS, crew=crew, crashes=crashes) if crashes else []
        with storm.Crew(dsn, tmp_path, size=crew, lease_seconds=LEASE_SECONDS) as workers:
            async with await Client.connect(dsn) as client, asyncio.timeout(SECONDS + PATIENCE_SECONDS):
                async with asyncio.TaskGroup() as group:
                    group.create_task(storm.blow(weather, workers, crashable_postgres))
                    for number in range(voyages):
                        group.create_task(sail(client, number))
                infos = [await patiently(client.wait_for_orchestration, name(number)) for number in range(voyages)]
                await until_all_have_ended(dsn)
                applied = await all_applied(client, dsn)
            await until_only_the_living_are_listed(dsn, workers)
            await workers.dismiss()

        assert collections.Counter(info.phase for info in infos) == {"Completed": voyages}, infos
        await check_receipts(dsn, infos, applied)
        assert (
            await fetch(dsn, "select instance_id from instances where owner_id is not null or wake_at is not null")
            == []
        )
        left = "select instance_id, 'task' from tasks union all select instance_id, kind from inbox"
        assert await fetch(dsn, left) == []
        assert (
            await fetch(
                dsn,
                "select instance_id, phase from instances where phase <> 'Completed' and instance_id not like '%leg-1'",
            )
            == []
        )


def name(number: int) -> str:
    """Name a voyage."""
    return f"voyage-{number:03}"


async def sail(client: Client, number: int) -> None:
    """Start a voyage and send its signals ahead, each twice, as clients do that got no answer."""
    for _ in range(2):
        await patiently(client.start_orchestration, name(number), voyage.voyage, voyage.Order(number + 1))
    for round_ in range(voyage.ROUNDS):
        await asyncio.sleep(0.3 * (number % 20))
        for _ in range(2):
            await patiently(client.send_signal, name(number), "go", round_, dedupe_key=f"go-{round_}")


async def until_all_have_ended(dsn: str) -> None:
    """Wait for the postcards, which nobody waits for."""
    unfinished = "select instance_id from instances where finished_at is null"
    while await fetch(dsn, unfinished):  # noqa: ASYNC110 - it happens in the database
        await asyncio.sleep(0.1)


async def all_applied(client: Client, dsn: str) -> dict[str, list[str]]:
    """Give the ids of the effects that any history applied, by instance; a result applied twice is an error at once."""
    applied: dict[str, list[str]] = {}
    for row in await fetch(dsn, "select distinct instance_id, execution from history order by 1, 2"):
        turns = await patiently(client.get_history, row["instance_id"], row["execution"])
        events = [event for turn in turns for event in turn.events if isinstance(event, history.ActivityCompleted)]
        seqs = [event.seq for event in events]
        assert len(seqs) == len(set(seqs)), row["instance_id"]
        applied.setdefault(row["instance_id"], []).extend(json.loads(bytes(event.result))["id"] for event in events)
    return applied


async def check_receipts(dsn: str, infos: list[InstanceInfo], applied: dict[str, list[str]]) -> None:
    """A receipt names effects that were applied once, by attempts that did not fail, and adds them up right."""
    ran = {row["effect_id"]: row for row in await fetch(dsn, "select effect_id, fails, previous from ledger")}
    everything = [effect for effects in applied.values() for effect in effects]
    receipts: list[str] = []
    for number, info in enumerate(infos):
        assert isinstance(info.output, dict)
        effects = info.output["effects"]
        assert isinstance(effects, list)
        receipts += map(str, effects)
        assert info.output["total"] == voyage.total_of(number + 1), info.instance_id
        assert len(effects) == voyage.ROUNDS * voyage.STEPS_A_ROUND, info.instance_id

    assert sorted(receipts) == sorted(everything)
    assert len(set(receipts)) == len(receipts)
    assert not any(ran[effect]["fails"] for effect in receipts)
    assert {row["previous"] for row in ran.values()} - {""} <= set(receipts), "an attempt built on what was not applied"

"""Who kills its workers is found, and who only ran beside it is not: with real processes that really die.

The leases are short, so that a death is noticed soon. How many workers die until a killer is known depends on chance:
on who was where, and on whether the machine lets the others keep their leases.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure.client import Client
from tests.engine import killers, storm

LEASE_SECONDS = 1.5
PATIENCE_SECONDS = 300.0
"""So long that only what hangs is given up: how often somebody must die is chance, more often on a busy machine."""


@contextlib.asynccontextmanager
async def crew_of(dsn: str, folder: Path, *, size: int = 3) -> AsyncIterator[tuple[Client, storm.Crew]]:
    """Give a client, and workers of which those that are killed are replaced; one that ends otherwise ends the test."""
    with storm.Crew(dsn, folder, size=size, lease_seconds=LEASE_SECONDS, module="tests.engine.killers") as crew:
        patience, tasks = asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup()
        async with await Client.connect(dsn) as client, patience, tasks:
            tending = tasks.create_task(crew.tend())
            yield client, crew
            tending.cancel()


@pytest.mark.slow
async def test_a_killer_is_poison_and_all_its_neighbours_complete(dsn: str, tmp_path: Path) -> None:
    """One of 501 activities kills its worker every time; the others complete, long ones too, some after many starts."""
    naps = [0.01 * (number % 50) for number in range(480)] + 20 * [8.0]
    async with crew_of(dsn, tmp_path) as (client, _):
        killer = await client.start_orchestration("killer", killers.killing, 0.0)
        handles = [
            await client.start_orchestration(f"nap-{number}", killers.napping, seconds)
            for number, seconds in enumerate(naps)
        ]

        found = await client.wait_for_orchestration(killer.instance_id)
        infos = [await client.wait_for_orchestration(handle.instance_id) for handle in handles]

    assert found.output == killers.POISON
    assert collections.Counter(info.output for info in infos) == {killers.DONE: len(naps)}


@pytest.mark.slow
async def test_a_killer_in_one_fan_out_is_found_and_its_instance_gets_all_other_results(
    dsn: str, tmp_path: Path
) -> None:
    """Neighbours of the same instance are told apart too: it gets 200 results, and one error in its place."""
    naps = [0.02 * (number % 50) for number in range(200)]
    async with crew_of(dsn, tmp_path) as (client, _):
        handle = await client.start_orchestration("crowd", killers.crowd, naps)

        info = await client.wait_for_orchestration(handle.instance_id)

    assert info.output == 100 * [killers.DONE] + [killers.POISON] + 100 * [killers.DONE]


@pytest.mark.slow
async def test_a_killer_behind_a_queue_is_poison(dsn: str, tmp_path: Path) -> None:
    """Tasks of a queue are tried like an owner's own activities: one ends as poison, those beside it complete."""
    async with crew_of(dsn, tmp_path) as (client, _):
        killer = await client.start_orchestration("killer", killers.killing_elsewhere, 0.0)
        handles = [
            await client.start_orchestration(f"nap-{number}", killers.napping_elsewhere, 0.1 * (number % 20))
            for number in range(100)
        ]

        found = await client.wait_for_orchestration(killer.instance_id)
        infos = [await client.wait_for_orchestration(handle.instance_id) for handle in handles]

    assert found.output == killers.POISON
    assert {info.output for info in infos} == {killers.DONE}


@pytest.mark.slow
async def test_a_slow_killer_is_found_by_longer_and_longer_trials(dsn: str, tmp_path: Path) -> None:
    """It outlives its first trials, so others are blamed meanwhile; in the end it is convicted, and nobody else."""
    async with crew_of(dsn, tmp_path) as (client, _):
        killer = await client.start_orchestration("killer", killers.killing, 1.0)
        handles = [
            await client.start_orchestration(f"nap-{number}", killers.napping, 3.0 + number % 5) for number in range(20)
        ]

        found = await client.wait_for_orchestration(killer.instance_id)
        infos = [await client.wait_for_orchestration(handle.instance_id) for handle in handles]

    assert found.output == killers.POISON
    assert {info.output for info in infos} == {killers.DONE}


@pytest.mark.slow
async def test_an_orchestration_whose_turn_kills_is_held(dsn: str, tmp_path: Path) -> None:
    """Code that kills in a turn is tried too: it is held as poison, and those who were loaded beside it complete."""
    async with crew_of(dsn, tmp_path) as (client, _):
        killer = await client.start_orchestration("killer", killers.deadly)
        handles = [
            await client.start_orchestration(f"nap-{number}", killers.napping, 0.01 * number) for number in range(100)
        ]

        infos = [await client.wait_for_orchestration(handle.instance_id) for handle in handles]
        while not (found := await client.get_instance_info(killer.instance_id)).hold_reason:  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.1)

    assert (found.phase, found.hold_reason) == ("Suspended", "Poison")
    assert {info.output for info in infos} == {killers.DONE}


@pytest.mark.slow
async def test_workers_that_are_killed_from_outside_make_no_poison(dsn: str, tmp_path: Path) -> None:
    """A worker is killed every second for a while, whatever it runs: all of it completes, in the end."""
    async with crew_of(dsn, tmp_path) as (client, crew):
        handles = [
            await client.start_orchestration(f"naps-{number}", killers.napping_on, 1 + number % 5)
            for number in range(100)
        ]
        for blow in storm.forecast(0, seconds=20, crew=3, crashes=0):
            await asyncio.sleep(1.0)
            crew.replace(blow.victim)

        infos = [await client.wait_for_orchestration(handle.instance_id) for handle in handles]

    assert {info.output for info in infos} == {killers.DONE}

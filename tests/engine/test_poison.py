"""Who kills its workers is found, and who only ran beside it is not: with real processes that really die.

The leases are short, so that a death is noticed soon. How many workers die until a killer is known depends on chance
(who was on which worker), but is bounded: that, and no time, is what is asserted.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure._core import limits
from perdure.client import Client
from tests.engine import killers, storm

LEASE_SECONDS = 1.0
PATIENCE_SECONDS = 120.0


@contextlib.asynccontextmanager
async def crew_of(dsn: str, folder: Path, *, size: int = 3) -> AsyncIterator[tuple[Client, storm.Crew]]:
    """Give a client, and workers of which those that are killed are replaced; at the end all go in order."""
    with storm.Crew(dsn, folder, size=size, lease_seconds=LEASE_SECONDS, module="tests.engine.killers") as crew:
        async with await Client.connect(dsn) as client, asyncio.timeout(PATIENCE_SECONDS):
            tending = asyncio.create_task(crew.tend())
            try:
                yield client, crew
            finally:
                tending.cancel()
                await asyncio.gather(tending, return_exceptions=True)
        crew.dismiss()


@pytest.mark.slow
async def test_a_killer_is_poison_and_all_its_neighbours_complete(dsn: str, tmp_path: Path) -> None:
    """One of 501 activities kills its worker every time; the others, long ones too, end well, some after many starts."""
    naps = [0.01 * (number % 50) for number in range(480)] + 20 * [8.0]
    async with crew_of(dsn, tmp_path) as (client, crew):
        killer = await client.start_orchestration("killer", killers.killing, 0.0)
        handles = [
            await client.start_orchestration(f"nap-{number}", killers.napping, seconds)
            for number, seconds in enumerate(naps)
        ]

        found = await client.wait_for_orchestration(killer.instance_id)
        infos = [await client.wait_for_orchestration(handle.instance_id) for handle in handles]

    assert found.output == killers.POISON
    assert collections.Counter(info.output for info in infos) == {killers.DONE: len(naps)}
    assert crew.deaths <= 3 + limits.ACTIVITY_CONVICTIONS

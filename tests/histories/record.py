"""`python -m tests.histories.record [NAME ...]`: let the real engine write what has no record yet.

A worker and a client on an embedded Postgres play the scenes of the release; nothing that is recorded is touched.
"""

from __future__ import annotations

import asyncio
import sys

from perdure import ActivityRegistry, OrchestrationRegistry
from perdure._engine.worker import Worker, WorkerSettings
from perdure._store import migrate
from perdure._store.store import Store
from perdure.client import Client
from tests.histories import recorded
from tests.histories.release_0_1_0 import orchestrations
from tests.postgres_plugin import forgetful_postgres


async def record(dsn: str, names: list[str]) -> None:
    """Play the scenes of these names, and write them down."""
    store = await Store.open(dsn)
    worker = Worker(
        store,
        OrchestrationRegistry.of(*orchestrations.ORCHESTRATIONS),
        ActivityRegistry.of(*orchestrations.ACTIVITIES),
        settings=WorkerSettings(queues=("golden",)),
    )
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(stop))
    async with await Client.connect(dsn) as client:
        for name in names:
            recorded.write(recorded.FOLDER / f"{name}.json", await play(client, name))
            print(f"recorded {name}")
    stop.set()
    await working
    await store.close()


async def play(client: Client, name: str) -> recorded.Record:
    """Play one scene to its end; give all that the database has of it. Raises `ValueError` for a wrong end."""
    scene, instance_id = orchestrations.SCENES[name], f"golden-{name}"
    await client.start_orchestration(instance_id, scene.orchestration, scene.input)
    await scene.act(client, instance_id)
    info = await client.wait_for_orchestration(instance_id, timeout=30)
    if info.phase != scene.phase:
        message = f"{name} ended {info.phase}, expected {scene.phase}: {info.error}"
        raise ValueError(message)
    executions = {number: await client.get_history(instance_id, number) for number in range(1, info.execution + 1)}
    return recorded.Record(instance_id, info.name, info.version, info.phase, info.output, executions)


def main() -> None:
    """Record what is asked for; refuse what is recorded already."""
    wanted = sys.argv[1:]
    there = {path.stem for path in recorded.FOLDER.glob("*.json")}
    if again := sorted(there.intersection(wanted)):
        sys.exit(f"Recorded already, and records are never replaced: {', '.join(again)}.")
    names = wanted or [name for name in orchestrations.SCENES if name not in there]
    with forgetful_postgres() as server:
        asyncio.run(migrate.migrate(server.dsn))
        asyncio.run(record(server.dsn, names))


if __name__ == "__main__":
    main()

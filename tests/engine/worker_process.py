"""A worker as a process of its own, for tests that kill it.

    PERDURE_DATABASE_URL=... python -m tests.engine.worker_process --lease 2 --module tests.engine.voyage

It waits for the database as long as it must, works until SIGTERM or the end of its stdin (so it never outlives the test
that holds the other end), gives everything back and exits with 0. What it offers beside the six steps, and which queue
it serves, says the module: `ORCHESTRATIONS`, `ACTIVITIES`, `QUEUE`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
import sys

from perdure import OrchestrationRegistry
from perdure import errors as perdure_errors
from perdure._engine.worker import Worker, WorkerSettings
from perdure._store.store import Store
from tests.engine import six_steps, storm


async def work(dsn: str, lease_seconds: float, module: str) -> None:
    """Work until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    offered = importlib.import_module(module)
    store = await _open(dsn)
    worker = Worker(
        store,
        OrchestrationRegistry.of(six_steps.six_steps).merge(offered.ORCHESTRATIONS),
        offered.ACTIVITIES,
        settings=WorkerSettings(lease_seconds=lease_seconds, poll_seconds=1.0, queues=(offered.QUEUE,)),
    )
    telling = asyncio.create_task(_tell_when_ready(worker))
    try:
        await worker.run(stop)
    finally:
        telling.cancel()
        await store.close()


async def _tell_when_ready(worker: Worker) -> None:
    while not worker.is_ready:  # noqa: ASYNC110 - a worker tells nobody but those who ask
        await asyncio.sleep(0.02)
    print(storm.READY, flush=True)  # noqa: T201 - for whoever reads its log


async def _open(dsn: str) -> Store:
    while True:
        try:
            return await Store.open(dsn, application_name="perdure-test-worker")
        except perdure_errors.DatabaseUnavailableError:
            await asyncio.sleep(0.1)


def main() -> None:
    """Read the command line and work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lease", type=float, default=2.0, help="seconds")
    parser.add_argument("--module", default="tests.engine.voyage", help="what it offers")
    arguments = parser.parse_args()
    asyncio.run(work(os.environ["PERDURE_DATABASE_URL"], arguments.lease, arguments.module))


if __name__ == "__main__":
    main()

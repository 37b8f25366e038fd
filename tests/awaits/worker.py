"""A worker process with the activities that are offered and a real cluster, that dies where it is told to.

It tells each place down its line before it is there any more, works until SIGTERM or until nobody holds the other end
of the line, gives everything back and exits with 0. It is forked from a process that has imported all of this: it costs
a tenth of a second, not two.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from multiprocessing.connection import Connection
from typing import cast

import activities.registry  # noqa: F401 - imported before the fork, for all
import workflows.registry  # noqa: F401 - the same
from perdure import KubernetesApi
from perdure._engine import modules
from perdure._engine.worker import Worker, WorkerSettings
from perdure._kube.client import Api
from perdure._kube.identity import Identities
from perdure._store.lending import LentDatabase
from perdure.settings import masked
from tests.awaits import places

__all__ = ["Orders", "work"]

LEASE_SECONDS = 1.5
"""So long after its death nobody takes over. Shorter ones are lost by who lives, when the machine is busy."""


@dataclasses.dataclass(frozen=True, slots=True)
class Orders:
    """Where a worker works, what it offers, where it writes what it says, and where it dies (empty: nowhere)."""

    dsn: str
    kubeconfig: str
    namespace: str
    log: str
    modules: tuple[str, ...]
    deadly: str = ""


def work(orders: Orders, line: Connection) -> None:
    """Work in this process, which was forked for it."""
    log = os.open(orders.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    asyncio.run(_work(orders, line))


async def _work(orders: Orders, line: Connection) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(line.fileno(), stop.set)
    crossings = places.Crossings(
        lambda place: line.send_bytes(place.encode()), namespace=orders.namespace, deadly=orders.deadly
    )
    places.watch_connections(crossings)
    store = await places.WatchedStore.open(orders.dsn, application_name="perdure-test-worker")
    store.crossings = crossings
    api = await Api.connect(orders.kubeconfig)
    identities = Identities(api)
    lent = LentDatabase(orders.dsn, address=masked(orders.dsn), variable="PERDURE_DATABASE_URL")
    orchestrations, offered = modules.load(orders.modules)
    worker = Worker(
        store,
        orchestrations,
        places.watched(offered, crossings),
        settings=WorkerSettings(lease_seconds=LEASE_SECONDS, poll_seconds=1.0, database=lent),
        kubernetes=lambda run_as, on_wait: cast(
            "KubernetesApi", places.WatchedApi(identities.for_run(run_as, on_wait), crossings)
        ),
    )
    try:
        await worker.run(stop)
    finally:
        loop.remove_reader(line.fileno())
        await lent.close()
        await api.close()
        await store.close()

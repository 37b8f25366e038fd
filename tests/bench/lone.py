"""A worker alone in its process: what it takes to begin, and what it holds in memory.

`python -m tests.bench.lone DSN RESIDENTS BEGAN` works until it has so many instances in memory, runs one more to its
end, and prints one JSON object: its memory, and seconds since BEGAN, when it was asked for by the machine's monotonic
clock. (When a process began by what the kernel tells is up to a second off.)
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

import psutil
import structlog
import uvloop

from perdure._engine import garbage
from perdure._engine.worker import WorkerSettings
from perdure._store.store import Store
from perdure.client import Client
from tests.bench import code
from tests.bench.stage import new_worker


async def watch(dsn: str, residents: int, began: float) -> dict[str, float]:
    """Begin, take in what is there, run one instance, stop."""
    process = psutil.Process()
    seen = {}

    def note(what: str) -> None:
        seen[f"{what}_s"] = round(time.monotonic() - began, 3)

    store = await Store.open(dsn, application_name="perdure-bench")
    worker = new_worker(store, WorkerSettings(max_instances=max(5_000, 2 * residents)))
    client = Client(store, worker)
    bare = process.memory_info().rss
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    while not worker.is_ready:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.005)
    note("ready")
    while worker.resident_count < residents:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.005)
    note("taken_in")
    ended = worker.finished("first")
    await client.start_orchestration("first", code.trivial, {"number": 1})
    await ended
    note("first_end")
    seen["bare_mb"] = round(bare / 1e6, 1)
    seen["rss_mb"] = round(process.memory_info().rss / 1e6, 1)
    stop.set()
    await running
    note("stopped")
    await client.close()
    await store.close()
    return seen


def main() -> None:
    """Do it and print what was seen."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    garbage.collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(watch(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))


if __name__ == "__main__":
    main()

"""Absurd: workflows in stored procedures. Four workers of one connection each, eight instances at once in each."""

from __future__ import annotations

import asyncio
from typing import Any

import absurdctl
import psycopg
from absurd_sdk import AsyncAbsurd, AsyncTaskContext

from tests.bench.peers import measure

_WORKERS = 4
_CLIENTS = 8
_CONCURRENCY = 8
_POLL_SECONDS = 0.05
_Given = dict[str, Any]
_RESULT = {"number": 1, "text": "x" * 110}


class Absurd:
    """Workers and clients in this process."""

    in_flight = 400

    def __init__(self, dsn: str, watch: measure.Watch) -> None:
        self._dsn = dsn
        self._watch = watch
        self._clients = [self._app() for _ in range(_CLIENTS)]
        self._next = 0
        self._running: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Install the schema, make the queue, start the workers."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(absurdctl.BUNDLED_SCHEMA_SQL)
        await self._clients[0].create_queue("bench")
        for number in range(_WORKERS):
            worker = self._app().start_worker(
                worker_id=f"worker-{number}", concurrency=_CONCURRENCY, poll_interval=_POLL_SECONDS
            )
            self._running.append(asyncio.create_task(worker))

    async def start(self, kind: str, instance_id: str, number: int) -> None:
        """Start an instance."""
        await self._client().spawn(kind, {"id": instance_id, "number": number})

    async def signal(self, instance_id: str) -> None:
        """Emit the event that one instance waits for."""
        await self._client().emit_event(f"go-{instance_id}", {"go": True})

    def _client(self) -> AsyncAbsurd:
        self._next += 1
        return self._clients[self._next % _CLIENTS]

    def _app(self) -> AsyncAbsurd:
        app = AsyncAbsurd(self._dsn, queue_name="bench", default_max_attempts=3)
        kinds = {"chain": self._chain, "fan-out": self._fan_out, "sleep": self._sleep, "signalled": self._signalled}
        for name, function in kinds.items():
            app.register_task(name=name)(function)
        return app

    async def _chain(self, given: _Given, ctx: AsyncTaskContext) -> None:
        for number in range(given["number"]):
            await ctx.step(f"step-{number}", _step)
        self._watch.tell(f"ended {given['id']}")

    async def _fan_out(self, given: _Given, ctx: AsyncTaskContext) -> None:
        await asyncio.gather(*(ctx.step(f"step-{number}", _step) for number in range(given["number"])))
        self._watch.tell(f"ended {given['id']}")

    async def _sleep(self, given: _Given, ctx: AsyncTaskContext) -> None:
        await ctx.sleep_for("sleep", 1.0)
        self._watch.tell(f"ended {given['id']}")

    async def _signalled(self, given: _Given, ctx: AsyncTaskContext) -> None:
        self._watch.tell(f"begun {given['id']}")
        await ctx.await_event(f"go-{given['id']}")
        self._watch.tell(f"ended {given['id']}")


async def _step() -> dict[str, object]:
    return _RESULT


async def peer(dsn: str, watch: measure.Watch) -> measure.Peer:
    """Give it at work."""
    absurd = Absurd(dsn, watch)
    await absurd.begin()
    return absurd


if __name__ == "__main__":
    measure.main(peer)

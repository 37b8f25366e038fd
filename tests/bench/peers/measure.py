"""The workloads as a peer plays them: one number each, in the unit of our own.

An instance counts as ended when its body is, before its last write: a little in the peer's favour. Runs are shorter
than ours, since most peers are slower; a rate does not depend on it.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import uvloop

__all__ = ["NAMES", "WIDTH", "Watch", "main"]

WIDTH = 1_000
"""Activities of a fan-out."""
STEPS = 2_000
"""Steps of a long instance."""


class Watch:
    """Who has begun and who has ended, told by the bodies, perhaps from another thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._moments: dict[str, asyncio.Future[None]] = {}

    def tell(self, what: str) -> None:
        """Say that `what` has happened; again is harmless (a body may be run again)."""
        self._loop.call_soon_threadsafe(self._set, what)

    async def wait(self, what: str) -> None:
        """Wait until it has."""
        await self._moment(what)

    def _moment(self, what: str) -> asyncio.Future[None]:
        return self._moments.setdefault(what, self._loop.create_future())

    def _set(self, what: str) -> None:
        moment = self._moment(what)
        if not moment.done():
            moment.set_result(None)


class Peer(Protocol):
    """An engine at work. Kinds: chain (`number` steps in a row), fan-out, sleep (a second), signalled."""

    in_flight: int
    """How many instances at once it runs fastest with."""

    async def start(self, kind: str, instance_id: str, number: int) -> None:
        """Start an instance; its body tells the watch "begun ID" and "ended ID"."""

    async def signal(self, instance_id: str) -> None:
        """Give a `signalled` one what it waits for."""


class Play:
    """One peer, and the watch over it."""

    def __init__(self, peer: Peer, watch: Watch) -> None:
        self._peer = peer
        self._watch = watch

    async def run(self, workload: str) -> float:
        """Warm up, play one workload, give its number."""
        await self._many("chain", "warm", count=20, in_flight=self._peer.in_flight, number=5)
        return await NAMES[workload](self)

    async def chains(self) -> float:
        """W1, in instances a second."""
        return 400 / await self._many("chain", "run", count=400, in_flight=self._peer.in_flight, number=5)

    async def one_chain(self) -> float:
        """W1L, in ms."""
        return 1000 * statistics.median([await self._one("chain", f"one-{n}", 5) for n in range(60)])

    async def fan_out(self) -> float:
        """W2, in seconds."""
        return await self._one("fan-out", "fan", WIDTH)

    async def timers(self) -> float:
        """W3, in seconds."""
        return await self._many("sleep", "timer", count=1_000, in_flight=1_000, number=1)

    async def signals(self) -> float:
        """W4, in seconds from the first send to the last end."""
        ids = [f"signal-{number}" for number in range(500)]
        await asyncio.gather(*(self._peer.start("signalled", instance_id, 0) for instance_id in ids))
        await asyncio.gather(*(self._watch.wait(f"begun {instance_id}") for instance_id in ids))
        await asyncio.sleep(2)  # they have begun; let them come to their wait
        began = time.perf_counter()
        await asyncio.gather(*(self._peer.signal(instance_id) for instance_id in ids))
        await asyncio.gather(*(self._watch.wait(f"ended {instance_id}") for instance_id in ids))
        return time.perf_counter() - began

    async def trivials(self) -> float:
        """W5, in instances a second."""
        return 1_000 / await self._many("chain", "run", count=1_000, in_flight=self._peer.in_flight, number=0)

    async def many_steps(self) -> float:
        """W7, in seconds."""
        return await self._one("chain", "long", STEPS)

    async def _many(self, kind: str, prefix: str, *, count: int, in_flight: int, number: int) -> float:
        slots = asyncio.Semaphore(in_flight)

        async def one(index: int) -> None:
            async with slots:
                await self._one(kind, f"{prefix}-{index}", number)

        began = time.perf_counter()
        await asyncio.gather(*(one(index) for index in range(count)))
        return time.perf_counter() - began

    async def _one(self, kind: str, instance_id: str, number: int) -> float:
        began = time.perf_counter()
        await self._peer.start(kind, instance_id, number)
        await self._watch.wait(f"ended {instance_id}")
        return time.perf_counter() - began


NAMES: dict[str, Callable[[Play], Awaitable[float]]] = {
    "W1": Play.chains,
    "W1L": Play.one_chain,
    "W2": Play.fan_out,
    "W3": Play.timers,
    "W4": Play.signals,
    "W5": Play.trivials,
    "W7": Play.many_steps,
}
"""The workloads that peers can play."""


def main(peer_of: Callable[[str, Watch], Awaitable[Peer]]) -> None:
    """Play the workload named on the command line, after the DSN; print the number as JSON on the last line."""
    dsn, workload = sys.argv[1:]

    async def play() -> float:
        watch = Watch()
        return await Play(await peer_of(dsn, watch), watch).run(workload)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(play())), flush=True)
        os._exit(0)  # workers and threads of peers may have no end of their own

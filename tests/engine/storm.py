"""The weather of tests with worker processes: a crew of them, who of them is killed when, and when Postgres crashes.

It knows processes and one seed; what the crew works on is not its business.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from perdure._store.embedded import EmbeddedPostgres

READY = "this worker has its lease"
"""What a worker process says when it begins to work."""


@dataclasses.dataclass(frozen=True)
class Blow:
    """What happens in one second: a worker dies, and perhaps Postgres crashes too."""

    victim: int
    hits_postgres: bool


def forecast(seed: int, *, seconds: int, crew: int, crashes: int) -> list[Blow]:
    """Draw the storm: one blow a second, the same for the same seed."""
    dice = random.Random(seed)
    hits = set(dice.sample(range(1, seconds - 1), crashes))
    return [Blow(dice.randrange(crew), second in hits) for second in range(seconds)]


@contextlib.contextmanager
def seeded() -> Iterator[int]:
    """Give the seed of this run: $PERDURE_SEED, or a new one; whatever fails tells how to repeat it."""
    seed = int(os.environ.get("PERDURE_SEED") or secrets.randbelow(1_000_000))
    try:
        yield seed
    except BaseException as error:
        error.add_note(f"Repeat this storm with PERDURE_SEED={seed}")
        raise


class Crew:
    """Worker processes: a killed one is replaced at once; one that ends by itself is an error."""

    def __init__(
        self, dsn: str, folder: Path, *, size: int, lease_seconds: float, module: str = "tests.engine.voyage"
    ) -> None:
        """Start `size` workers that offer what `module` offers, and write their logs into `folder`."""
        self._module = module
        self._environment = os.environ | {"PERDURE_DATABASE_URL": dsn}
        self._folder = folder
        self._lease_seconds = lease_seconds
        self._started = 0
        self._logs: dict[int, Path] = {}
        self._workers = [self._start(number) for number in range(size)]

    def __enter__(self) -> Self:
        """Be gone at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill whoever is left."""
        for worker in self._workers:
            self._end(worker)

    @property
    def pids(self) -> list[int]:
        """Who lives, in order."""
        return sorted(worker.pid for worker in self._workers)

    def replace(self, number: int) -> None:
        """Kill a worker and start another in its place."""
        self.check()
        self._end(self._workers[number])
        self._workers[number] = self._start(number)

    async def at_work(self, number: int) -> None:
        """Wait until a worker has its lease and a moment more: who dies before that dies of nothing that it did."""
        while not self._logs[number].read_text(errors="replace").count(READY):
            self.check()
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)

    def check(self) -> None:
        """Raise when a worker has ended by itself: only we end them."""
        for worker in self._workers:
            if worker.poll() is not None:
                message = f"a worker ended by itself with code {worker.returncode}:\n{self._last_words()}"
                raise AssertionError(message)

    async def tend(self) -> None:
        """Replace whoever was killed by what it ran, for ever; raise when one has ended in any other way."""
        while True:
            for number, worker in enumerate(self._workers):
                code = worker.poll()
                if code == -signal.SIGKILL:
                    self._end(worker)
                    self._workers[number] = self._start(number)
                elif code is not None:
                    self.check()
            await asyncio.sleep(0.05)

    async def dismiss(self) -> None:
        """Ask all to stop, once they are at work, and see that they end well."""
        for number in range(len(self._workers)):
            await self.at_work(number)
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            assert worker.wait(timeout=120) == 0, self._last_words()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        self._started += 1
        self._logs[number] = self._folder / f"worker-{self._started:02}.log"
        command = [sys.executable, "-m", "tests.engine.worker_process"]
        command += ["--lease", str(self._lease_seconds), "--module", self._module]
        with self._logs[number].open("wb") as log:
            return subprocess.Popen(
                command, env=self._environment, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )

    @staticmethod
    def _end(worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        worker.wait()
        if worker.stdin is not None:
            worker.stdin.close()

    def _last_words(self) -> str:
        logs = sorted(self._folder.glob("worker-*.log"))[-len(self._workers) :]
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3_000:]}" for log in logs)


async def blow(storm: list[Blow], crew: Crew, postgres: EmbeddedPostgres) -> None:
    """Let the storm pass over crew and database, one blow a second by the clock, and each at somebody who works."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for second, what in enumerate(storm, 1):
        await asyncio.sleep(max(0.0, began + second - loop.time()))
        await crew.at_work(what.victim)
        crew.replace(what.victim)
        if what.hits_postgres:
            await asyncio.to_thread(_crash, postgres)


def _crash(postgres: EmbeddedPostgres) -> None:
    postgres.crash()
    postgres.restart()

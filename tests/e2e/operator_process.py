"""One real operator process: `python -m perdure run`, started, heard, asked over HTTP, stopped or killed.

Waits end by what they wait for; nothing sleeps for its own sake. It knows no namespace, no resource and no test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

__all__ = ["PATIENCE_SECONDS", "Operator", "until"]

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0
"""Far above what anything here takes on a busy machine; a wait that ends by it has failed."""
_LOOK_SECONDS = 0.05


class Operator:
    """One process of `perdure run`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log = ""
        self.lines: list[dict[str, Any]] = []
        self._listening = asyncio.create_task(self._listen())
        self._spoke = asyncio.Condition()

    @classmethod
    async def started(cls, kubeconfig: Path | None, settings: Mapping[str, str]) -> Self:
        """Start a process with these settings alone (names without `PERDURE_`), and return at once.

        Without a kubeconfig nothing says where a cluster is.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PERDURE_", "KUBE"))}
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "perdure", "run"),
                cwd=ROOT,
                env={
                    **inherited,
                    **{f"PERDURE_{name}": value for name, value in settings.items()},
                    **({} if kubeconfig is None else {"KUBECONFIG": str(kubeconfig)}),
                },
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=2**20,  # a line with a traceback may be long
            )
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(next(line["port"] for line in self.lines if line["event"] == "http_listening"))

    async def said(self, event: str, *, times: int = 1) -> None:
        """Wait until it has said this so many times."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._spoke:
            await self._spoke.wait_for(lambda: self.count(event) >= times or self.process.returncode is not None)
        assert self.count(event) >= times, f"the operator ended before it said {event}: {self.lines[-5:]}"

    def count(self, event: str) -> int:
        """Count how often it has said this."""
        return sum(line["event"] == event for line in self.lines)

    async def readiness(self) -> dict[str, Any]:
        """Ask `/readyz`."""
        status, answer = await self.ask("/readyz")
        assert (status == 200) is answer["ok"]
        return dict(answer)

    async def needs(self, name: str, *, ok: bool) -> str:
        """Wait until this need is met, or is not; give why."""
        found: dict[str, Any] = {}

        async def is_reached() -> bool:
            found.update((await self.readiness())["needs"].get(name, {}))
            return found.get("ok") is ok

        await until(is_reached)
        return str(found["why"])

    async def ask(self, path: str) -> tuple[int, Any]:
        """GET something as JSON."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.json()

    async def reading(self, name: str) -> float:
        """Ask `/metrics` for one of ours, named without `perdure_`."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/metrics") as answer:
            found = re.search(rf"^perdure_{name} (\S+)$", await answer.text(), re.MULTILINE)
        assert found is not None, f"no metric perdure_{name}"
        return float(found[1])

    async def stop(self) -> int:
        """End it by SIGTERM; give the exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        await self._listening
        return int(self.process.returncode or 0)

    async def kill(self) -> None:
        """End it by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self._listening

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            async with self._spoke:
                self.log += line.decode(errors="replace")
                self.lines.append(_parsed(line))
                self._spoke.notify_all()
        await self.process.wait()
        async with self._spoke:
            self._spoke.notify_all()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        return {"event": "", **json.loads(line)}
    except ValueError:
        return {"event": line.decode(errors="replace").rstrip()}


async def until(is_reached: Callable[[], Any]) -> None:
    """Look again and again until it is so; a failure tells where it was waited for."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_reached():  # noqa: ASYNC110 - the other side is another process: it has no event to wait for
            await asyncio.sleep(_LOOK_SECONDS)

"""Where the peers live and how they are called: a virtual environment of their own, made once, in the user's cache."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from perdure._store.embedded import EmbeddedPostgres
from tests.bench.peers import measure
from tests.bench.stage import empty_database
from tests.tree import ROOT

__all__ = ["PACKAGES", "PEERS", "install", "play_all"]

PEERS = ("absurd", "dbos")
PACKAGES = ("absurd-sdk==0.5.1", "absurdctl==0.5.1", "dbos==3.4.0", "psycopg[binary]==3.3.9", "uvloop==0.23.0")
_LONGEST_SECONDS = 120.0


def install() -> Path:
    """Make the environment unless it is there; give its Python. Raises `CalledProcessError` when pip cannot."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "perdure" / f"peers-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    ready = folder / "installed"
    wanted = "\n".join(PACKAGES)
    if not ready.exists() or ready.read_text() != wanted:
        print(f"Installing {', '.join(PACKAGES)} into {folder} ...")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True
        )
        ready.write_text(wanted)
    return python


async def play_all(server: EmbeddedPostgres, python: Path, workload: str) -> dict[str, float]:
    """Let every peer play a workload in a database of its own; a peer that cannot, or not in time, is left out."""
    if workload not in measure.NAMES:
        return {}
    found = {peer: await _play(server, python, peer, workload) for peer in PEERS}
    return {peer: value for peer, value in found.items() if value is not None}


async def _play(server: EmbeddedPostgres, python: Path, peer: str, workload: str) -> float | None:
    async with empty_database(server) as database:
        words = [str(python), "-m", f"tests.bench.peers.run_{peer}", server.dsn_of(database), workload]
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                printed, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return None
    lines = printed.decode().splitlines()
    return float(json.loads(lines[-1])) if lines else None

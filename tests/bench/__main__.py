"""`make bench`: run the workloads named by ONLY (all when empty) and print what came out.

Exits with 2 when it is asked for something that is not there, with 1 when a workload did not come out right.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import os
import sys
import tempfile
from pathlib import Path

import rich.console
import structlog
import uvloop

from perdure._engine import garbage
from perdure._store.embedded import EmbeddedPostgres
from tests.bench import report
from tests.bench.calm import Calm
from tests.bench.peers import setting
from tests.bench.stage import Stage
from tests.bench.workloads import WORKLOADS, Result, Workload
from tests.cluster import toolchain

_PAGE_WIDTH = 130
"""Columns of the table when it goes into a file."""
_LOOKS = 30
"""How often a workload looks for a calm moment: with what a look takes, for some twenty seconds."""
_HOW = "Each waits a while for a calm moment of the machine; a short one that was disturbed is played again."


def chosen(only: str) -> list[str]:
    """Give the names of the workloads to run. Raises `ValueError` for what there is not."""
    names = [name for part in only.split(",") if (name := part.strip().upper())] or list(WORKLOADS)
    if unknown := [name for name in names if name not in WORKLOADS]:
        message = f"ONLY names {', '.join(unknown)}; expected one or more of {', '.join(WORKLOADS)}, as in ONLY=W1,W6."
        raise ValueError(message)
    return names


async def play(names: list[str], peers: Path | None, console: rich.console.Console) -> dict[str, Result]:
    """Run the workloads one after the other, each in a database of its own; after each the peers, if they are there."""
    results = {}
    calm = Calm(toolchain.cache_folder(), looks=_LOOKS)
    console.print(_HOW)
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user
        async with EmbeddedPostgres(Path(folder) / "postgres", in_pod=True) as server:
            for name in names:
                workload = WORKLOADS[name]
                console.print(f"{name}: {workload.what} ...")
                played = functools.partial(_played, server, workload)
                result, slowness, tries = await calm.measure(played, tries=workload.tries)
                more = {**result.more, "slowness": round(slowness, 2), "tries": tries}
                theirs: dict[str, float] = {}
                if peers:
                    played_by_peers = functools.partial(setting.play_all, server, peers, name)
                    theirs, slowness, _ = await calm.measure(played_by_peers, tries=workload.tries)
                    more["slowness_of_peers"] = round(slowness, 2)
                results[name] = dataclasses.replace(result, more=more, peers=theirs)
    return results


async def _played(server: EmbeddedPostgres, workload: Workload) -> Result:
    async with Stage.set_up(server) as stage:
        return await workload.play(stage)


def main() -> None:
    """Read what is asked for, run it, print it."""
    try:
        names = chosen(os.environ.get("ONLY", ""))
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    peers = setting.install() if os.environ.get("PEERS", "0") not in {"", "0"} else None
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    console = rich.console.Console(width=None if sys.stdout.isatty() else _PAGE_WIDTH)
    garbage.collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(play(names, peers, console))
    console.print(report.table(results))
    print(report.as_json(results))


if __name__ == "__main__":
    main()

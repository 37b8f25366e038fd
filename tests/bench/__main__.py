"""`make bench`: run the workloads named by ONLY (all when empty) and print what came out.

Exits with 2 when it is asked for something that is not there, with 1 when a workload did not come out right.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

import rich.console
import structlog
import uvloop

from perdure._store.embedded import EmbeddedPostgres
from tests.bench import report
from tests.bench.stage import Stage
from tests.bench.workloads import WORKLOADS, Result


def chosen(only: str, peers: str) -> list[str]:
    """Give the names of the workloads to run. Raises `ValueError` for what cannot be done."""
    if peers not in {"", "0"}:
        message = "PEERS: the comparison with other engines is not part of this tree yet; run without PEERS."
        raise ValueError(message)
    names = [name for part in only.split(",") if (name := part.strip().upper())] or list(WORKLOADS)
    if unknown := [name for name in names if name not in WORKLOADS]:
        message = f"ONLY names {', '.join(unknown)}; expected one or more of {', '.join(WORKLOADS)}, as in ONLY=W1,W6."
        raise ValueError(message)
    return names


async def play(names: list[str], console: rich.console.Console) -> dict[str, Result]:
    """Run the workloads one after the other, each in a database of its own."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user
        async with EmbeddedPostgres(Path(folder) / "postgres", in_pod=True) as server:
            for name in names:
                console.print(f"{name}: {WORKLOADS[name].what} ...")
                async with Stage.set_up(server) as stage:
                    results[name] = await WORKLOADS[name].play(stage)
    return results


def main() -> None:
    """Read what is asked for, run it, print it."""
    try:
        names = chosen(os.environ.get("ONLY", ""), os.environ.get("PEERS", ""))
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    console = rich.console.Console()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(play(names, console))
    console.print(report.table(results))
    print(report.as_json(results))


if __name__ == "__main__":
    main()

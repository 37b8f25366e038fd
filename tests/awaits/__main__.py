"""`make awaits`: a worker dies at every place of every workflow, on a cluster and a Postgres of its own.

    python -m tests.awaits                                      all of them
    python -m tests.awaits --only create-postgres --place 17    one of them, with what differs

Prints a table, and exits with 1 when a death is to be seen in what came of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.awaits import enumeration
from tests.awaits.room import Stage
from tests.awaits.stories import STORIES, Story
from tests.cluster import choice
from tests.cluster.finding import Finder
from tests.cluster.local import LocalControlPlane
from tests.cluster.progress import Progress
from tests.cluster.toolchain import CONTROL_PLANE
from tests.postgres_plugin import Server, forgetful_postgres


@contextlib.contextmanager
def servers() -> Iterator[tuple[str, Server, Path]]:
    """Give a kubeconfig, a Postgres and a folder, all of our own."""
    finder = Finder(choice.look_around(), Progress(sys.stderr))
    programs = finder.toolchain.ensure(CONTROL_PLANE, finder.progress)
    with tempfile.TemporaryDirectory(prefix="perdure-awaits-") as name:
        folder = Path(name)
        with (
            forgetful_postgres(port=0) as embedded,
            LocalControlPlane(folder / "control-plane", programs) as control_plane,
        ):
            yield str(control_plane.kubeconfig), Server(embedded.dsn, embedded), folder


async def enumerate_story(stage: Stage, story: Story, chosen: argparse.Namespace) -> tuple[int, int, int]:
    """Play a story with all its deaths; count the places, the deaths, and those that changed nothing."""
    model = await enumeration.undisturbed(stage, story)
    numbers = [chosen.place] if chosen.place else list(range(1, len(model.places) + 1, chosen.every))
    killed = same = 0
    async for found in enumeration.disturbed(stage, model, numbers, beside=chosen.beside):
        killed, same = killed + found.is_killed, same + (found.is_killed and not found.wrong)
        print("." if not found.wrong else "!", end="", flush=True)
        if found.wrong or chosen.place:
            print(f"\n{story.name} {found.number}, {found.place}: {found.wrong or 'same'}")
            print(f"Repeat it with: make awaits ONLY={story.name} PLACE={found.number}", flush=True)
    print()
    return len(numbers), killed, same


async def play(chosen: argparse.Namespace, kubeconfig: str, server: Server, folder: Path) -> bool:
    """Play the stories that were chosen, and print what came of them; say whether all is well."""
    rows: list[tuple[str, list[float]]] = []
    async with Stage.opened(kubeconfig, server, folder) as stage:
        for story in STORIES:
            if chosen.only and story.name not in chosen.only.split(","):
                continue
            began = time.monotonic()
            print(story.name, end=" ", flush=True)
            places, killed, same = await enumerate_story(stage, story, chosen)
            rows.append((story.name, [places, killed, same, time.monotonic() - began]))
    total = [sum(column) for column in zip(*(counts for _, counts in rows), strict=True)]
    print(f"\n{'workflow':28} {'places':>7} {'killed':>7} {'same':>7} {'seconds':>8}")
    for name, counts in [*rows, ("all", total)]:
        print(f"{name:28} " + " ".join(f"{count:7.0f}" for count in counts))
    return bool(rows) and total[0] == total[1] == total[2]


def main() -> None:
    """Read the command line and play."""
    parser = argparse.ArgumentParser(prog="python -m tests.awaits", description=__doc__)
    parser.add_argument("--only", default="", help=f"stories, with commas: {', '.join(each.name for each in STORIES)}")
    parser.add_argument("--place", type=int, default=0, help="the number of one place")
    parser.add_argument("--every", type=int, default=1, help="only every n-th place")
    parser.add_argument("--beside", type=int, default=4, help="runs at a time")
    chosen = parser.parse_args()
    with servers() as (kubeconfig, server, folder):
        is_fine = asyncio.run(play(chosen, kubeconfig, server, folder))
    sys.exit(0 if is_fine else 1)


if __name__ == "__main__":
    main()

"""`make simulate SEED=n` and `make simulation SEEDS=1000`: seeds on a Postgres of their own, until one is violated.

    python -m tests.simulation --seed 92          one seed, every step of it, and the histories when something is wrong
    python -m tests.simulation --seeds 1000       that many new seeds in a row; the first is printed

Exits with 1 at the first violation, after the command that repeats it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import secrets
import sys
import time
import traceback
from collections.abc import Iterator

from perdure._store import statements
from tests.postgres_plugin import forgetful_postgres
from tests.simulation import database, world
from tests.simulation.link import name_of

_PROGRESS_EVERY = 50
_HISTORY = """
select instance_id, execution, turn, at, convert_from(body, 'UTF8') as body
from history order by instance_id, turn
"""


@contextlib.contextmanager
def opened() -> Iterator[database.Database]:
    """Give a database of a server of our own."""
    with forgetful_postgres() as server:
        data = database.Database(database.create(server.dsn, "simulation"))
        try:
            yield data
        finally:
            data.close()


def show(data: database.Database, seed: int) -> bool:
    """Play one seed aloud; say whether it was without a violation."""
    try:
        played = world.play(data, seed, world.Options(check_every=1, watch=print))
    except world.Violation as violation:
        for row in data.look(_HISTORY):
            print(f"{row['instance_id']} {row['execution']} {row['turn']} {row['at'].time()} {row['body']}")
        print(f"\nseed {seed}: {violation}")
        return False
    print(f"\nseed {seed}: no violation in {played.steps} steps and {played.loop.now:.0f} s of the world's time")
    return True


def hunt(data: database.Database, first: int, count: int) -> bool:
    """Play many seeds; say whether all were without a violation."""
    began, steps, seconds = time.monotonic(), 0, 0.0
    met: set[tuple[str, str]] = set()
    for number in range(count):
        try:
            played = world.play(data, first + number)
        except Exception as violation:  # noqa: BLE001 - whatever it was, one must know with which seed to see it again
            if not isinstance(violation, world.Violation):
                traceback.print_exception(violation)
            print(f"seed {first + number} (the {number + 1}. of {count}): {violation}")
            print(f"Repeat it with: make simulate SEED={first + number}")
            return False
        steps, seconds = steps + played.steps, seconds + played.loop.now
        met |= played.met
        if (number + 1) % _PROGRESS_EVERY == 0 or number + 1 == count:
            took = time.monotonic() - began
            print(
                f"{number + 1:5} of {count} seeds, {steps} steps, {seconds / 3600:.1f} h of the world's time, "
                f"{took:.0f} s ({took / (number + 1):.2f} s a seed)",
                flush=True,
            )
    print(covered(met))
    return True


def covered(met: set[tuple[str, str]]) -> str:
    """Say of how many of the store's statements each fate was met."""
    known = {name_of(sql) for sql in statements.load().values()}
    counts = collections.Counter(part for name, part in met if name in known)
    played = {name for name, _ in met if name in known}
    parts = ", ".join(f"{part} {count}" for part, count in sorted(counts.items()))
    return f"{len(played)} of the {len(known)} statements of the store were played; of these {parts}"


def main() -> None:
    """Read the command line and play."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one aloud")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many to play, beginning with a new one")
    parser.add_argument("--first", type=int, help="the one to begin with")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        with opened() as data:
            is_fine = show(data, chosen.seed)
    else:
        first = chosen.first if chosen.first is not None else secrets.randbelow(10**9)
        print(f"{chosen.seeds} seeds from {first} on")
        with opened() as data:
            is_fine = hunt(data, first, chosen.seeds)
    sys.stdout.flush()
    sys.exit(0 if is_fine else 1)


if __name__ == "__main__":
    main()

"""Removing what is over: trees of instances with all that belongs to them, executions past their time, lost messages.

It knows statements by name and what they answer; it must not know who asks for it: a client does on demand, a worker by
policy. Everything is done in portions, and each portion is one statement: it may be repeated, and stopped between two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from perdure._store.store import Record, Store

__all__ = ["prune", "remove", "remove_aged", "retire", "sweep"]

_PORTION: Final = 500
_POSTPONED_SECONDS: Final = 5.0
_ANY = (None,) * 12
"""A filter that all instances fit, as the arguments of the statements that take one."""


async def remove(store: Store, roots: Sequence[str], *, force: bool = False) -> list[Record]:
    """Remove these trees, each whole or not at all; give a row (root_id, fate, instances) for each that was there."""
    return await store.fetch("tree_remove", list(roots), force)


async def retire(store: Store, *, older_than_seconds: float, at_most: int = 10_000) -> int:
    """Remove trees whose root ended longer ago than this, the oldest first, and messages that nobody can take in.

    Gives how many trees are gone; as many as `at_most` means that there may be more.
    """
    count = 0
    while count < at_most:
        wanted = min(_PORTION, at_most - count)
        found = await store.fetch("tree_removable", *_ANY, older_than_seconds, wanted)
        removed = sum(row["fate"] == "Removed" for row in await remove(store, [row["instance_id"] for row in found]))
        count += removed
        if len(found) < wanted or not removed:
            break
    await sweep(store)
    return count


async def remove_aged(store: Store) -> int:
    """Remove runs that have an age of their own, which is over, one portion of them; give how many are gone.

    A tree in which something runs, and a run whose end is not shown yet, stay for a while.
    """
    await store.fetch("retention_plan", _PORTION)
    due = await store.fetch("retention_due", _PORTION, _POSTPONED_SECONDS)
    if not due:
        return 0
    return sum(row["fate"] == "Removed" for row in await remove(store, [row["instance_id"] for row in due]))


async def sweep(store: Store, *, at_most: int = 10_000) -> None:
    """Remove messages that nobody can take in."""
    await store.fetch("inbox_sweep", at_most)


async def prune(store: Store, *, keep: int, older_than_seconds: float, at_most: int = 10_000) -> int:
    """Remove the history of executions that ended longer ago than this, but the last `keep` of each instance.

    The current execution is one of those. Gives how many are gone.
    """
    count = 0
    while count < at_most:
        wanted = min(_PORTION, at_most - count)
        [row] = await store.fetch("execution_prune", None, keep, None, older_than_seconds, wanted)
        count += row["executions"]
        if row["executions"] < wanted:
            break
    return count

"""Children that are waited for and are not there: found by the database's word, told to the parent as a failure.

A child is started by the same statement as the turn that asks for it, unless its id is taken. Whoever finds that, right
after the commit or when the parent is rebuilt by somebody else, asks for the row that should be there.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure import errors
from perdure._core import failure, history
from perdure._store.store import Store

__all__ = ["child_taken", "lost_children"]


async def lost_children(store: Store, keys: Sequence[tuple[str, int, int, str]]) -> set[tuple[str, int]]:
    """Give (parent, seq) of the children that are not there as children of who asked for them."""
    if not keys:
        return set()
    rows = await store.fetch_patiently("children_lost", *(list(column) for column in zip(*keys, strict=True)))
    return {(row["parent_id"], row["seq"]) for row in rows}


def child_taken(child: history.ScheduleSubOrchestration) -> history.ChildFailed:
    """Say to the parent that its child cannot be."""
    message = (
        f"The id {child.instance_id!r} of the child belongs to an instance that was not started by this call, so the "
        "child was not started. Choose another instance_id, or leave it out."
    )
    failed = failure.of(errors.InstanceConflictError(message))
    return history.ChildFailed(child.seq, failed)

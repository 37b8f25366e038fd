"""The part of the client that removes instances and old executions.

A tree goes whole or not at all, with its history, messages, tasks and keys; its ids may be used again. It must not know
what was in it. What by policy is removed by age is the business of workers (`_store.removal`).
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from perdure import errors
from perdure._core import limits
from perdure._store import removal
from perdure._store.store import Record, explained
from perdure.client.instances import InstanceFilter
from perdure.client.looking import Looking, not_found, possible

__all__ = ["Removing"]

_PORTION = 500


class Removing(Looking):
    """How instances go."""

    async def delete_instance(self, instance_id: str, *, force: bool = False) -> int:
        """Remove an instance and all below it, at once; give how many that were. The ids may be used again.

        `force` also removes what still runs (without compensation) or what a resource in the cluster shows. A child is
        removed with its parent only.

        Raises `InstanceNotFoundError`, `InstanceNotRemovableError` with the reason, and nothing is removed then.
        """
        fate = "Changed"
        possible(instance_id)
        for _ in range(limits.REMOVAL_TRIES):
            with explained():
                rows = await removal.remove(self._store, [instance_id], force=force)
            if not rows:
                raise not_found(instance_id)
            fate = rows[0]["fate"]
            if fate == "Removed":
                return int(rows[0]["instances"])
            if fate != "Changed":
                break
        raise errors.InstanceNotRemovableError(instance_id, fate)

    async def delete_instances(
        self,
        filter: InstanceFilter | None = None,
        *,
        finished_before: datetime.datetime | None = None,
        limit: int = 1_000,
    ) -> int:
        """Remove finished instances that fit `filter` and ended before this, up to `limit` of them; give how many went.

        Only roots are counted and looked for; their children go with them. What runs, has something running below it or
        is shown by a resource in the cluster stays.
        """
        arguments = (filter or InstanceFilter()).arguments(finished_before=finished_before)
        count = 0
        while count < limit:
            wanted = min(_PORTION, limit - count)
            found = await self._fetch("tree_removable", *arguments, None, wanted)
            with explained():
                rows = await removal.remove(self._store, [row["instance_id"] for row in found])
            count += (removed := _removed(rows))
            if len(found) < wanted or not removed:
                break
        return count

    async def prune(
        self,
        *,
        finished_before: datetime.datetime | None = None,
        keep_executions: int | None = None,
        ids: Sequence[str] | None = None,
        limit: int = 1_000,
    ) -> int:
        """Remove the history of executions that continued as new; give how many went, up to `limit`.

        Of each instance, running or not, the last `keep_executions` stay: the current one is the first of those, and
        always stays. With `finished_before` only executions that ended before, with `ids` only of these instances.
        """
        chosen = None if ids is None else list(ids)
        rows = await self._fetch("execution_prune", chosen, keep_executions or 1, finished_before, None, limit)
        return int(rows[0]["executions"])


def _removed(rows: Sequence[Record]) -> int:
    return sum(row["fate"] == "Removed" for row in rows)

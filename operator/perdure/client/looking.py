"""The part of the client that reads: instances one by one and in pages, and what happened in them.

It knows statements by name and what a row means; it changes nothing. Reading many instances at once costs one
statement, however many callers there are.
"""

from __future__ import annotations

from perdure import errors
from perdure._core import history
from perdure._store.batching import Batcher
from perdure._store.store import Record, Store
from perdure.client.connection import Connected, LocalWorker
from perdure.client.instances import InstanceFilter, InstanceInfo, InstancePage, Page, info_of

__all__ = ["Looking", "not_found"]


class Looking(Connected):
    """What a client can read."""

    def __init__(self, store: Store, worker: LocalWorker | None = None, *, owns_store: bool = False) -> None:
        super().__init__(store, worker, owns_store=owns_store)
        self._reads: Batcher[str, Record | None] = Batcher(self._read)

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """Give an instance. Raises `InstanceNotFoundError` when there is none."""
        row = await self._reads.submit(instance_id)
        if row is None:
            raise not_found(instance_id)
        return info_of(row)

    async def list_instances(self, filter: InstanceFilter | None = None, page: Page | None = None) -> InstancePage:
        """Give one page of instances, in one query. Inputs and outputs above 4 KiB are None here: get the instance.

        So are payloads whose key is missing: what is not encrypted of an instance can be seen without it.
        """
        wanted, page = filter or InstanceFilter(), page or Page()
        rows = await self._fetch("instance_list", wanted.phase, wanted.name, wanted.id_prefix, page.after, page.size)
        items = [info_of(row, is_listed=True) for row in rows]
        return InstancePage(items, items[-1].instance_id if len(items) == page.size else None)

    async def get_history(self, instance_id: str, execution: int | None = None) -> list[history.Turn]:
        """Give the turns of an execution (of the current one when None), in order."""
        rows = await self._fetch("history_get", instance_id, execution)
        if not rows:
            await self.get_instance_info(instance_id)
        return [history.decode_turn(row["at"], row["body"]) for row in rows]

    async def _read(self, instance_ids: list[str]) -> list[Record | None]:
        """Read many instances in one statement: thousands may be waited for at once."""
        rows = {row["instance_id"]: row for row in await self._fetch("instance_get", instance_ids)}
        return [rows.get(instance_id) for instance_id in instance_ids]


def not_found(instance_id: str) -> errors.InstanceNotFoundError:
    """Give the error of an id that no instance has."""
    message = f"There is no instance {instance_id!r} in this database; `perdure list` shows what there is."
    return errors.InstanceNotFoundError(message)

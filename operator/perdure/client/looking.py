"""The part of the client that reads: instances one by one and in pages, and what happened in them.

It knows statements by name and what a row means; it changes nothing. Reading many instances at once costs one
statement, however many callers there are.
"""

from __future__ import annotations

import datetime

import msgspec

from perdure import errors
from perdure._core import export, history, identifiers, lifecycle
from perdure._core.projection import Projection, Step, fold
from perdure._store.batching import Batcher
from perdure._store.store import Record, Store
from perdure.client.connection import Connected, LocalWorker
from perdure.client.instances import (
    ExecutionInfo,
    InstanceCount,
    InstanceFilter,
    InstanceInfo,
    InstancePage,
    InstanceWait,
    Page,
    Unoffered,
    info_of,
)

__all__ = ["Looking", "not_found", "possible"]

_TREE_SIZE = 10_000
_NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC)


class Looking(Connected):
    """What a client can read."""

    def __init__(self, store: Store, worker: LocalWorker | None = None, *, owns_store: bool = False) -> None:
        super().__init__(store, worker, owns_store=owns_store)
        self._reads: Batcher[str, Record | None] = Batcher(self._read)

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """Give an instance. Raises `InstanceNotFoundError` when there is none."""
        return info_of(await self._row(instance_id))

    async def list_instances(self, filter: InstanceFilter | None = None, page: Page | None = None) -> InstancePage:
        """Give one page of instances, in one query. Inputs and outputs above 4 KiB are None here: get the instance.

        So are payloads whose key is missing: what is not encrypted of an instance can be seen without it.
        """
        wanted, page = filter or InstanceFilter(), page or Page()
        rows = await self._fetch("instance_list", *wanted.arguments(), page.after, page.size)
        items = [info_of(row, is_listed=True) for row in rows]
        return InstancePage(items, items[-1].instance_id if len(items) == page.size else None)

    async def get_history(self, instance_id: str, execution: int | None = None) -> list[history.Turn]:
        """Give the turns of an execution (of the current one when None), in order.

        Raises `InstanceNotFoundError`, and `HistoryUnreadableError` when they cannot be read here.
        """
        rows = await self._fetch("history_get", possible(instance_id), execution)
        if not rows:
            await self.get_instance_info(instance_id)
        try:
            return [history.decode_turn(row["at"], row["body"]) for row in rows]
        except msgspec.DecodeError as error:
            message = f"The history of {instance_id} cannot be read: {error}."
            raise errors.HistoryUnreadableError(message) from error

    async def export_history(self, instance_id: str, execution: int | None = None) -> export.HistoryExport:
        """Give an execution (the current one when None) as what `perdure replay` and `export.decode` read.

        Raises `InstanceNotFoundError`, and `HistoryUnreadableError` when its turns cannot be read here.
        """
        info = await self.get_instance_info(instance_id)
        chosen = info.execution if execution is None else execution
        turns = await self.get_history(instance_id, chosen)
        started = [
            event for turn in turns[:1] for event in turn.events if isinstance(event, history.OrchestrationStarted)
        ]
        return export.HistoryExport(
            instance_id=instance_id,
            name=info.name,
            version=started[0].version if started else info.version,
            execution=chosen,
            turns=turns,
        )

    async def get_waits(self, instance_id: str) -> list[InstanceWait]:
        """Give what the code of an instance waits for now, the longest first; nothing for one that has ended.

        It reads the history of the current execution, and what is known of its activities. Raises
        `InstanceNotFoundError` when there is none.
        """
        projection = Projection()
        for turn in await self.get_history(instance_id):
            fold(projection, turn)
        known = {row["seq"]: row for row in await self._fetch("tasks_show", instance_id)} if projection.running else {}
        waits = [
            *(_wait_of(step, known.get(step.seq)) for step in projection.running.values()),
            *(InstanceWait("timer", "", None, timer.fire_at) for timer in projection.timers.values()),
            *(InstanceWait(wait.kind, wait.name, wait.since) for wait in projection.waits.values()),
        ]
        return sorted(waits, key=lambda wait: wait.since or wait.until or _NEVER)

    async def get_tree(self, instance_id: str) -> list[InstanceInfo]:
        """Give an instance and all below it, parents before their children; up to 10,000, payloads as in a list.

        Raises `InstanceNotFoundError` when there is none.
        """
        rows = await self._fetch("instance_tree", possible(instance_id), _TREE_SIZE)
        if not rows:
            raise not_found(instance_id)
        return [info_of(row, is_listed=True) for row in rows]

    async def list_executions(self, instance_id: str) -> list[ExecutionInfo]:
        """Give the executions whose history is there, in order; none for an instance that took no turn yet.

        Raises `InstanceNotFoundError` when there is none.
        """
        rows = await self._fetch("execution_list", possible(instance_id))
        if not rows:
            await self.get_instance_info(instance_id)
        return [_execution_of(row) for row in rows]

    async def count_instances(self) -> list[InstanceCount]:
        """Count all instances by orchestration, version and phase. It reads them all: not for every second."""
        return [InstanceCount(**row) for row in await self._fetch("instance_count")]

    async def list_unoffered(self) -> list[Unoffered]:
        """Give what waits for a worker that is not there, by orchestration and version.

        Instances that only wait for a message are not counted until one comes.
        """
        return [Unoffered(**row) for row in await self._fetch("instance_unoffered")]

    async def count_payloads_by_key(self) -> dict[str, int]:
        """Count what is stored under each encryption key, by its id; what is plain stands under ''.

        Reads the whole database. A key without payloads may be thrown away.
        """
        return {row["key_id"]: row["payloads"] for row in await self._fetch("keys_in_use")}

    async def _row(self, instance_id: str) -> Record:
        row = await self._reads.submit(possible(instance_id))
        if row is None:
            raise not_found(instance_id)
        return row

    async def _read(self, instance_ids: list[str]) -> list[Record | None]:
        """Read many instances in one statement: thousands may be waited for at once."""
        rows = {row["instance_id"]: row for row in await self._fetch("instance_get", instance_ids)}
        return [rows.get(instance_id) for instance_id in instance_ids]


def _wait_of(step: Step, row: Record | None) -> InstanceWait:
    """Say how an activity stands; its owner makes a first attempt without a row."""
    if row is None:
        return InstanceWait("activity", step.name, step.started_at, attempt=1)
    error = row["last_error"]
    return InstanceWait(
        kind="activity",
        name=step.name,
        since=step.started_at,
        attempt=row["failed_attempts"] + 1,
        last_error=None if error is None else lifecycle.decode_failure(error),
        next_attempt_at=row["next_attempt_at"],
        queue=row["queue"],
        worker=row["worker"],
        servers=row["servers"],
    )


def _execution_of(row: Record) -> ExecutionInfo:
    goes_on = row["is_current"] and not row["is_finished"]
    return ExecutionInfo(
        execution=row["execution"],
        turns=row["turns"],
        started_at=row["started_at"],
        ended_at=None if goes_on else row["moved_at"],
        outcome=row["phase"] if row["is_current"] else "ContinuedAsNew",
    )


def possible(instance_id: str) -> str:
    """Give the id back. Raises `InstanceNotFoundError` for text that can be none, `DefinitionError` for anything else.

    Many are read at once, and one that the database does not take would be the trouble of all of them.
    """
    try:
        return identifiers.check_instance_id(instance_id)
    except errors.DefinitionError:
        if isinstance(instance_id, str):
            raise not_found(instance_id) from None
        raise


def not_found(instance_id: str) -> errors.InstanceNotFoundError:
    """Give the error of an id that no instance has."""
    message = f"There is no instance {instance_id!r} in this database; `perdure list` shows what there is."
    return errors.InstanceNotFoundError(message)

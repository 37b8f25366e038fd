"""The client: starting, watching and ending instances from anywhere that reaches Postgres.

It speaks to the database only and needs no worker to be up. Given a worker of the same process it hears of ends without
asking. It knows no Kubernetes: resources come in by the operator, which uses the same tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
from typing import Protocol, Self, cast

import msgspec

from perdure import errors
from perdure._core import definition, history, lifecycle, limits, payload
from perdure._core.definition import AnyOrchestration, OrchestrationDefinition
from perdure._core.failure import Failure
from perdure._store import migrate as migration
from perdure._store.batching import Batcher
from perdure._store.store import Record, Store, is_transient, translated

PHASES = lifecycle.PHASES
"""Every phase an instance can be in."""

__all__ = [
    "PHASES",
    "Client",
    "Failure",
    "InstanceFilter",
    "InstanceHandle",
    "InstanceInfo",
    "InstancePage",
    "LocalWorker",
]

_FINISHED_CHANNEL = "perdure_finished"
_POLL_SECONDS = 2.0
_PAGE_SIZE = 100
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class LocalWorker(Protocol):
    """What a client needs of a worker in the same process."""

    def nudge(self) -> None:
        """There may be work."""

    def finished(self, instance_id: str) -> asyncio.Future[None]:
        """Give a future that is done when the instance has ended here."""


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceHandle:
    """An instance that is there; `created` tells whether this call made it."""

    instance_id: str
    created: bool


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceInfo:
    """An instance as people see it. `phase`: Pending, Running, Suspended, Completed, Failed, Cancelled.

    `input`, `output` and `custom_status` are decoded JSON values; `error` is set on Failed, Cancelled and held ones.
    """

    instance_id: str
    name: str
    version: str
    phase: str
    execution: int
    hold_reason: str
    input: payload.JsonValue
    output: payload.JsonValue
    error: Failure | None
    custom_status: payload.JsonValue
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None

    @property
    def is_finished(self) -> bool:
        """Whether the phase is terminal."""
        return self.phase in lifecycle.TERMINAL


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Which instances to list; None means all."""

    phase: str | None = None
    name: str | None = None
    id_prefix: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class InstancePage:
    """Some instances in the order of their ids; `after` asks for the next page, None when this is the last."""

    items: list[InstanceInfo]
    after: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Start:
    instance_id: str
    name: str
    version: str
    input: payload.Payload


class Client:
    """Use `async with await Client.connect(dsn) as client`, or close it yourself. Bound to one event loop."""

    def __init__(self, store: Store, worker: LocalWorker | None = None, *, owns_store: bool = False) -> None:
        """Speak over `store`; `worker` is one of the same process, if there is one."""
        self._store = store
        self._worker = worker
        self._owns_store = owns_store
        self._starts: Batcher[_Start, bool] = Batcher(self._write_starts)
        self._reads: Batcher[str, Record | None] = Batcher(self._read)
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @classmethod
    async def connect(cls, dsn: str, migrate: bool = False) -> Self:  # noqa: FBT001, FBT002 - fixed by the public interface
        """Connect to the database of an installation; with `migrate` bring its schema up first.

        Raises `DatabaseUnavailableError` when it cannot be reached now.
        """
        if migrate:
            await migration.migrate(dsn)
        return cls(await Store.open(dsn, application_name="perdure-client"), owns_store=True)

    async def __aenter__(self) -> Self:
        """Be closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Stop watching; close the connections that `connect` made."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._owns_store:
            await self._store.close()

    # Starting and ending.

    async def start_orchestration(
        self, instance_id: str, orchestration: AnyOrchestration | str, input: object = None
    ) -> InstanceHandle:
        """Start an instance on the highest version its worker has; again with the same id and input is harmless.

        Raises `InstanceConflictError` when the id is taken by another orchestration or input, `PayloadError` and
        `DefinitionError` for what cannot be started at all.
        """
        return await self.start_orchestration_versioned(instance_id, orchestration, "", input)

    async def start_orchestration_versioned(
        self, instance_id: str, orchestration: AnyOrchestration | str, version: str, input: object = None
    ) -> InstanceHandle:
        """Start an instance on exactly this version."""
        name = orchestration.name if isinstance(orchestration, OrchestrationDefinition) else orchestration
        _check_id(instance_id)
        definition.check_name(name)
        if version:
            definition.parse_version(name, version)
        start = _Start(instance_id, name, version, payload.encode(input, f"input of {instance_id}"))
        created = await self._starts.submit(start)
        if created:
            if self._worker is not None:
                self._worker.nudge()
        else:
            await self._check_same(start)
        return InstanceHandle(instance_id, created)

    async def cancel_instance(self, instance_id: str, reason: str = "") -> None:
        """Ask for the end of an instance: its code may compensate, then it ends Cancelled. A finished one stays.

        Raises `InstanceNotFoundError` when there is none.
        """
        rows = await self._fetch("instance_cancel", instance_id, _encode({"reason": reason}))
        if not rows:
            await self.get_instance_info(instance_id)
        elif self._worker is not None:
            self._worker.nudge()

    # Looking.

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """Give an instance. Raises `InstanceNotFoundError` when there is none."""
        row = await self._reads.submit(instance_id)
        if row is None:
            message = f"There is no instance {instance_id!r} in this database; `perdure list` shows what there is."
            raise errors.InstanceNotFoundError(message)
        return _info(row)

    async def wait_for_orchestration(self, instance_id: str, timeout: float | None = None) -> InstanceInfo:
        """Wait until an instance is in a terminal phase and give it.

        `timeout` in seconds; raises `TimeoutError` when it has not ended by then, and `InstanceNotFoundError`.
        """
        info = await self.get_instance_info(instance_id)
        if info.is_finished:
            return info
        async with asyncio.timeout(timeout):
            await self._until_finished(instance_id)
        return await self.get_instance_info(instance_id)

    async def list_instances(
        self, filter: InstanceFilter | None = None, *, after: str = "", size: int = _PAGE_SIZE
    ) -> InstancePage:
        """Give one page of instances, in one query. Inputs and outputs above 4 KiB are None here: get the instance."""
        wanted = filter or InstanceFilter()
        rows = await self._fetch("instance_list", wanted.phase, wanted.name, wanted.id_prefix, after, size)
        items = [_info(row) for row in rows]
        return InstancePage(items, items[-1].instance_id if len(items) == size else None)

    async def get_history(self, instance_id: str, execution: int | None = None) -> list[history.Turn]:
        """Give the turns of an execution (of the current one when None), in order."""
        rows = await self._fetch("history_get", instance_id, execution)
        if not rows:
            await self.get_instance_info(instance_id)
        return [history.decode_turn(row["at"], row["body"]) for row in rows]

    # Inside.

    async def _fetch(self, name: str, *arguments: object) -> list[Record]:
        """Run a statement; a database that is away is `DatabaseUnavailableError`, and the call may be made again."""
        with translated():
            return await self._store.fetch(name, *arguments)

    async def _read(self, instance_ids: list[str]) -> list[Record | None]:
        """Read many instances in one statement: thousands may be waited for at once."""
        rows = {row["instance_id"]: row for row in await self._fetch("instance_get", instance_ids)}
        return [rows.get(instance_id) for instance_id in instance_ids]

    async def _write_starts(self, starts: list[_Start]) -> list[bool]:
        """Write many starts in one statement; an id given twice in one batch is created once."""
        first = {start.instance_id: start for start in reversed(starts)}
        columns = zip(*((s.instance_id, s.name, s.version, s.input, "") for s in first.values()), strict=True)
        rows = await self._fetch("instance_start", *(list(column) for column in columns))
        created = {row["instance_id"] for row in rows}
        return [start.instance_id in created and first[start.instance_id] is start for start in starts]

    async def _check_same(self, start: _Start) -> None:
        """An id that is taken must be taken by the same request."""
        row = (await self._fetch("instance_get", [start.instance_id]))[0]
        wrong = [
            f"{what} is {found!r}, asked for {asked!r}"
            for what, found, asked in (
                ("the orchestration", row["name"], start.name),
                ("the version", row["version"], start.version or row["version"]),
                ("the input", row["input"].decode(), start.input.decode()),
            )
            if found != asked
        ]
        if wrong:
            message = f"Instance {start.instance_id!r} exists already: {'; '.join(wrong)}. Choose another instance id."
            raise errors.InstanceConflictError(message)

    async def _until_finished(self, instance_id: str) -> None:
        """Wait for the end by what comes first: the worker of this process, a NOTIFY, or the poll behind both."""
        future = self._worker.finished(instance_id) if self._worker else asyncio.get_running_loop().create_future()
        self._waiting.setdefault(instance_id, []).append(future)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_finished())
        self._news.set()
        try:
            await future
        finally:
            futures = self._waiting.get(instance_id, [])
            if future in futures:
                futures.remove(future)
            if not futures:
                self._waiting.pop(instance_id, None)

    async def _watch_finished(self) -> None:
        """One query for all that wait, after each NOTIFY and every poll; none while nobody waits."""
        while True:
            try:
                async with self._store.control("perdure-client") as control:
                    await control.listen(_FINISHED_CHANNEL, self._news.set)
                    self._news.set()
                    while self._waiting:
                        await self._wait_for_news()
                        await self._resolve_finished()
                    return
            except Exception as error:  # noqa: BLE001 - handed on to whoever waits
                if not is_transient(error):
                    self._fail_waiting(error)
                    return
                self._store.availability.lost(error, "watch for ends")
                await asyncio.sleep(_POLL_SECONDS / 2)

    def _fail_waiting(self, error: Exception) -> None:
        """What waiting cannot cure (rights, password) is the error of everybody who waits."""
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        self._waiting.clear()

    async def _wait_for_news(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._news.wait()
        self._news.clear()

    async def _resolve_finished(self) -> None:
        if not self._waiting:
            return
        for row in await self._fetch("instance_finished", list(self._waiting)):
            for future in self._waiting.pop(row["instance_id"], []):
                if not future.done():
                    future.set_result(None)


def _check_id(instance_id: str) -> None:
    if not 1 <= len(instance_id) <= limits.INSTANCE_ID_CHARACTERS or not instance_id.isprintable():
        message = (
            f"{instance_id[:80]!r} is no instance id: expected 1 to {limits.INSTANCE_ID_CHARACTERS} printable "
            f"characters, found {len(instance_id)}."
        )
        raise errors.DefinitionError(message)


def _info(row: Record) -> InstanceInfo:
    def decoded(data: bytes | None) -> payload.JsonValue:
        return None if data is None else cast("payload.JsonValue", _decode(data))

    return InstanceInfo(
        instance_id=row["instance_id"],
        name=row["name"],
        version=row["version"],
        phase=row["phase"],
        execution=row["execution"],
        hold_reason=row["hold_reason"],
        input=decoded(row["input"]),
        output=decoded(row["output"]),
        error=None if row["error"] is None else lifecycle.decode_failure(row["error"]),
        custom_status=decoded(row["custom_status"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )

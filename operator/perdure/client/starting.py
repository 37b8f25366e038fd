"""The part of the client that starts instances: once each, whoever asks how often, many in one statement.

An id belongs to one request: the same one again is harmless, another one under the same id is refused. It must not know
which orchestrations exist: that is a worker's business, and there may be none yet.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from perdure import errors
from perdure._core import definition, identifiers, limits, payload
from perdure._core.definition import AnyOrchestration, OrchestrationDefinition
from perdure._store.batching import Batcher
from perdure._store.store import Store
from perdure.client.connection import LocalWorker
from perdure.client.instances import InstanceHandle
from perdure.client.looking import Looking

__all__ = ["OnNondeterminism", "Starting"]

OnNondeterminism = Literal["Hold", "Fail"]


@dataclasses.dataclass(frozen=True, slots=True)
class _Start:
    instance_id: str
    name: str
    version: str
    input: payload.Payload
    on_nondeterminism: OnNondeterminism


class Starting(Looking):
    """How instances come to be."""

    def __init__(self, store: Store, worker: LocalWorker | None = None, *, owns_store: bool = False) -> None:
        super().__init__(store, worker, owns_store=owns_store)
        self._starts: Batcher[_Start, bool] = Batcher(
            self._write_starts, max_weight=limits.TURN_BYTES, weigh=lambda start: len(start.input)
        )

    async def start_orchestration(
        self,
        instance_id: str,
        orchestration: AnyOrchestration | str,
        input: object = None,
        *,
        on_nondeterminism: OnNondeterminism = "Hold",
    ) -> InstanceHandle:
        """Start an instance on the highest version its worker has; again with the same id and input is harmless.

        When its code one day does not fit its history, it is put on hold until right code comes, or fails at once, as
        `on_nondeterminism` says.

        Raises `InstanceConflictError` when the id is taken by another orchestration or input, `PayloadError` and
        `DefinitionError` for what cannot be started at all.
        """
        return await self.start_orchestration_versioned(
            instance_id, orchestration, "", input, on_nondeterminism=on_nondeterminism
        )

    async def start_orchestration_versioned(
        self,
        instance_id: str,
        orchestration: AnyOrchestration | str,
        version: str | None,
        input: object = None,
        *,
        on_nondeterminism: OnNondeterminism = "Hold",
    ) -> InstanceHandle:
        """Start an instance on exactly this version; None or an empty one is the highest."""
        name = orchestration.name if isinstance(orchestration, OrchestrationDefinition) else orchestration
        identifiers.check_instance_id(instance_id)
        definition.check_name(name)
        if version:
            definition.parse_version(name, version)
        if on_nondeterminism not in get_args(OnNondeterminism):
            message = f"on_nondeterminism of {instance_id} is {on_nondeterminism!r}; expected 'Hold' or 'Fail'."
            raise errors.DefinitionError(message)
        data = payload.encode(input, f"input of {instance_id}")
        start = _Start(instance_id, name, version or "", data, on_nondeterminism)
        created = await self._starts.submit(start)  # wakes the workers; one of this process would claim twice if nudged
        if not created:
            await self._check_same(start)
        return InstanceHandle(instance_id, created)

    async def _write_starts(self, starts: list[_Start]) -> list[bool]:
        """Write many starts in one statement; an id given twice in one batch is created once."""
        first = {start.instance_id: start for start in reversed(starts)}
        columns = zip(
            *((s.instance_id, s.name, s.version, s.input, "", s.on_nondeterminism) for s in first.values()), strict=True
        )
        rows = await self._fetch("instance_start", *(list(column) for column in columns))
        created = {row["instance_id"] for row in rows}
        return [start.instance_id in created and first[start.instance_id] is start for start in starts]

    async def _check_same(self, start: _Start) -> None:
        """An id that is taken must be taken by the same request.

        One that has continued as new carries the input and the version of its latest execution; then the name decides.
        """
        rows = await self._fetch("instance_get", [start.instance_id])
        if not rows:
            message = f"Instance {start.instance_id!r} was deleted while it was to be started; start it again."
            raise errors.InstanceConflictError(message)
        row = rows[0]
        compared = [("the orchestration", row["name"], start.name)]
        if row["execution"] == 1:
            compared.append(("the version", row["version"], start.version or row["version"]))
            if not payload.is_same(row["input"], start.input):
                compared.append(("the input", row["input"].decode(), start.input.decode()))
        wrong = [f"{what} is {found!r}, asked for {asked!r}" for what, found, asked in compared if found != asked]
        if wrong:
            message = f"Instance {start.instance_id!r} exists already: {'; '.join(wrong)}. Choose another instance id."
            raise errors.InstanceConflictError(message)

"""How sights of schedules get into the store: the border between the watch and the sweep, and the table of schedules.

It knows how a resource's JSON becomes a row; it must not know what is made of it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import JsonValue

from perdure._core.activity import Manifest
from perdure._kube import ingest, kinds, nesting
from perdure._store.resources import Known
from perdure._store.schedules import News, Schedules, SeenSchedule

__all__ = ["Intake", "gone", "seen"]


def seen(manifest: Manifest) -> SeenSchedule:
    """Read a schedule as the API server gives it. What is nested too deeply is left out, and refused for that later."""
    metadata, given = _mapping(manifest["metadata"]), _mapping(manifest.get("spec"))
    spec = {field: None if nesting.is_deeper(value, nesting.LEVELS) else value for field, value in given.items()}
    return SeenSchedule(
        uid=UUID(str(metadata["uid"])),
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        generation=int(str(metadata["generation"])),
        spec=json.dumps(spec, sort_keys=True, separators=(",", ":")).encode(),
        timing=json.dumps([spec.get("cron"), spec.get("timeZone", "UTC")]),
        deleting="deletionTimestamp" in metadata,
    )


def gone(uid: UUID, *, namespace: str, name: str) -> SeenSchedule:
    """Say that a schedule is no more."""
    return SeenSchedule(uid, namespace, name, gone=True)


class Intake:
    """Puts sights on a queue of their own; see `kinds.Intake`."""

    def __init__(self, queue: ingest.Ingest[SeenSchedule, News], schedules: Schedules) -> None:
        self._queue = queue
        self._schedules = schedules

    def seen(self, manifest: Manifest, *, instead_of: int | None = None) -> None:
        """Take in a schedule as the API server gave it."""
        self._queue.add(dataclasses.replace(seen(manifest), instead_of=instead_of))

    def gone(self, uid: UUID, *, namespace: str, name: str) -> None:
        """Take in that there is no schedule of this uid any more."""
        self._queue.add(gone(uid, namespace=namespace, name=name))

    async def known(self, namespaces: Sequence[str]) -> Mapping[UUID, Known]:
        """Give what the database believes to live."""
        return await self._schedules.known(namespaces)

    async def restored(self, _: Mapping[UUID, int]) -> Mapping[UUID, Known]:
        """Give none: what is gone stays gone, and no status is compared with its resource."""
        return {}

    async def wait_idle(self) -> None:
        """Return when everything that was told is in the database."""
        await self._queue.wait_idle()

    async def forget(self) -> None:
        """Forget what has been gone for long."""
        await self._schedules.forget(older_than_seconds=kinds.FORGET_SECONDS)


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}

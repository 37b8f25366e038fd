"""Compares the cluster with the database, in full, and hands on what the watch missed.

It knows the list of metadata and the table of living resources; it must not know how either side came about. Deletions
while nobody watched, and between a broken watch and its next list, are told by nobody: only a comparison finds them.

Theory of operation. A uid that the database believes to live and the list does not have is asked for by name: only a
404 or another uid under that name is taken for its end, since the two sides were read at different moments. A uid that
the database does not have, or has in another generation, is read in full and taken in again, which changes nothing when
the watch was faster. Many of them at once (a first start) are read as one list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from pydantic import JsonValue

from perdure._core.activity import Manifest
from perdure._kube import ingest
from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._kube.client import Api
from perdure._kube.preparation import Preparation
from perdure._store.resources import Known, Resources, Seen

__all__ = ["Sweep", "compare"]

_log = structlog.get_logger(__name__)

_ONE_BY_ONE = 50
_NOBODY = "perdure-asks-whether-this-kind-is-served"
_FORGET_SECONDS = 24 * 3600.0
"""How long the store remembers that a resource is gone: far longer than any answer of the API server is on its way."""


class Sweep:
    """One comparison at a time; everything it finds goes through ingest."""

    def __init__(self, api: Api, resources: Resources, *, queue: Preparation, namespaces: Sequence[str]) -> None:
        self._api = api
        self._resources = resources
        self._queue = queue
        self._namespaces = list(namespaces)
        self._scopes: list[str | None] = [*namespaces] or [None]
        self.runs = 0

    async def run_once(self) -> int:
        """Compare, hand on, and give how much was news. Raises what the API server or the database raise."""
        listed: dict[UUID, Mapping[str, JsonValue]] = {}
        for namespace in self._scopes:
            for item in (await self._api.list_metadata(API_VERSION, KIND, namespace=namespace)).items:
                metadata = item["metadata"]
                if isinstance(metadata, dict):
                    listed[UUID(str(metadata["uid"]))] = metadata
        known = await self._resources.known(self._namespaces)
        missing, changed = compare(listed, known)
        for uid in missing:
            await self.confirm_gone(uid, namespace=known[uid].namespace, name=known[uid].name)
        for sight in await self._read([listed[uid] for uid in changed]):
            self._queue.add(sight)
        await self._resources.forget(older_than_seconds=_FORGET_SECONDS)
        self.runs += 1
        if missing or changed:
            _log.info("sweep found news", gone=len(missing), seen=len(changed))
        return len(missing) + len(changed)

    async def probe(self) -> None:
        """Return when the API server serves the resource to us; raise what it says otherwise."""
        await self._api.get(API_VERSION, KIND, _NOBODY, namespace=self._scopes[0])

    async def confirm_gone(self, uid: UUID, *, namespace: str, name: str) -> None:
        """Ask for a resource that seems to be missing; hand on its end, or what stands there now."""
        found = await self._api.get(API_VERSION, KIND, name, namespace=namespace)
        sight = None if found is None else ingest.seen(found)
        if sight is None or sight.uid != uid:
            self._queue.add(ingest.gone(uid, namespace=namespace, name=name))
        if sight is not None:
            self._queue.add(sight)

    async def _read(self, wanted: list[Mapping[str, JsonValue]]) -> list[Seen]:
        """Read these in full: one by one, or, when they are many, in one list."""
        found: list[Manifest | None] = []
        if len(wanted) > _ONE_BY_ONE:
            for namespace in self._scopes:
                found += await self._api.list(API_VERSION, KIND, namespace=namespace)
        else:
            for metadata in wanted:
                name, namespace = str(metadata["name"]), str(metadata["namespace"])
                found.append(await self._api.get(API_VERSION, KIND, name, namespace=namespace))
        return [ingest.seen(manifest) for manifest in found if manifest is not None]


def compare(
    listed: Mapping[UUID, Mapping[str, JsonValue]], known: Mapping[UUID, Known]
) -> tuple[list[UUID], list[UUID]]:
    """Give the uids that the cluster seems to have no more, and those that the database does not know as they are."""
    missing = [uid for uid in known if uid not in listed]
    changed = [
        uid
        for uid, metadata in listed.items()
        if uid not in known
        or known[uid].generation != metadata.get("generation")
        or known[uid].deleting != ("deletionTimestamp" in metadata)
    ]
    return missing, changed

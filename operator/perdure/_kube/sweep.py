"""Compares the cluster with the database, in full and kind by kind, and hands on what the watch missed.

It knows the list of metadata and what the store believes to live; it must not know how either side came about.
Deletions while nobody watched, and between a broken watch and its next list, are told by nobody: only a comparison
finds them.

Theory of operation. A uid that the database believes to live and the list does not have is asked for by name: only a
404 or another uid under that name is taken for its end, since the two sides were read at different moments. A uid that
the database does not have, or has in another generation, is read in full and taken in again, which changes nothing when
the watch was faster. What is read then is newer than what was known before, also when its generation is lower or it has
lost a deletion: the API server was restored from a backup. Many of them at once (a first start) are read as one list. A
kind that is not served is an error, never the end of its resources: a CRD may be away for the moment of its upgrade.

That it was restored shows in the version of a list that is lower than that of the one before, while that is so,
and in each resource: one is older than it is known when its resource version is below that of the last write of its
status, or when its end is known. It is read, and what it shows and that it is gone are no longer believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast
from uuid import UUID

import structlog
from pydantic import JsonValue

from perdure._core import sights
from perdure._core.activity import Manifest
from perdure._kube.api import base
from perdure._kube.client import Api
from perdure._kube.kinds import Kind
from perdure._store.resources import Known

__all__ = ["Sweep", "compare", "older_than"]

_Found = tuple[UUID, JsonValue, bool]
"""A resource that was found, with the generation and deletion that it had; None for one that was missing."""

_log = structlog.get_logger(__name__)

_ONE_BY_ONE = 50
_NOBODY = "perdure-asks-whether-this-kind-is-served"


class Sweep:
    """One comparison of one kind at a time; everything it finds goes to the kind's intake."""

    def __init__(self, api: Api, kind: Kind, *, namespaces: Sequence[str]) -> None:
        self._api = api
        self._kind = kind
        self._namespaces = list(namespaces)
        self._scopes: list[str | None] = [*namespaces] or [None]
        self.runs = 0
        self.has_gone_back = False
        """Whether the last comparison found the API server restored from a backup."""
        self._at: Mapping[str | None, int] = {}
        self._found: set[_Found] = set()

    async def run_once(self) -> int:
        """Compare, hand on, and give how much was news. Raises what the API server or the database raise.

        What the comparison before has found as it is now is no news: it was handed on, and the store did not want it.
        """
        listed: dict[UUID, Mapping[str, JsonValue]] = {}
        versions: dict[str | None, int] = {}
        for namespace in self._scopes:
            found = await self._api.list_metadata(base.API_VERSION, self._kind.name, namespace=namespace)
            versions[namespace] = int(found.resource_version)
            for item in found.items:
                metadata = item["metadata"]
                if isinstance(metadata, dict):
                    listed[UUID(str(metadata["uid"]))] = metadata
        known = await self._kind.intake.known(self._namespaces)
        missing, changed = compare(listed, known)
        for uid in missing:
            await self.confirm_gone(uid, namespace=known[uid].namespace, name=known[uid].name)
        older = [uid for uid in older_than(listed, known) if uid not in changed]
        manifests = await self._read([listed[uid] for uid in (*changed, *older)])
        restored = await self._restored(manifests)
        for manifest in manifests:
            self._hand_on(manifest, {**known, **restored})
        await self._kind.intake.forget()
        self.runs += 1
        is_lower = any(version < self._at.get(scope, 0) for scope, version in versions.items())
        self.has_gone_back, self._at = is_lower or bool(restored), versions
        before = self._found
        self._found = {(uid, None, False) for uid in missing} | {_as_it_is(uid, listed[uid]) for uid in changed}
        news = self._found - before
        if news:
            _log.info("sweep found news", kind=self._kind.name, gone=len(missing), seen=len(changed))
        return len(news)

    async def _restored(self, manifests: Sequence[Manifest]) -> Mapping[UUID, Known]:
        """Give those of which more was known than was read, an end included, as they were known."""
        versions = {_sight(manifest)[0]: _version(manifest["metadata"]) for manifest in manifests}
        restored = await self._kind.intake.restored(versions) if versions else {}
        if restored:
            _log.warning(
                "resources are older than known, the API server was restored from a backup: they are shown again",
                kind=self._kind.name,
                resources=len(restored),
            )
        return restored

    def _hand_on(self, manifest: Manifest, known: Mapping[UUID, Known]) -> None:
        """Hand on what was read after `known` was, and is newer whatever its generation says."""
        uid, generation, deleting = _sight(manifest)
        before = known.get(uid)
        if before is None:
            self._kind.intake.seen(manifest)
            return
        if sights.went_back(generation, before.generation, deleting=deleting, was_deleting=before.deleting):
            _log.warning(
                "resource went back, the API server was restored from a backup: it counts",
                kind=self._kind.name,
                resource=f"{before.namespace}/{before.name}",
                generation=generation,
                known=before.generation,
            )
        self._kind.intake.seen(manifest, instead_of=before.generation)

    async def probe(self) -> None:
        """Return when the API server serves the kind to us; raise what it says otherwise."""
        await self._get(_NOBODY, self._scopes[0])

    async def confirm_gone(self, uid: UUID, *, namespace: str, name: str) -> None:
        """Ask for a resource that seems to be missing; hand on its end, or what stands there now."""
        found = await self._get(name, namespace)
        if found is None or _sight(found)[0] != uid:
            self._kind.intake.gone(uid, namespace=namespace, name=name)
        if found is not None:
            self._kind.intake.seen(found)

    async def _read(self, wanted: list[Mapping[str, JsonValue]]) -> list[Manifest]:
        """Read these in full: one by one, or, when they are many, in one list."""
        found: list[Manifest | None] = []
        if len(wanted) > _ONE_BY_ONE:
            for namespace in self._scopes:
                found += await self._api.list(base.API_VERSION, self._kind.name, namespace=namespace)
        else:
            for metadata in wanted:
                found.append(await self._get(str(metadata["name"]), str(metadata["namespace"])))
        return [manifest for manifest in found if manifest is not None]

    async def _get(self, name: str, namespace: str | None) -> Manifest | None:
        return await self._api.get(base.API_VERSION, self._kind.name, name, namespace=namespace)


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


def _as_it_is(uid: UUID, metadata: Mapping[str, JsonValue]) -> _Found:
    return uid, metadata.get("generation"), "deletionTimestamp" in metadata


def older_than(listed: Mapping[UUID, Mapping[str, JsonValue]], known: Mapping[UUID, Known]) -> list[UUID]:
    """Give the uids whose resource version is below the one that is known.

    Without a backup they are those that were written after the list.
    """
    return [uid for uid, one in known.items() if uid in listed and _version(dict(listed[uid])) < one.resource_version]


def _version(metadata: JsonValue) -> int:
    return int(str(metadata["resourceVersion"])) if isinstance(metadata, dict) else 0


def _sight(manifest: Manifest) -> tuple[UUID, int, bool]:
    """Give uid, generation, and whether it is being deleted."""
    metadata = cast("Mapping[str, JsonValue]", manifest["metadata"])
    return UUID(str(metadata["uid"])), int(str(metadata["generation"])), "deletionTimestamp" in metadata

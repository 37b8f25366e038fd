"""Does in the cluster what is due for resources by the clock, or since their runs have ended.

It knows the words of `Resources.due` and the calls that they mean; what is due is decided by the store, what a resource
then means by ingest. It must not know runs. Any number of controllers may do the same chores at once.

Theory of operation. Every ten seconds one query says what is due; while something is about to be (a deletion waits for
its run, a cancelled run is to be followed by another) it is asked every second, and ingest may ask at once; while a
changed request waits for a run that may go on for hours, so does every end of a run, wherever its worker is. Each chore
reads its resource first: what stands in the API server now is what is acted upon, and goes through ingest afterwards,
which remembers it. So a chore may be repeated, and broken off anywhere. One that the API server refuses is left alone
for a while.

| chore | what is done |
|---|---|
| Protect | our finalizer is put into a resource whose run will have to compensate |
| Release | it is taken out: the run has ended, or the policy is another, or the grace is over |
| Begin | a resource whose changed request waited is taken in: its run has ended |
| Expire | a resource is deleted, its TTL being over, and leaves a tombstone |
| Remove | runs are removed from the database, the age that their resources gave them being over |
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from uuid import UUID

import structlog

from perdure import errors
from perdure._core.activity import Manifest, Preconditions
from perdure._kube import finalizers, ingest
from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._kube.client import Api
from perdure._kube.preparation import Preparation
from perdure._kube.reach import Reach
from perdure._store import removal
from perdure._store.resources import Chore, Resources, Seen
from perdure._store.store import Store, retrying

__all__ = ["Chores"]

_log = structlog.get_logger(__name__)

_LOOK_SECONDS = 10.0
_SOON_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
"""Between two looks, however often one is asked for."""
_AT_ONCE = 8
_REFUSED_SECONDS = 30.0
FORCED_SECONDS = 30.0
"""How much longer than its grace a run may take before its resource is let go without it: nobody is there to end it."""


class Chores:
    """The loop of the controller that does what is due."""

    def __init__(
        self,
        store: Store,
        resources: Resources,
        *,
        api: Api,
        queue: Preparation,
        reach: Reach,
        namespaces: Sequence[str],
    ) -> None:
        """Look after the resources of these namespaces, of all when there are none."""
        self._store = store
        self._resources = resources
        self._api = api
        self._queue = queue
        self._reach = reach
        self._namespaces = list(namespaces)
        self._nudged = asyncio.Event()
        self._listens = False
        self._has_heard = False
        self._refused: dict[UUID, float] = {}

    def nudge(self) -> None:
        """Something is due: look at once."""
        self._nudged.set()

    def heard(self) -> None:
        """A run has ended somewhere: look at once, if a changed request waits for the end of any."""
        self._has_heard = True
        if self._listens:
            self._nudged.set()

    async def run(self, grace_seconds: float) -> None:
        """Do what is due, for ever. A deleted resource is kept for `grace_seconds` and some more, but not for ever."""
        while True:
            self._nudged.clear()
            self._has_heard = False
            due = await retrying(
                lambda: self._resources.due(self._namespaces, grace_seconds=grace_seconds + FORCED_SECONDS),
                doing="looking for what is due",
                availability=self._store.availability,
            )
            self._listens = any(chore.chore == "Listen" for chore in due)
            if self._listens and self._has_heard:  # perhaps since the look
                self._nudged.set()
            await self.do(due)
            await asyncio.sleep(_PAUSE_SECONDS)
            await self._wait(_SOON_SECONDS if any(chore.chore != "Listen" for chore in due) else _LOOK_SECONDS)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        except TimeoutError:
            return

    async def do(self, due: Sequence[Chore]) -> None:
        """Do these chores, some at a time; one that fails stops no other."""
        if any(chore.chore == "Remove" for chore in due):
            await self._remove()
        now = asyncio.get_running_loop().time()
        self._refused = {uid: until for uid, until in self._refused.items() if until > now}
        mine = [chore for chore in due if chore.uid is not None and chore.uid not in self._refused]
        for start in range(0, len(mine), _AT_ONCE):
            await asyncio.gather(
                *(self._try(chore, chore.uid) for chore in mine[start : start + _AT_ONCE] if chore.uid)
            )
            if not self._reach.is_up:
                return

    async def _remove(self) -> None:
        removed = await retrying(
            lambda: removal.remove_aged(self._store),
            doing="removing runs by their age",
            availability=self._store.availability,
        )
        if removed:
            _log.info("removed runs whose age was over", runs=removed)

    async def _try(self, chore: Chore, uid: UUID) -> None:
        try:
            await self._do(chore, uid)
            self._reach.regained()
        except (errors.KubernetesConflictError, errors.KubernetesPatchTestError):
            return  # somebody else has changed it meanwhile: the next look reads it anew
        except errors.KubernetesUnavailableError as error:
            self._reach.lost(error, "a chore")
        except errors.KubernetesApiError as error:
            self._refused[uid] = asyncio.get_running_loop().time() + _REFUSED_SECONDS
            resource = f"{chore.namespace}/{chore.name}"
            _log.error("chore refused, it is tried again", chore=chore.chore, resource=resource, error=str(error))

    async def _do(self, chore: Chore, uid: UUID) -> None:
        found = await self._api.get(API_VERSION, KIND, chore.name, namespace=chore.namespace)
        sight = None if found is None else _sight(found, chore)
        if found is None or sight is None or sight.uid != uid:
            self._queue.add(ingest.gone(uid, namespace=chore.namespace, name=chore.name))
            return
        match chore.chore:
            case "Protect" | "Release":
                found = await self._finalize(chore, found)
            case "Expire":
                await self._expire(chore, found)
                return
            case _:
                pass
        if found is not None:
            self._queue.add(_sight(found, chore))

    async def _finalize(self, chore: Chore, found: Manifest) -> Manifest | None:
        """Put the finalizer on or take it off; give the resource as it is then."""
        patch = finalizers.patch(found, wanted=chore.chore == "Protect")
        if not patch:
            return found
        return await self._api.json_patch(API_VERSION, KIND, name=chore.name, namespace=chore.namespace, patch=patch)

    async def _expire(self, chore: Chore, found: Manifest) -> None:
        """Delete a resource, unless somebody has changed it. The watch tells when it is gone, or the next look does.

        The tombstone comes first. When nothing comes of the deletion, the next sight of the living resource takes it
        away; another controller that does the same at the same moment must not.
        """
        metadata = finalizers.metadata_of(found)
        if metadata.get("generation") != chore.generation or "deletionTimestamp" in metadata or chore.uid is None:
            self._queue.add(_sight(found, chore))
            return
        if await self._resources.bury(chore.uid):
            await self._api.delete(
                API_VERSION,
                KIND,
                chore.name,
                namespace=chore.namespace,
                preconditions=Preconditions(str(chore.uid), str(metadata["resourceVersion"])),
            )


def _sight(found: Manifest, chore: Chore) -> Seen:
    """Give what was read when the generation of the chore was known."""
    return dataclasses.replace(ingest.seen(found), instead_of=chore.generation)

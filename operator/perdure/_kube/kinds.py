"""A kind of resources, as the controller follows it: a small value, of which there is one for each CRD of ours.

It says what the kind is called, and leads to whoever takes in what is seen of it. It must not know how sights come
(`observer`, `sweep`) nor what becomes of them beyond this border: an `Intake` belongs to the room that it feeds.

To add a kind: write its `Intake`, make a `Kind` of it in `cluster.py`, and a definition in `crds.py`. The watch, the
sweeps and the readiness follow from that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from perdure._core.activity import Manifest
from perdure._kube import ingest
from perdure._kube.api import orchestration
from perdure._kube.preparation import Preparation
from perdure._store.resources import Known, Resources

__all__ = ["FORGET_SECONDS", "Intake", "Kind", "Loop", "orchestrations"]

Loop = tuple[str, Callable[[], Awaitable[None]]]
"""The name of a loop that never ends by itself, and how it is begun; it is begun again after an error."""

FORGET_SECONDS = 24 * 3600.0
"""How long the store remembers that a resource is gone: far longer than any answer of the API server is on its way."""


class Intake(Protocol):
    """Takes in what is seen of the resources of one kind. The same may be told many times, and late."""

    def seen(self, manifest: Manifest, *, instead_of: int | None = None) -> None:
        """Take in a resource as the API server gave it. Called in the event loop; never raises.

        `instead_of` is the generation that was known before this was read: it counts unless something newer came.
        """

    def gone(self, uid: UUID, *, namespace: str, name: str) -> None:
        """Take in that there is no resource of this uid any more."""

    def known(self, namespaces: Sequence[str]) -> Awaitable[Mapping[UUID, Known]]:
        """Give what the database believes to live, to be compared with the cluster; no namespaces means all."""

    def restored(self, found: Mapping[UUID, int]) -> Awaitable[Mapping[UUID, Known]]:
        """Give those of which more was known than was read, with these resource versions, as they were known.

        They are shown again and live again: the API server was restored from a backup. To be read after `known`.
        """

    def wait_idle(self) -> Awaitable[None]:
        """Return when everything that was told is in the database."""

    def forget(self) -> Awaitable[None]:
        """Forget what has been gone for long. Called after each comparison."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind by its names, as in `OrchestrationSignal` and `orchestrationsignals`, and who takes in its resources.

    `loops` are run for as long as the kind is followed: what empties the queue of its intake, and what acts on it.
    """

    name: str
    plural: str
    intake: Intake
    loops: Sequence[Loop] = ()


def orchestrations(queue: Preparation, resources: Resources, *, on_restored: Callable[[UUID], None]) -> Kind:
    """Give the kind whose resources are runs; `on_restored` is told of those whose status is to be written again."""
    return Kind(orchestration.KIND, orchestration.PLURAL, _Orchestrations(queue, resources, on_restored))


class _Orchestrations:
    """Has what a run needs looked at before its sight is taken in."""

    def __init__(self, queue: Preparation, resources: Resources, on_restored: Callable[[UUID], None]) -> None:
        self._queue = queue
        self._resources = resources
        self._on_restored = on_restored

    def seen(self, manifest: Manifest, *, instead_of: int | None = None) -> None:
        self._queue.add(dataclasses.replace(ingest.seen(manifest), instead_of=instead_of))

    def gone(self, uid: UUID, *, namespace: str, name: str) -> None:
        self._queue.add(ingest.gone(uid, namespace=namespace, name=name))

    async def known(self, namespaces: Sequence[str]) -> Mapping[UUID, Known]:
        return await self._resources.known(namespaces)

    async def restored(self, found: Mapping[UUID, int]) -> Mapping[UUID, Known]:
        older = await self._resources.restored(found)
        for uid in older:
            self._on_restored(uid)
        return older

    async def wait_idle(self) -> None:
        await self._queue.wait_idle()

    async def forget(self) -> None:
        await self._resources.forget(older_than_seconds=FORGET_SECONDS)

"""How often each object of a cluster came into being: what a list of what is there cannot tell.

One watch a kind goes over all namespaces for as long as the stage stands, and remembers the uids that a name has had. A
watch that ends is begun again where it ended, so nothing is passed over.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any, Self, cast

from perdure import errors
from perdure._kube import access, connection, discovery
from tests.awaits import normal

__all__ = ["KINDS", "OF_EVERY_NAMESPACE", "Births"]

KINDS = (
    ("v1", "Namespace"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
)
"""All that a workflow makes, and what controllers make of that."""

OF_EVERY_NAMESPACE = frozenset({"kube-root-ca.crt", "default"})
"""Comes into every namespace by itself, some time after it was made."""

_PATIENCE_SECONDS = 2.0
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_PAUSE_SECONDS = 0.2


class Births:
    """Remembers the uids of all names, and which of them live."""

    def __init__(self) -> None:
        self._uids: dict[str, dict[str, set[str]]] = collections.defaultdict(lambda: collections.defaultdict(set))
        self._living: dict[str, set[str]] = collections.defaultdict(set)
        self._changed = asyncio.Condition()

    @classmethod
    @contextlib.asynccontextmanager
    async def watched(cls, kubeconfig: str) -> AsyncIterator[Self]:
        """Watch the cluster for the block; what was there before counts as born when it is next changed."""
        births = cls()
        found = await access.find(kubeconfig)
        wire = connection.Connection(found, timeout_seconds=30)
        kinds = discovery.Discovery(wire)
        resources = [(kind, (await kinds.find(version, kind)).path("")) for version, kind in KINDS]
        try:
            async with asyncio.TaskGroup() as watches:
                tasks = [watches.create_task(births._watch(wire, kind, path)) for kind, path in resources]
                yield births
                for task in tasks:
                    task.cancel()
        finally:
            await wire.close()

    async def counts(self, namespaces: Iterable[str], living: set[str]) -> dict[str, int]:
        """Give how often each name in these namespaces was made, once these uids are known to be what lives there.

        Raises `TimeoutError` when something else lives there.
        """
        namespaces = list(namespaces)

        def is_known() -> bool:
            return set().union(*(self._living[each] for each in namespaces)) == living

        async with asyncio.timeout(_PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(is_known)
        counts: collections.Counter[str] = collections.Counter()
        for namespace in namespaces:
            for name, uids in self._uids[namespace].items():
                counts[name] += len(uids)
        return dict(counts)

    async def _watch(self, wire: connection.Connection, kind: str, path: str) -> None:
        call = errors.KubernetesCall("watch", kind)
        version = "0"
        while True:
            query = (("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", version))
            request = connection.Request(call, "GET", path, query=query, accept=_METADATA)
            with contextlib.suppress(errors.KubernetesUnavailableError):
                async with contextlib.aclosing(wire.stream(request)) as events:
                    async for event in events:
                        assert event["type"] != "ERROR", f"the watch of {kind} has lost events: {event}"
                        found = cast("dict[str, Any]", event["object"])
                        version = found["metadata"]["resourceVersion"]
                        await self._take(kind, str(event["type"]), found["metadata"])
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _take(self, kind: str, what: str, metadata: dict[str, Any]) -> None:
        if what == "BOOKMARK" or metadata["name"] in OF_EVERY_NAMESPACE:
            return
        namespace, uid = metadata.get("namespace") or metadata["name"], metadata["uid"]
        name = normal.text(normal.name({"kind": kind, "metadata": metadata}), namespace)
        self._uids[namespace][name].add(uid)
        (self._living[namespace].discard if what == "DELETED" else self._living[namespace].add)(uid)
        async with self._changed:
            self._changed.notify_all()

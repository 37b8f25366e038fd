"""Which cluster the database belongs to: it is tied to the first, and refused by every other.

Instance ids are names of resources. An operator that is pointed at the database of another cluster would show its runs
in resources that happen to have these names, take the missing ones for deleted, and cancel them. A cluster is known by
the uid of its namespace `kube-system`, which lives as long as the cluster does, and comes back with a restored etcd.

It knows one GET and one statement; what a process does with the answer is `process`'s.

Theory of operation. The tie is looked at when the process begins. While the API server is away the worker may begin: it
goes on with what it knows, as it does when the API server goes away later. The controller takes in nothing before the
answer (`known`). Without the right to read the namespace there is no tie, and a warning instead.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from perdure import errors
from perdure._kube.client import Api
from perdure._kube.reach import Reach
from perdure._store.store import Store

__all__ = ["Tie", "uid_or_none"]

_log = structlog.get_logger(__name__)

_NAMESPACE = "kube-system"
_ANSWER_SECONDS = 5.0
_PAUSE_SECONDS = 2.0


async def uid_or_none(api: Api) -> UUID | None:
    """Give what this cluster is known by; None when we may not know. Raises `KubernetesUnavailableError`."""
    try:
        found = await api.get("v1", "Namespace", _NAMESPACE)
    except errors.KubernetesUnavailableError:
        raise
    except errors.KubernetesApiError as error:
        _log.warning("cannot tell which cluster this is, so the database is not tied to it", error=str(error))
        return None
    metadata = {} if found is None else found["metadata"]
    return UUID(str(metadata["uid"])) if isinstance(metadata, dict) and "uid" in metadata else None


class Tie:
    """Compares the cluster with the one in the database; `known` is set when they are the same, or cannot be compared.

    `adopted` is the cluster that the database may be taken over from.
    """

    def __init__(self, api: Api, store: Store, *, reach: Reach, adopted: UUID | None) -> None:
        """Know nothing yet."""
        self._api = api
        self._store = store
        self._reach = reach
        self._adopted = adopted
        self.known = asyncio.Event()

    async def look(self) -> bool:
        """Compare, and tell whether that could be done: not while the API server is away.

        Raises `ForeignClusterError` when the database belongs to another cluster.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                uid = await uid_or_none(self._api)
        except (TimeoutError, errors.KubernetesUnavailableError) as error:
            self._reach.lost(error, "asking which cluster this is")
            return False
        self._reach.regained()
        if uid is not None:
            tied_to = await self._tie(uid)
            if tied_to != uid:
                raise errors.ForeignClusterError(tied_to=str(tied_to), this=str(uid))
        self.known.set()
        return True

    async def look_until_known(self) -> None:
        """Look until there is an answer. Raises as `look` does."""
        while not self.known.is_set():
            await asyncio.sleep(_PAUSE_SECONDS)
            await self.look()

    async def _tie(self, uid: UUID) -> UUID:
        """Tie the database to this cluster if it is free to be; give the cluster that it belongs to."""
        while True:
            rows = await self._store.fetch_patiently("installation_tie", uid, self._adopted)
            if rows:
                return UUID(str(rows[0]["cluster_uid"]))

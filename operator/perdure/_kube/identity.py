"""Whom a run acts as: a ServiceAccount of its own namespace, and never anybody else.

The operator has no rights to provision anything; every activity of a run calls the API server as the run's
ServiceAccount, by impersonation (invariant I13). The server impersonates a ServiceAccount that does not exist without
a word, with whatever its name is still bound to. So that it exists is asked here, before its first use and again every
few seconds while it is used.

The check needs the operator's right to `get` ServiceAccounts; it knows nothing of activities or of the engine.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable

from perdure import errors
from perdure._core.activity import KubernetesApi, Manifest
from perdure._kube import client

__all__ = ["Identities", "run_as"]

_FRESH_SECONDS = 10.0
"""As long as the API server itself honours a token of a deleted ServiceAccount."""
_REMEMBERED = 10_000
"""Identities whose last check is remembered; more only means more checks."""

_DEFAULT_NAME = "default"


def run_as(namespace: str, service_account_name: str | None) -> str:
    """Give the Kubernetes user of a run: its ServiceAccount, or the namespace's default one."""
    return f"system:serviceaccount:{namespace}:{service_account_name or _DEFAULT_NAME}"


class Identities:
    """Gives activities the API server as their run sees it."""

    def __init__(self, api: client.Api, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Know no ServiceAccount yet."""
        self._api = api
        self._clock = clock
        self._seen_at: dict[str, float] = {}

    def for_run(self, run_as: str) -> KubernetesApi:
        """Give the API server for one run; that its ServiceAccount exists is checked at each call, not here."""
        return _CheckedApi(self, self._api.acting_as(run_as), run_as)

    async def check(self, run_as: str) -> None:
        """Raise `ServiceAccountMissingError` unless the ServiceAccount was there a moment ago."""
        seen_at = self._seen_at.get(run_as)
        if seen_at is not None and self._clock() - seen_at < _FRESH_SECONDS:
            return
        _, _, namespace, name = run_as.split(":")
        if await self._api.get("v1", "ServiceAccount", name, namespace=namespace) is None:
            self._seen_at.pop(run_as, None)
            raise errors.ServiceAccountMissingError(namespace, name)
        if len(self._seen_at) >= _REMEMBERED:
            self._seen_at.clear()
        self._seen_at[run_as] = self._clock()


class _CheckedApi:
    """A `KubernetesApi` that looks for its ServiceAccount before every call."""

    def __init__(self, identities: Identities, api: client.Api, run_as: str) -> None:
        self._identities = identities
        self._api = api
        self._run_as = run_as

    @property
    def namespace(self) -> str:
        return self._api.namespace

    async def apply(self, manifest: Manifest, *, field_manager: str, force: bool = True) -> Manifest:
        await self._identities.check(self._run_as)
        return await self._api.apply(manifest, field_manager=field_manager, force=force)

    async def create(self, manifest: Manifest, *, field_manager: str) -> Manifest | None:
        await self._identities.check(self._run_as)
        return await self._api.create(manifest, field_manager=field_manager)

    async def get(self, api_version: str, kind: str, name: str, *, namespace: str | None = None) -> Manifest | None:
        await self._identities.check(self._run_as)
        return await self._api.get(api_version, kind, name, namespace=namespace)

    async def list(
        self, api_version: str, kind: str, *, namespace: str | None = None, label_selector: str = ""
    ) -> list[Manifest]:
        await self._identities.check(self._run_as)
        return await self._api.list(api_version, kind, namespace=namespace, label_selector=label_selector)

    async def delete(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None, uid: str | None = None
    ) -> bool:
        await self._identities.check(self._run_as)
        return await self._api.delete(api_version, kind, name, namespace=namespace, uid=uid)

    async def watch(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None
    ) -> AsyncGenerator[Manifest | None, None]:
        await self._identities.check(self._run_as)
        async with contextlib.aclosing(self._api.watch(api_version, kind, name, namespace=namespace)) as changes:
            async for found in changes:
                yield found

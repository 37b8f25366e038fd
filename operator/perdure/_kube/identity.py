"""Whom a run acts as: a ServiceAccount of its own namespace, and never anybody else.

The operator has no rights to provision anything; every activity of a run calls the API server as the run's
ServiceAccount, by impersonation (invariant I13). The server impersonates a ServiceAccount that does not exist without
a word, with whatever its name is still bound to. So that it exists is asked here, before its first use and again every
few seconds while it is used. Whether the operator may act as it can be asked beforehand (`preflight`), by an access
review: a request that is refused later, in the middle of a run, would tell the same, but only then.

The checks are all that is done as the operator itself: it needs the right to `get` ServiceAccounts, and everybody may
ask for a review of their own rights. A thousand runs of one ServiceAccount are one question of each kind every few
seconds. It knows nothing of activities or of the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from perdure import errors
from perdure._core.activity import KubernetesApi, Manifest, Preconditions, Propagation
from perdure._kube import answers, client, pacing

__all__ = ["Identities", "may", "may_impersonate", "run_as"]

_FRESH_SECONDS = 10.0
"""As long as the API server itself honours a token of a deleted ServiceAccount."""
_REMEMBERED = 10_000
"""Identities whose last check is remembered; more only means more checks."""

_NO_SECONDS = 1.0
"""So long a preflight believes a no that another got: it asks again later anyway, where an activity would fail."""

_DEFAULT_NAME = "default"
_IMPERSONATIONS = (("", "impersonate"), ("authentication.k8s.io", "impersonate:serviceaccount"))
"""API group and verb of the two ways to be allowed it: the old one, and the constrained one of Kubernetes 1.36."""


def run_as(namespace: str, service_account_name: str | None) -> str:
    """Give the Kubernetes user of a run: its ServiceAccount, or the namespace's default one."""
    return f"system:serviceaccount:{namespace}:{service_account_name or _DEFAULT_NAME}"


async def may(api: client.Api, verb: str, *, resource: str, **where: str) -> bool:
    """Ask the API server whether this caller may do something; `where` is namespace, name, group, subresource.

    Raises `KubernetesApiError` when it does not say so.
    """
    attributes: Manifest = {"verb": verb, "resource": resource, **where}
    review = await api.ask(
        "authorization.k8s.io/v1", "SelfSubjectAccessReview", spec={"resourceAttributes": attributes}
    )
    return review.get("allowed") is True


async def may_impersonate(api: client.Api, namespace: str, *, name: str = "") -> bool:
    """Ask whether this caller may act as a ServiceAccount; as all of them without a name. Raises as `may` does."""
    for group, verb in _IMPERSONATIONS:
        if await may(api, verb, resource="serviceaccounts", group=group, namespace=namespace, name=name):
            return True
    return False


class _Answers:
    """Remembers the answers to one question about ServiceAccounts, and asks it once for all who want to know."""

    def __init__(self, ask: Callable[[str, str], Awaitable[bool]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}
        self._asking: dict[str, asyncio.Task[bool]] = {}

    async def holds(self, run_as: str, *, believe_no_seconds: float = 0.0) -> bool:
        """Give the answer of a moment ago, or a new one. Raises what asking raises, to all who wait for it."""
        at, answer = self._known.get(run_as, (-_FRESH_SECONDS, False))
        if self._clock() - at < (_FRESH_SECONDS if answer else believe_no_seconds):
            return answer
        asking = self._asking.get(run_as)
        if asking is None:
            asking = self._asking[run_as] = asyncio.create_task(self._ask_now(run_as))
            asking.add_done_callback(lambda task: self._answered(run_as, task))
        return await asyncio.shield(asking)

    async def _ask_now(self, run_as: str) -> bool:
        _, _, namespace, name = run_as.split(":")
        return await self._ask(namespace, name)

    def _answered(self, run_as: str, task: asyncio.Task[bool]) -> None:
        del self._asking[run_as]
        if task.cancelled() or task.exception() is not None:
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[run_as] = self._clock(), task.result()


class Identities:
    """Gives activities the API server as their run sees it."""

    def __init__(self, api: client.Api, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Know no ServiceAccount yet."""
        self._api = api
        self._exists = _Answers(self._ask_exists, clock)
        self._may_impersonate = _Answers(self._ask_may_impersonate, clock)

    def for_run(self, run_as: str, on_wait: pacing.OnWait | None = None) -> KubernetesApi:
        """Give the API server for one run; that its ServiceAccount exists is checked at each call, not here.

        `on_wait` hears of it while a call has to wait for its turn.
        """
        return _CheckedApi(self, self._api.acting_as(run_as, on_wait), run_as)

    async def check(self, run_as: str) -> None:
        """Raise `ServiceAccountMissingError` unless the ServiceAccount was there a moment ago."""
        if not await self._exists.holds(run_as):
            raise _missing(run_as)

    async def preflight(self, run_as: str) -> None:
        """Return when a run can act as this ServiceAccount.

        Raises `ServiceAccountMissingError`, `ImpersonationForbiddenError`, and what the API server raises.
        """
        if not await self._exists.holds(run_as, believe_no_seconds=_NO_SECONDS):
            raise _missing(run_as)
        if not await self._may_impersonate.holds(run_as, believe_no_seconds=_NO_SECONDS):
            _, _, namespace, name = run_as.split(":")
            call = errors.KubernetesCall("impersonate", "serviceaccounts", "", namespace, name)
            raise errors.ImpersonationForbiddenError(
                call, answers.may_not_impersonate(run_as), status=403, reason="Forbidden", retryable=True
            )

    async def _ask_exists(self, namespace: str, name: str) -> bool:
        return await self._api.get("v1", "ServiceAccount", name, namespace=namespace) is not None

    async def _ask_may_impersonate(self, namespace: str, name: str) -> bool:
        try:
            return await may_impersonate(self._api, namespace, name=name)
        except errors.KubernetesForbiddenError:
            return True  # nobody may ask here: the first use will tell


def _missing(run_as: str) -> errors.ServiceAccountMissingError:
    _, _, namespace, name = run_as.split(":")
    return errors.ServiceAccountMissingError(namespace, name)


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

    async def patch(self, patch: Manifest, *, field_manager: str, subresource: str = "") -> Manifest | None:
        await self._identities.check(self._run_as)
        return await self._api.patch(patch, field_manager=field_manager, subresource=subresource)

    async def get(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Manifest | None:
        await self._identities.check(self._run_as)
        return await self._api.get(api_version, kind, name, namespace=namespace, subresource=subresource)

    async def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        limit: int | None = None,
    ) -> list[Manifest]:
        await self._identities.check(self._run_as)
        return await self._api.list(
            api_version,
            kind,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
        )

    async def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        *,
        namespace: str | None = None,
        preconditions: Preconditions | None = None,
        propagation: Propagation = "Background",
    ) -> bool:
        await self._identities.check(self._run_as)
        return await self._api.delete(
            api_version, kind, name, namespace=namespace, preconditions=preconditions, propagation=propagation
        )

    async def log(self, pod: str, *, container: str = "", namespace: str | None = None, tail_lines: int = 100) -> str:
        await self._identities.check(self._run_as)
        return await self._api.log(pod, container=container, namespace=namespace, tail_lines=tail_lines)

    async def watch(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None
    ) -> AsyncGenerator[Manifest | None, None]:
        await self._identities.check(self._run_as)
        async with contextlib.aclosing(self._api.watch(api_version, kind, name, namespace=namespace)) as changes:
            async for found in changes:
                yield found

"""One controller at a time: holds a Lease, and lets work be done while it is held.

It knows one Lease and the API server; it must not know what the work is (`roles` gives it), and decides nothing that
`election` can decide. `kubernetes.aio` has a leader election too; that one does not release its Lease at the end,
writes the local time as if it were UTC, and ends at a connection that breaks.

Theory of operation. A candidate reads the Lease every two seconds, and writes itself into it when it may; the resource
version in the write lets one of many win. The leader writes at the same pace, without reading, from what its last write
gave. It stops when somebody else stands in the Lease, or when it could not renew for ten seconds: five before anybody
may take the Lease, which is the time to end its work in order. A graceful stop ends the work first, and then empties
the Lease, so that a standby goes on with its next look.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

import structlog

from perdure import errors
from perdure._core.activity import Manifest
from perdure._kube import election
from perdure._kube.client import Api
from perdure._kube.health import Need
from perdure._kube.reach import Reach

__all__ = ["Leader", "identity"]

_log = structlog.get_logger(__name__)

_API_VERSION, _KIND = "coordination.k8s.io/v1", "Lease"
_FIELD_MANAGER = "perdure"
_RELEASE_SECONDS = 2.0
_RELEASE_ATTEMPTS = 2
"""A renewal that was broken off may land between the look and the release."""


def identity() -> str:
    """Give a name for this process: that of its pod, or of its machine, and something that no other has."""
    return f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"


class Leader:
    """A candidate, and the leader when it is one. `holder` is whom the Lease named when it was looked at last."""

    def __init__(
        self, api: Api, reach: Reach, *, name: str, namespace: str, me: str, terms: election.Terms | None = None
    ) -> None:
        """Stand as `me` for the Lease of this name; nothing is asked yet."""
        self._api = api
        self._reach = reach
        self._name = name
        self._namespace = namespace
        self._me = me
        self._terms = terms or election.Terms()
        self._sight: election.Sight | None = None
        self._lease: Manifest | None = None
        self._renewed_at = 0.0
        self._may_hold = False
        self._complaint = "the Lease was not looked at yet"
        self.is_leading = False
        self.holder = ""
        self.losses = 0

    def need(self) -> Need:
        """Say whether it is known who leads, and who; a standby lacks nothing."""
        if self._complaint:
            return Need(ok=False, why=self._complaint)
        where = f"the Lease {self._namespace}/{self._name}"
        if self.is_leading:
            return Need(ok=True, why=f"leads, as {self._me} in {where}")
        return Need(ok=True, why=f"standby: {self.holder or 'nobody'} holds {where}")

    async def run(self, lead: Callable[[], Coroutine[None, None, None]]) -> None:
        """Stand for ever, and run `lead` while elected: it is cancelled, and waited for, when that ends.

        The way out is to cancel the task; the Lease is then released.
        """
        try:
            while True:
                if await self._try():
                    await self._reign(lead)
                await asyncio.sleep(self._pause())
        finally:
            await self._release()

    async def _reign(self, lead: Callable[[], Coroutine[None, None, None]]) -> None:
        """Have the work done until the Lease is lost, or the work ends by an error."""
        _log.info("leading", lease=f"{self._namespace}/{self._name}", identity=self._me)
        self.is_leading = True
        work = asyncio.create_task(lead())
        try:
            await self._renew_until_lost(work)
            if not work.done():
                self.losses += 1
                _log.warning("lost the lead", holder=self.holder, error=self._complaint or self._reach.why or "")
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            self.is_leading = False
        if not work.cancelled():
            work.result()

    async def _renew_until_lost(self, work: asyncio.Task[None]) -> None:
        while not work.done() and self.holder == self._me and not self._is_over():
            await asyncio.wait({work}, timeout=self._pause())
            await self._try()

    def _is_over(self) -> bool:
        return election.is_over(self._renewed_at, _now(), terms=self._terms)

    def _pause(self) -> float:
        return election.pause(self._terms, random.random())  # noqa: S311 - it spreads requests, guards nothing

    async def _try(self) -> bool:
        """Take or renew the Lease if that may be; tell whether it is held. A try lasts no longer than it is of use."""
        began = _now()
        until = self._renewed_at if self.is_leading else began
        try:
            async with asyncio.timeout_at(until + self._terms.renew_seconds):
                is_held = await self._take()
        except TimeoutError:
            return self._failed()
        except errors.KubernetesUnavailableError as error:
            self._reach.lost(error, "asking who leads")
            return self._failed()
        except errors.KubernetesConflictError:
            return self._failed()  # somebody was faster, or an earlier write of ours has landed: the next look tells
        except errors.KubernetesApiError as error:
            self._reach.regained()
            self._complain(error)
            return self._failed()
        self._reach.regained()
        self._complaint = ""
        if is_held:
            self._renewed_at = began
        return is_held

    def _failed(self) -> bool:
        self._lease = None
        return False

    def _complain(self, error: errors.KubernetesApiError) -> None:
        if self._complaint != str(error):
            self._complaint = str(error)
            _log.error("the API server refuses the Lease, trying again", error=self._complaint)

    async def _take(self) -> bool:
        """Look at the Lease, and write this process into it if that may be."""
        if self._lease is None or not self.is_leading:
            self._lease = await self._api.get(_API_VERSION, _KIND, self._name, namespace=self._namespace)
            self._seen(self._lease)
        if not election.may_take(self._sight, self._me, now=_now()):
            self._may_hold = False
            return False
        self._may_hold = True
        before = self._sight.claim if self._sight is not None else election.Claim()
        written = await self._write(election.taken(before, self._me, at=_time(), terms=self._terms))
        self._lease = written
        if written is not None:
            self._seen(written)
        return written is not None

    def _seen(self, lease: Manifest | None) -> None:
        self._sight = None if lease is None else election.look(self._sight, election.claim_of(lease), now=_now())
        self.holder = "" if self._sight is None else self._sight.claim.holder

    async def _write(self, claim: election.Claim) -> Manifest | None:
        """Create the Lease, or put the claim into the one that was read; None when somebody else has created it."""
        if self._lease is not None:
            return await self._api.replace({**self._lease, "spec": election.spec(claim)}, field_manager=_FIELD_MANAGER)
        named: Manifest = {"name": self._name, "namespace": self._namespace}
        manifest: Manifest = {
            "apiVersion": _API_VERSION,
            "kind": _KIND,
            "metadata": named,
            "spec": election.spec(claim),
        }
        return await self._api.create(manifest, field_manager=_FIELD_MANAGER)

    async def _release(self) -> None:
        """Empty the Lease if it is ours. When that cannot be done in a moment, it ends by itself."""
        if not self._may_hold:
            return
        with contextlib.suppress(TimeoutError, errors.KubernetesApiError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                for _ in range(_RELEASE_ATTEMPTS):
                    if await self._is_released():
                        return
        _log.info("could not release the Lease, it ends by itself", lease=f"{self._namespace}/{self._name}")

    async def _is_released(self) -> bool:
        self._lease = await self._api.get(_API_VERSION, _KIND, self._name, namespace=self._namespace)
        self._seen(self._lease)
        if self._lease is None or self._sight is None or self.holder != self._me:
            return True
        try:
            await self._write(election.released(self._sight.claim, at=_time()))
        except errors.KubernetesConflictError:
            return False
        self._may_hold = False
        _log.info("released the Lease", lease=f"{self._namespace}/{self._name}")
        return True


def _time() -> datetime:
    return datetime.now(UTC)


def _now() -> float:
    return asyncio.get_running_loop().time()

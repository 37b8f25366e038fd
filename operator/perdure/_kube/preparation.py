"""Stands before ingest: a sight that is about to start a run is looked at first, for what the run may and needs.

It knows the order of the questions and when they are asked again; the rules are `policy`'s and `sources`', the
questions to the cluster are `preflight`'s. It must not know where a sight came from, nor how a run is started: whoever
has seen something calls `add`, and what comes of it goes into ingest's queue, as it was, with its input filled in, or
with the reason why not. It has no memory that matters: a resource is prepared when the store has a run of it, and what
is lost with the process is seen again after its next start.

Theory of operation. Most sights ask for nothing (no ServiceAccount by name, nothing from elsewhere, nothing that is not
allowed) and pass at once. Of the others the store says in batches which have no run yet; a resource that has one passes
too, whatever the rules have become. The rest are looked at, sixteen at a time. What is missing is told, once, and
looked for again, by the same way through the store, with pauses that grow: a missing Secret of one stops no other. Many
that wait look less often, so that all together ask the API server a few times a second. A newer sight of a resource
takes the place of an older one.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
import structlog
from pydantic import JsonValue

from perdure import errors
from perdure._core import sights
from perdure._kube import ingest, sources
from perdure._kube.api.refusals import Refusal
from perdure._kube.policy import Policy
from perdure._kube.preflight import Needs, Preflight
from perdure._store.resources import News, Seen
from perdure._store.starts import Starts
from perdure._store.store import Availability, retrying

__all__ = ["Preparation", "pause_seconds"]

_log = structlog.get_logger(__name__)

_BATCH = 200
_GATHER_SECONDS = 0.005
_LOOKS_AT_ONCE = 16
_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0
_LOOK_FAILED = "LookFailed"
_LOOKS_PER_SECOND = 20.0
"""What all that wait together ask of the API server, at most, when there are very many."""


@dataclasses.dataclass(slots=True, eq=False)
class _Waiting:
    """A sight that is being prepared; `refusal` is what no look at the cluster can change."""

    sight: Seen
    needs: Needs
    refusal: Refusal | None = None
    looks: int = 0
    told: bytes | None = None
    task: asyncio.Task[None] | None = None


def pause_seconds(looks: int, waiting: int) -> float:
    """Give the pause after so many looks, while so many wait."""
    doubled = _FIRST_PAUSE_SECONDS * 2.0 ** min(looks - 1, 10)
    return max(min(doubled, _LONGEST_PAUSE_SECONDS), waiting / _LOOKS_PER_SECOND)


class Preparation:
    """The sights that are being prepared, and the loop that asks for them. `pause` says how long one waits."""

    def __init__(
        self,
        queue: ingest.Ingest[Seen, News],
        starts: Starts,
        *,
        preflight: Preflight,
        policy: Policy,
        availability: Availability,
        pause: Callable[[int, int], float] = pause_seconds,
    ) -> None:
        self._queue = queue
        self._starts = starts
        self._preflight = preflight
        self._policy = policy
        self._availability = availability
        self._pause = pause
        self._waiting: dict[UUID, _Waiting] = {}
        self._to_ask: dict[UUID, _Waiting] = {}
        self._arrived = asyncio.Event()
        self._asked = asyncio.Event()
        self._asked.set()
        self._slots = asyncio.Semaphore(_LOOKS_AT_ONCE)

    @property
    def backlog(self) -> int:
        """How many resources are not started yet for want of something."""
        return len(self._waiting)

    def add(self, sight: Seen) -> None:
        """Take in this sight when it can be taken in. A newer one replaces it, an older one does not."""
        before = self._waiting.get(sight.uid)
        if before is not None:
            if sight == before.sight or sights.is_older(sight, before.sight):
                return
            sight = sights.instead(sight, before.sight)
            self._forget(before)
        waiting = self._waiting_or_none(sight)
        if waiting is None:
            self._queue.add(sight)
            return
        self._waiting[sight.uid] = waiting
        self._ask(waiting)

    async def wait_idle(self) -> None:
        """Return when everything that was added is in the store, or waits for something that it lacks."""
        await self._asked.wait()
        await self._queue.wait_idle()

    async def run(self) -> None:
        """Prepare for ever; the way out is to cancel the task, which leaves what waits to the next run."""
        for waiting in self._waiting.values():
            self._ask(waiting)
        try:
            while True:
                await self._arrived.wait()
                await asyncio.sleep(_GATHER_SECONDS)
                await self._go_on(list(self._to_ask.values())[:_BATCH])
                if not self._to_ask:
                    self._arrived.clear()
                    self._asked.set()
        finally:
            for waiting in self._waiting.values():
                self._stop(waiting)

    def _waiting_or_none(self, sight: Seen) -> _Waiting | None:
        """Say what a sight needs before it can start a run; None for nothing."""
        if sight.gone or sight.deleting or sight.refusal is not None or sight.cancel_reason is not None:
            return None
        spec = msgspec.json.decode(sight.spec or b"{}", type=dict[str, Any])
        account, given, wanted = _asked_for(spec)
        refusal = self._policy.refusal_or_none(sight.namespace, sight.orchestration, account=account)
        if refusal is None and (problem := sources.problem_or_none(given, wanted)) is not None:
            refusal = Refusal("InputInvalid", f"{problem} Create the resource again with another spec.")
        if refusal is None and account is None and not wanted:
            return None
        return _Waiting(sight, Needs(sight.run_as, given, wanted), refusal)

    async def _go_on(self, batch: list[_Waiting]) -> None:
        """Ask the store which of these start a run, and begin to look at them; the others pass."""
        due = await retrying(
            lambda: self._starts.due([waiting.sight for waiting in batch]),
            doing="asking which resources have a run",
            availability=self._availability,
        )
        for waiting in batch:
            if self._to_ask.get(waiting.sight.uid) is not waiting:
                continue  # a newer sight came meanwhile
            del self._to_ask[waiting.sight.uid]
            if waiting.sight.uid not in due:
                self._done(waiting, waiting.sight)
            elif waiting.refusal is not None:
                self._done(waiting, _refused(waiting.sight, waiting.refusal))
            else:
                waiting.task = asyncio.create_task(self._look(waiting))

    async def _look(self, waiting: _Waiting) -> None:
        """Look once; hand on what was found, or wait and have it looked for again."""
        async with self._slots:
            found = await self._found(waiting)
        if isinstance(found, bytes):
            self._done(waiting, dataclasses.replace(waiting.sight, input=found))
            return
        if (
            found.reason != _LOOK_FAILED or waiting.told is None
        ):  # what was told last is truer than that nobody can look
            self._tell(waiting, found)
        waiting.looks += 1
        await asyncio.sleep(self._pause(waiting.looks, len(self._waiting)))
        self._ask(waiting)

    async def _found(self, waiting: _Waiting) -> Refusal | bytes:
        """Give the input or what is missing. That nobody could look is told too: the store then knows of it."""
        said = "The API server cannot be reached."
        try:
            return await self._preflight.look(waiting.needs)
        except errors.KubernetesUnavailableError:
            pass  # whoever probes it says so
        except Exception as error:  # noqa: BLE001 - a border: one resource that cannot be looked at must not stop others
            _log.warning(
                "cannot look at what a run needs, trying again", resource=_named(waiting.sight), error=str(error)
            )
            said = str(error)
        return Refusal(_LOOK_FAILED, f"What the run needs cannot be looked at, it is tried again. {said}", waits=True)

    def _tell(self, waiting: _Waiting, refusal: Refusal) -> None:
        refused = _refused(waiting.sight, refusal)
        if refused.refusal != waiting.told:
            waiting.told = refused.refusal
            _log.info("run cannot start yet", resource=_named(waiting.sight), reason=refusal.reason)
            self._queue.add(refused)

    def _done(self, waiting: _Waiting, sight: Seen) -> None:
        """Hand on what came of a sight, and know it no more."""
        del self._waiting[sight.uid]
        if waiting.told is not None and sight.refusal is None:
            _log.info("run has all it needs now", resource=_named(sight))
        self._queue.add(sight)

    def _ask(self, waiting: _Waiting) -> None:
        self._to_ask[waiting.sight.uid] = waiting
        self._asked.clear()
        self._arrived.set()

    def _forget(self, waiting: _Waiting) -> None:
        self._stop(waiting)
        self._waiting.pop(waiting.sight.uid)
        self._to_ask.pop(waiting.sight.uid, None)

    def _stop(self, waiting: _Waiting) -> None:
        if waiting.task is not None:
            waiting.task.cancel()


def _asked_for(spec: Mapping[str, Any]) -> tuple[str | None, JsonValue, list[sources.Source]]:
    """Read of a spec what is of interest here: the ServiceAccount it names, the input, and what is put into it."""
    return spec.get("serviceAccountName") or None, spec.get("input"), sources.read(spec.get("inputFrom"))


def _refused(sight: Seen, refusal: Refusal) -> Seen:
    return dataclasses.replace(sight, refusal=msgspec.json.encode(refusal))


def _named(sight: Seen) -> str:
    return f"{sight.namespace}/{sight.name}"

"""Takes what was seen of resources into Postgres: batched, repeated until the database has it, never lost.

It knows how a resource's JSON becomes a row of the store; it must not know where the sight came from (the watch, the
sweep, the projector's 404) nor how a status looks. Whoever has seen something calls `add`, in the event loop, and
forgets it.

Theory of operation. The queue holds one sight for each uid, the newest: order matters only per uid, and the store's
statement is idempotent and refuses what is older. A batch is what came within five milliseconds, at most two hundred. A
database that is away is waited for. A sight that the database refuses (which would be our fault) is found by halving
the batch, logged and dropped alone; the sweep brings it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import msgspec
import structlog
from pydantic import JsonValue

from perdure import errors
from perdure._core import lifecycle, payload, sights
from perdure._core.sights import Sight
from perdure._kube import identity, nesting
from perdure._kube.api import refusals
from perdure._kube.api.orchestration import FINALIZER, IMMUTABLE_FIELDS
from perdure._store.resources import Earlier, Policies, Seen
from perdure._store.store import Availability, is_transient, retrying

__all__ = ["Ingest", "Table", "gone", "has_finalizer", "seen"]

_log = structlog.get_logger(__name__)

_LARGEST_RUN = 2**31 - 1
_BATCH = 200
_GATHER_SECONDS = 0.005


def seen(manifest: Mapping[str, JsonValue]) -> Seen:
    """Read a resource as the API server gives it; what it asks for and cannot have is a refusal, never an error."""
    metadata, given = _mapping(manifest["metadata"]), _mapping(manifest.get("spec"))
    too_deep = sorted(field for field, value in given.items() if nesting.is_deeper(value, nesting.LEVELS))
    spec = {**given, **dict.fromkeys(too_deep)}
    namespace = str(metadata["namespace"])
    cancel = spec.get("cancel")
    account = spec.get("serviceAccountName")
    refusal, given_input = _input(spec)
    if too_deep:
        refusal = _too_deep(too_deep)
    return Seen(
        uid=UUID(str(metadata["uid"])),
        namespace=namespace,
        name=str(metadata["name"]),
        generation=int(str(metadata["generation"])),
        spec=json.dumps(spec, sort_keys=True, separators=(",", ":")).encode(),
        deleting="deletionTimestamp" in metadata,
        refusal=None if refusal is None else msgspec.json.encode(refusal),
        cancel_reason=str(cancel.get("reason", "")) if isinstance(cancel, dict) else None,
        orchestration=str(spec.get("orchestration", "")),
        version=str(spec.get("version") or ""),
        input=given_input,
        run_as=identity.run_as(namespace, str(account) if account else None),
        request=_request(spec),
        policies=_policies(spec),
        has_finalizer=has_finalizer(metadata),
        earlier=_earlier_or_none(f"{namespace}/{metadata['name']}", _mapping(manifest.get("status"))),
    )


def gone(uid: UUID, *, namespace: str, name: str) -> Seen:
    """Say that a resource is no more."""
    return Seen(uid, namespace, name, gone=True)


def _earlier_or_none(name: str, status: Mapping[str, JsonValue]) -> Earlier | None:
    """Read what a status says of the run of its resource; None when that is nothing, or nothing that we wrote."""
    owner, _, number = str(status.get("instanceId") or "").rpartition(":")
    if owner != name or not number.isdecimal() or not 1 <= int(number) <= _LARGEST_RUN:
        return None
    is_over = status.get("phase") in lifecycle.TERMINAL
    return Earlier(
        int(number), f"{owner}:{int(number)}", is_over=is_over, status=msgspec.json.encode(status) if is_over else b""
    )


def has_finalizer(metadata: Mapping[str, JsonValue]) -> bool:
    """Tell whether our finalizer keeps a resource."""
    finalizers = metadata.get("finalizers")
    return isinstance(finalizers, list) and FINALIZER in finalizers


def _request(spec: Mapping[str, JsonValue]) -> str:
    """Give a digest of what a run is started with; a field that says nothing is as good as none."""
    request = {field: spec[field] for field in IMMUTABLE_FIELDS if spec.get(field) not in (None, "", [])}
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _policies(spec: Mapping[str, JsonValue]) -> Policies:
    """Read the policies. The API server has seen to their types and values: what it let through is of a newer CRD."""
    words = {field: spec[name] for name, field in _WORDS.items() if spec.get(name) in _KNOWN_WORDS[field]}
    seconds = {field: _seconds_or_none(spec.get(name)) for name, field in _SECONDS.items()}
    return Policies(suspend=spec.get("suspend") is True, **words, **seconds)  # type: ignore[arg-type]  # by their names


def _seconds_or_none(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


_WORDS = {
    "deletionPolicy": "deletion",
    "rerunPolicy": "rerun",
    "updatePolicy": "update",
    "onNondeterminism": "on_nondeterminism",
    "readyWhen": "ready_when",
}
_KNOWN_WORDS: Mapping[str, tuple[str, ...]] = {
    "deletion": ("Cancel", "Compensate", "Orphan"),
    "rerun": ("Never", "OnChange"),
    "update": ("AfterCurrentRun", "Signal", "CancelCurrent"),
    "on_nondeterminism": ("Hold", "Fail"),
    "ready_when": ("Completed", "Custom"),
}
_SECONDS = {
    "timeoutSeconds": "timeout_seconds",
    "ttlSecondsAfterFinished": "ttl_seconds",
    "historyRetentionSeconds": "retention_seconds",
}


def _input(spec: Mapping[str, JsonValue]) -> tuple[refusals.Refusal | None, bytes]:
    """Give the input, or why the spec cannot be carried out."""
    try:
        return None, payload.encode(spec.get("input"), "input in the spec")
    except errors.PayloadError as error:
        return refusals.Refusal("InputInvalid", f"{error.code}: {error.message}"), b"null"


def _too_deep(fields: Sequence[str]) -> refusals.Refusal:
    named = " and ".join(f"spec.{field}" for field in fields)
    return refusals.Refusal(
        "InputInvalid",
        f"{errors.PayloadError.code}: {named} is nested more than {nesting.LEVELS} levels deep, which is the limit. "
        "Create the resource again with a flatter value, or store the data elsewhere and pass a reference.",
    )


S = TypeVar("S", bound=Sight)
S_contra = TypeVar("S_contra", bound=Sight, contravariant=True)
N = TypeVar("N")
N_co = TypeVar("N_co", covariant=True)


class Table(Protocol[S_contra, N_co]):
    """Where the sights of a kind go: it takes the same batch twice without harm, and gives what it changed."""

    def ingest(self, batch: Sequence[S_contra]) -> Awaitable[Sequence[N_co]]:
        """Take in what was seen; a uid is in a batch once."""


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


class Ingest(Generic[S, N]):
    """A queue of sights of one kind, and the loop that empties it into the store.

    `on_news` is called, in the event loop, with what each batch changed; perhaps with nothing after a try whose answer
    was lost, and which may have changed something.
    """

    def __init__(
        self, resources: Table[S, N], *, availability: Availability, on_news: Callable[[Sequence[N]], None]
    ) -> None:
        self._resources = resources
        self._availability = availability
        self._on_news = on_news
        self._queue: dict[UUID, S] = {}
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.taken_in = 0
        self.dropped = 0
        self.last_at: float | None = None

    def add(self, sight: S) -> None:
        """Take in this sight soon. An older one that comes late replaces no newer one; what is gone stays gone."""
        waiting = self._queue.get(sight.uid)
        if waiting is not None and sights.is_older(sight, waiting):
            return
        self._queue[sight.uid] = sight if waiting is None else sights.instead(sight, waiting)
        self._idle.clear()
        self._arrived.set()

    @property
    def backlog(self) -> int:
        """How many sights wait."""
        return len(self._queue)

    async def wait_idle(self) -> None:
        """Return when everything that was added is in the store."""
        await self._idle.wait()

    async def run(self) -> None:
        """Empty the queue for ever; the way out is to cancel the task."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            batch = [self._queue[uid] for uid in list(self._queue)[:_BATCH]]
            await self._take_in(batch)
            for sight in batch:
                if self._queue.get(sight.uid) is sight:  # else a newer one came meanwhile
                    del self._queue[sight.uid]
            if not self._queue:
                self._arrived.clear()
                self._idle.set()

    async def _take_in(self, batch: list[S]) -> None:
        is_unsure = False

        async def ingest() -> Sequence[N]:
            nonlocal is_unsure
            try:
                return await self._resources.ingest(batch)
            except Exception:
                is_unsure = True
                raise

        try:
            news = await retrying(ingest, doing="ingest of resources", availability=self._availability)
        except Exception as error:  # whatever the database refuses; what is transient was waited out
            if is_transient(error):
                raise
            await self._divide(batch, error)
            return
        self.taken_in += len(batch)
        self.last_at = time.time()
        if news or is_unsure:
            self._on_news(news)

    async def _divide(self, batch: list[S], error: Exception) -> None:
        """Find the one that the database refuses; its neighbours go in."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._take_in(batch[:middle])
            await self._take_in(batch[middle:])
            return
        self.dropped += 1
        _log.error(
            "resource cannot be taken in, the next sweep tries again",
            resource=f"{batch[0].namespace}/{batch[0].name}",
            uid=str(batch[0].uid),
            error=f"{type(error).__name__}: {error}",
        )

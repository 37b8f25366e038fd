"""Writes statuses into resources: the one way to do it, whatever the kind, and what each answer means.

It knows one API call, the budget of the process, and when the API server is to be left alone; it must not know what a
status says, nor what is remembered of it, which is the store's.

Theory of operation. A write is a JSON patch that tests the uid, the one kind that cannot hit a re-created resource of
the same name. What comes of it is an `Outcome`, never an error. While the API server is away, or has asked for quiet,
nothing is sent, of no kind: the writers of all kinds share one `StatusWriter`. What was refused for its content (of the
schema of a definition that is older, or too large) is remembered, and the same is not sent again at each look; after a
while it is, since a definition may be upgraded. When conditions turned does not make a status another one: that moves
on with the clock until one is taken.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from uuid import UUID

import msgspec
import structlog
from pydantic import JsonValue

from perdure import errors
from perdure._core.activity import Manifest
from perdure._kube import budget, conditions
from perdure._kube.api import base
from perdure._kube.client import Api
from perdure._kube.reach import Reach

__all__ = ["REFUSED_SECONDS", "Away", "Gone", "OnWritten", "Outcome", "Refused", "StatusWriter", "Taken"]

_log = structlog.get_logger(__name__)

REFUSED_SECONDS = 30.0
"""When to look again after an answer that only somebody else can change (no right, a definition of another release)."""
_FORBIDDEN_SECONDS = 3 * REFUSED_SECONDS
"""So long a missing right is reported without being met again: what it was met with may be gone."""
_REMEMBERED_SECONDS = 600.0
_REMEMBERED = 2_000
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_OF_CONTENT = frozenset({400, 413, 422})
"""Refusals of what a status says: too large, or not of the schema of the CRD that is installed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """The status stands there, at this resource version."""

    resource_version: int


@dataclasses.dataclass(frozen=True, slots=True)
class Gone:
    """There is no resource of this uid; its name may be another's by now."""


@dataclasses.dataclass(frozen=True, slots=True)
class Away:
    """The API server did not answer, or wants to be left alone: nothing is written for so many seconds."""

    error: errors.KubernetesUnavailableError
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """Somebody has to change something: of what the status says if `is_of_content`, else a right or a definition."""

    error: errors.KubernetesApiError
    is_of_content: bool


Outcome = Taken | Gone | Away | Refused

OnWritten = Callable[[base.Reference, dict[str, JsonValue] | None, dict[str, JsonValue]], None]
"""Is told which status stood in a resource before, as far as that is known, and which does now."""


class StatusWriter:
    """The writes of a process. `bucket` is their budget: whoever calls `write` has taken a token of it."""

    def __init__(
        self, api: Api, *, bucket: budget.TokenBucket, reach: Reach, clock: Callable[[], float] | None = None
    ) -> None:
        """Write nothing yet. The clock is that of the running loop unless given."""
        self._api = api
        self.bucket = bucket
        self._reach = reach
        self._clock = clock or asyncio.get_running_loop().time
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._not_before = 0.0
        self._lost: errors.KubernetesUnavailableError | None = None
        self._forbidden: dict[tuple[str, str], tuple[float, str]] = {}
        self._refusals: OrderedDict[tuple[UUID, bytes], tuple[float, errors.KubernetesApiError]] = OrderedDict()

    @property
    def away_seconds(self) -> float:
        """For how long nothing is written; 0 while the API server may be asked."""
        return max(0.0, self._not_before - self._clock())

    @property
    def why_not(self) -> str:
        """What the API server last said where it forbids to write statuses; empty while it forbids nothing."""
        since = self._clock() - _FORBIDDEN_SECONDS
        self._forbidden = {where: said for where, said in self._forbidden.items() if said[0] > since}
        return max(self._forbidden.values(), default=(0.0, ""))[1]

    def refusal_or_none(self, uid: UUID, status: Mapping[str, JsonValue]) -> errors.KubernetesApiError | None:
        """Give what the API server said when it refused this status of this resource for what it says."""
        if not self._refusals:
            return None
        refused_at, error = self._refusals.get((uid, _digest(status)), (0.0, None))
        return error if refused_at > self._clock() - _REMEMBERED_SECONDS else None

    async def write_behind(self, about: base.Reference, status: Mapping[str, JsonValue]) -> Outcome:
        """Write a status that can wait: behind whoever takes tokens for what a person waits for."""
        in_vain = self._in_vain(about, status)
        if in_vain is not None:
            return in_vain
        await self.bucket.take_behind()
        return await self.write(about, status)

    async def write(self, about: base.Reference, status: Mapping[str, JsonValue]) -> Outcome:
        """Write a status, unless it is known to be in vain."""
        in_vain = self._in_vain(about, status)
        if in_vain is not None:
            return in_vain
        patch: list[JsonValue] = [
            {"op": "test", "path": "/metadata/uid", "value": str(about.uid)},
            {"op": "add", "path": "/status", "value": {**status}},
        ]
        try:
            written = await self._api.json_patch(
                base.API_VERSION,
                about.kind,
                name=about.name,
                namespace=about.namespace,
                patch=patch,
                subresource="status",
            )
        except errors.KubernetesPatchTestError:
            written = None  # another resource of that name
        except errors.KubernetesUnavailableError as error:
            return self.lost(error, "writing a status")
        except errors.KubernetesApiError as error:
            self._answered()
            return self._refused(about, status, error=error)
        self._answered()
        self._forbidden.pop((about.kind, about.namespace), None)
        return Gone() if written is None else Taken(_resource_version(written))

    def lost(self, error: errors.KubernetesUnavailableError, doing: str) -> Away:
        """Note that a call of whoever writes was not answered, and for how long nothing is written."""
        self._reach.lost(error, doing)
        now = self._clock()
        seconds = max(error.retry_after_seconds, self._pause_seconds)
        if now >= self._not_before:  # the first of those that were under way together
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._lost, self._not_before = error, max(self._not_before, now + seconds)
        return Away(error, self.away_seconds)

    def _answered(self) -> None:
        self._reach.regained()
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def _in_vain(self, about: base.Reference, status: Mapping[str, JsonValue]) -> Away | Refused | None:
        """Give what would come of a write, where that is known."""
        if self._lost is not None and self.away_seconds:
            return Away(self._lost, self.away_seconds)
        refusal = self.refusal_or_none(about.uid, status)
        return None if refusal is None else Refused(refusal, is_of_content=True)

    def _refused(
        self, about: base.Reference, status: Mapping[str, JsonValue], *, error: errors.KubernetesApiError
    ) -> Refused:
        is_of_content = error.status in _OF_CONTENT
        _log.error("status refused", kind=about.kind, resource=f"{about.namespace}/{about.name}", error=str(error))
        if isinstance(error, errors.KubernetesForbiddenError):
            self._forbidden[about.kind, about.namespace] = self._clock(), str(error)
        if is_of_content:
            self._refusals[about.uid, _digest(status)] = self._clock(), error
            while len(self._refusals) > _REMEMBERED:
                self._refusals.popitem(last=False)
        return Refused(error, is_of_content)


def _digest(status: Mapping[str, JsonValue]) -> bytes:
    """Tell one status from another, whenever its conditions turned."""
    timeless = [{**condition, "lastTransitionTime": None} for condition in conditions.listed(status)]
    return hashlib.sha256(msgspec.json.encode({**status, "conditions": timeless})).digest()


def _resource_version(manifest: Manifest) -> int:
    metadata = manifest.get("metadata")
    return int(str(metadata["resourceVersion"])) if isinstance(metadata, dict) else 0

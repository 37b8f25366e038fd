"""What an activity is given: its context.

An activity runs outside replay: it may do I/O, take time and fail. The context tells it who it works for and carries
what the process lends to it (a logger, a Kubernetes client of the run's identity). This module does no I/O itself: the
engine fills the context in, and `KubernetesApi` is only the shape of the client that `_kube` provides.
"""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeVar, cast

from perdure import errors
from perdure._core import limits, payload, secret
from perdure._core.payload import JsonValue

__all__ = [
    "ActivityContext",
    "ActivityInfo",
    "ActivityLogger",
    "Database",
    "KubernetesApi",
    "KubernetesOf",
    "Lifeline",
    "Manifest",
    "Preconditions",
    "Propagation",
    "Transaction",
    "current",
    "masked_here",
    "whose_line",
]

T = TypeVar("T")

Manifest = dict[str, JsonValue]
"""A Kubernetes object as JSON."""

Propagation = Literal["Background", "Foreground", "Orphan"]
"""What becomes of the dependents of a deleted object: they go after it, before it, or stay."""


@dataclasses.dataclass(frozen=True, slots=True)
class Preconditions:
    """Which life of an object is meant (`uid`), and as it was at which look (`resource_version`); empty: any."""

    uid: str = ""
    resource_version: str = ""


class ActivityLogger(Protocol):
    """The three calls of a structured logger that activities use."""

    def info(self, event: str, **fields: object) -> object:
        """Log what went as planned."""

    def warning(self, event: str, **fields: object) -> object:
        """Log what somebody may want to look at."""

    def error(self, event: str, **fields: object) -> object:
        """Log what went wrong."""


class KubernetesApi(Protocol):
    """The API server as the run's ServiceAccount sees it; namespaced calls default to the run's own namespace.

    Every method raises `KubernetesApiError` (or a subclass) with verb, resource, namespace and name. Manifests are
    plain dicts. `api_version` and `kind` are those of a manifest (`apps/v1`, `StatefulSet`).
    """

    @property
    def namespace(self) -> str:
        """The run's own namespace."""

    async def apply(self, manifest: Manifest, *, field_manager: str, force: bool = True) -> Manifest:
        """Server-side apply one object and give it back as the server has it."""

    async def create(self, manifest: Manifest, *, field_manager: str) -> Manifest | None:
        """Create one object; None when one of that name exists already."""

    async def patch(self, patch: Manifest, *, field_manager: str, subresource: str = "") -> Manifest | None:
        """Merge into one object what the patch says (RFC 7396) and give it back; None when there is none.

        A patch names its object as a manifest does. With a `metadata.resourceVersion` it is a `KubernetesConflictError`
        when somebody has changed the object since.
        """

    async def get(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Manifest | None:
        """Give one object, or a subresource of it (`scale`); None when there is none."""

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
        """Give the objects of a kind that match the selectors: all, or the first `limit` of them."""

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
        """Delete one object; False when it is gone already, or no longer the one that the preconditions mean."""

    async def log(self, pod: str, *, container: str = "", namespace: str | None = None, tail_lines: int = 100) -> str:
        """Give the last lines that a container of a Pod has written; of its only one without a name."""

    def watch(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None
    ) -> AsyncIterator[Manifest | None]:
        """Give the object now, and again after every change; None while it does not exist. Never ends by itself."""


KubernetesOf = Callable[[str, Callable[[float], None]], KubernetesApi]
"""Gives the API server as a user sees it, and tells how many seconds a call of it was held up."""


class Transaction(Protocol):
    """A transaction of a database that was lent: all that is done in it counts, or nothing."""

    async def fetch(self, statement: str, *arguments: object) -> Sequence[Mapping[str, object]]:
        """Run one statement with its arguments, `$1` and so on, and give its rows."""

    async def execute(self, script: str) -> None:
        """Run statements that take no arguments."""


class Database(Protocol):
    """A Postgres that the process lends to activities; tables of theirs are in a schema of their own."""

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do the work in one transaction, and give what it gives.

        While the database is away this waits, however long, and begins the work anew: it may have counted although its
        answer was lost, so it must be safe to repeat. The way out is to cancel the activity. Raises
        `DatabaseRefusedError` for what waiting cannot cure; an error of the work itself undoes it.
        """


class Lifeline(Protocol):
    """What ties a running attempt to the engine: signs of life go one way, the end of interest comes the other.

    All but `confirm` and `waited` may be used from any thread.
    """

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for this attempt any more."""

    @property
    def detail(self) -> bytes | None:
        """What an earlier attempt said last, as JSON; None when none said anything."""

    def beat(self, detail: bytes | None) -> None:
        """Note that the attempt lives, and how far it is (JSON; None: nothing new)."""

    def waited(self, seconds: float) -> None:
        """Note that the attempt lives, and that it was held up for so long: its own time goes on that much longer."""

    async def confirm(self) -> None:
        """Return when nobody can have taken the attempt over."""


@dataclasses.dataclass(frozen=True, slots=True)
class ActivityInfo:
    """Who this attempt works for. `attempt` counts from 1; `run_as` is the Kubernetes user of the run, or empty.

    `worker_id` is the worker that makes it, as in the table of workers. `epoch` is the database's time when the attempt
    began, in microseconds since 1970: it rises with every attempt, also over the deaths of workers, so that what an
    attempt has written tells those that began before it and come too late.
    """

    instance_id: str
    orchestration: str
    execution: int
    activity: str
    seq: int
    attempt: int
    run_as: str = ""
    worker_id: str = ""
    epoch: int = 0

    @property
    def namespace(self) -> str:
        """The namespace that the run is of; empty for a run that acts as nobody."""
        return self.run_as.rpartition(":")[0].rpartition(":")[2]


@dataclasses.dataclass(slots=True, eq=False)  # not frozen: that would triple what it costs to make one
class ActivityContext:
    """Given to every activity as its first argument.

    Cancellation arrives as `asyncio.CancelledError` at an await of an async activity. A thread cannot be interrupted:
    a sync activity that takes long looks at `is_cancelled` now and then, and returns; its result is dropped.
    """

    info: ActivityInfo
    logger: ActivityLogger
    _kubernetes: KubernetesOf | None = None
    _lifeline: Lifeline | None = None
    _secrecy: secret.Secrecy = dataclasses.field(default_factory=secret.Secrecy)
    _database: Database | None = None

    @property
    def instance_id(self) -> str:
        """The instance that asked for this activity."""
        return self.info.instance_id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.info.attempt

    @property
    def idempotency_key(self) -> str:
        """A text that is the same for every attempt of this activity, and for no other: for APIs that dedupe."""
        return f"{self.info.instance_id}/{self.info.execution}/{self.info.seq}"

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for this attempt any more: cancelled, timed out, or its worker is to stop."""
        return self._lifeline is not None and self._lifeline.is_cancelled

    @property
    def heartbeat_detail(self) -> JsonValue:
        """What the last heartbeat of an earlier attempt said, also when its worker died; None when none said any."""
        detail = self._lifeline.detail if self._lifeline else None
        return None if detail is None else cast("JsonValue", payload.decoder(object)(detail))

    def heartbeat(self, detail: object = None) -> None:
        """Say that the work goes on, and how far it is; costs next to nothing and may be called from any thread.

        Each call begins the `heartbeat_timeout` anew. `detail` (JSON, a model; None: as before) is given to the next
        attempt as `heartbeat_detail`; it is written down about once a second, so the next attempt may find one that is
        a second old. Raises `PayloadTooLargeError` above the limit: a detail says where to go on, it is no data.
        """
        data = None
        if detail is not None:
            data = payload.encode(detail, "heartbeat detail", limit_bytes=limits.HEARTBEAT_DETAIL_BYTES)
        if self._lifeline is not None:
            self._lifeline.beat(data)

    async def confirm(self) -> None:
        """Return when nobody can have taken this attempt over: at once, as long as its worker's lease stands.

        Ask right before an effect that nothing else protects from an attempt that comes too late. A worker that was
        asleep, or whose database is away, waits here until it has heard from it; where others have taken over by then,
        the attempt is cancelled.
        """
        if self._lifeline is not None:
            await self._lifeline.confirm()

    @property
    def kubernetes(self) -> KubernetesApi:
        """The API server, as the run's ServiceAccount. Raises `NoIdentityError` for a run that has none."""
        if self._kubernetes is None or not self.info.run_as:
            raise errors.NoIdentityError(self.info.instance_id)
        return self._kubernetes(self.info.run_as, self._waited)

    @property
    def database(self) -> Database:
        """The Postgres for what activities keep: PERDURE_INVENTORY_URL, else the operator's own.

        Raises `NoDatabaseError` where none is lent.
        """
        if self._database is None:
            raise errors.NoDatabaseError(self.info.instance_id)
        return self._database

    async def resolve_secret(self, reference: secret.SecretRef, *, guard: bool = True) -> str:
        """Give the value of a secret as it is now, read as the run's ServiceAccount.

        A value of 8 characters or more is guarded: a result that contains it is refused, in an error it is masked. Pass
        `guard=False` for what is kept in a Secret and is none, like a user name. Raises `SecretMissingError`, which is
        retryable, `KubernetesForbiddenError` with the verb that is missing, and `SecretsUnavailableError` where there
        is neither an identity nor another source.
        """
        source = self._secrecy.source
        if source is not None:
            value = await source.resolve(reference)
        elif self._kubernetes is None or not self.info.run_as:
            raise errors.SecretsUnavailableError(str(reference), self.info.instance_id)
        else:
            found = await self.kubernetes.get("v1", "Secret", reference.name, namespace=reference.namespace)
            value = secret.value_of(reference, found)
        if guard:
            self._secrecy.remember(reference, value)
        return value

    def _waited(self, seconds: float) -> None:
        if self._lifeline is not None:
            self._lifeline.waited(seconds)

    def trace_info(self, message: str, **fields: object) -> None:
        """Log a line that carries the instance, the activity and the attempt."""
        self.logger.info(message, **fields)

    def trace_warn(self, message: str, **fields: object) -> None:
        """Log a warning that carries the instance, the activity and the attempt."""
        self.logger.warning(message, **fields)

    def trace_error(self, message: str, **fields: object) -> None:
        """Log an error that carries the instance, the activity and the attempt."""
        self.logger.error(message, **fields)


current: contextvars.ContextVar[ActivityContext | None] = contextvars.ContextVar("perdure_attempt", default=None)
"""The attempt whose code runs here: what its libraries log is its own. Nothing else may depend on it."""


def whose_line() -> Mapping[str, object]:
    """Give what a log line says of the attempt that it is written in; nothing outside of one."""
    context = current.get()
    if context is None:
        return {}
    info = context.info
    return {
        "instance": info.instance_id,
        "activity": info.activity,
        "attempt": info.attempt,
        "worker": info.worker_id,
    }


def masked_here(line: str) -> str:
    """Give a log line without the secrets that the attempt which wrote it has resolved."""
    context = current.get()
    return line if context is None else context._secrecy.masked(line)  # noqa: SLF001 - the guard is nobody's business

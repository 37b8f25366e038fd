"""What a client is told about instances, and what it asks for: plain values, and how a row becomes one.

It knows columns and JSON; it must not know how or when anything is read. The fields of `InstanceInfo` are a promise to
programs: `perdure get --output json` prints them by these names.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import cast

import msgspec

from perdure import errors
from perdure._core import lifecycle, payload, text
from perdure._core.failure import Failure
from perdure._store.store import Record

__all__ = [
    "ExecutionInfo",
    "InstanceCount",
    "InstanceFilter",
    "InstanceHandle",
    "InstanceInfo",
    "InstancePage",
    "InstanceWait",
    "Page",
    "Unoffered",
    "info_of",
]

_PAGE_SIZE = 100
_LARGEST_PAGE = 2**31 - 1
_decode = msgspec.json.Decoder().decode


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceHandle:
    """An instance that is there; `created` tells whether this call made it."""

    instance_id: str
    created: bool


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceInfo:
    """An instance as people see it. `phase`: Pending, Running, Suspended, Completed, Failed, Cancelled.

    `input`, `output` and `custom_status` are decoded JSON values; `error` is set on Failed, Cancelled and held ones,
    with the kind of hold in `hold_reason`. `is_suspended` says that somebody asked for a pause (`suspend_reason`).
    `parent_id` is who waits for its end; `buffered_signals` came in and its code has not waited for them.
    """

    instance_id: str
    name: str
    version: str
    phase: str
    execution: int
    hold_reason: str
    input: payload.JsonValue
    output: payload.JsonValue
    error: Failure | None
    custom_status: payload.JsonValue
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    parent_id: str | None = None
    is_suspended: bool = False
    suspend_reason: str = ""
    buffered_signals: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether the phase is terminal."""
        return self.phase in lifecycle.TERMINAL


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Which instances: those that fit all that is given. None means any; an empty list fits nothing.

    `hold` is the reason of a hold, as in Nondeterministic; `roots` are those without a parent, False the others. Times
    have a zone; `after` includes the moment itself, `before` does not. Raises `DefinitionError` for what nothing could
    fit by mistake: a phase that is none, an id in place of a list of them, a time without a zone.
    """

    phase: str | None = None
    name: str | None = None
    id_prefix: str | None = None
    phases: Sequence[str] | None = None
    version: str | None = None
    parent_id: str | None = None
    ids: Sequence[str] | None = None
    created_after: datetime.datetime | None = None
    created_before: datetime.datetime | None = None
    finished_after: datetime.datetime | None = None
    finished_before: datetime.datetime | None = None
    hold: str | None = None
    roots: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what would be an empty list without a word."""
        for field in ("phases", "ids"):
            if isinstance(getattr(self, field), str):
                message = f"{field} of a filter is {getattr(self, field)!r}; expected a list."
                raise errors.DefinitionError(message)
        wrong = [phase for phase in (self.phase, *(self.phases or ())) if phase not in {None, *lifecycle.PHASES}]
        if wrong:
            message = f"phase of a filter is {wrong[0]!r}; there are {', '.join(lifecycle.PHASES)}."
            raise errors.DefinitionError(message)
        for field in ("name", "id_prefix", "version", "parent_id", "hold"):
            _refuse_if_no_text(getattr(self, field), f"{field} of a filter")
        for instance_id in self.ids or ():
            _refuse_if_no_text(instance_id, "an id of a filter")
        for field in ("created_after", "created_before", "finished_after", "finished_before"):
            moment = getattr(self, field)
            if moment is not None and (not isinstance(moment, datetime.datetime) or moment.tzinfo is None):
                message = f"{field} of a filter is {moment}; expected a time with a zone, as in datetime.now(UTC)."
                raise errors.DefinitionError(message)

    def arguments(self, *, finished_before: datetime.datetime | None = None) -> tuple[object, ...]:
        """Give the first twelve parameters of the statements that take a filter; the earlier end counts."""
        ends = [moment for moment in (self.finished_before, finished_before) if moment is not None]
        return (
            self._phases(),
            self.name,
            self.version,
            self.id_prefix,
            self.parent_id,
            None if self.ids is None else list(self.ids),
            self.created_after,
            self.created_before,
            self.finished_after,
            min(ends, default=None),
            self.hold,
            self.roots,
        )

    def _phases(self) -> list[str] | None:
        if self.phase is None:
            return None if self.phases is None else list(self.phases)
        return [self.phase] if self.phases is None or self.phase in self.phases else []


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: up to `size` of those whose id comes after `after`."""

    after: str = ""
    size: int = _PAGE_SIZE

    def __post_init__(self) -> None:
        """Refuse a page without room, and what is no id."""
        _refuse_if_no_text(self.after, "after of a page")
        if type(self.size) is not int or not 1 <= self.size <= _LARGEST_PAGE:
            message = f"size of a page is {self.size!r}; expected a whole number of 1 or more."
            raise errors.DefinitionError(message)


@dataclasses.dataclass(frozen=True, slots=True)
class InstancePage:
    """Some instances in the order of their ids; `after` asks for the next page, None when this is the last."""

    items: list[InstanceInfo]
    after: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class ExecutionInfo:
    """One life of an instance whose history is there. `ended_at` is None for the one that goes on.

    `outcome` is `ContinuedAsNew`, or for the last one the phase of the instance.
    """

    execution: int
    turns: int
    started_at: datetime.datetime
    ended_at: datetime.datetime | None
    outcome: str


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceWait:
    """One thing that the code of an instance waits for, since when, and for a timer until when.

    `kind`: activity, timer, signal or child; `name` is the activity's, the signal's, or the child's instance id.

    Of an activity `attempt` is the one that is being made or comes next, at `next_attempt_at` when there is a pause
    before it; `last_error` is that of the one before. One of a `queue` is run by `worker`, empty while nobody has taken
    it, and `servers` workers that are up serve its queue.
    """

    kind: str
    name: str
    since: datetime.datetime | None
    until: datetime.datetime | None = None
    attempt: int = 0
    last_error: Failure | None = None
    next_attempt_at: datetime.datetime | None = None
    queue: str = ""
    worker: str = ""
    servers: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceCount:
    """How many instances of a version of an orchestration are in a phase; an empty version was never taken."""

    name: str
    version: str
    phase: str
    instances: int


@dataclasses.dataclass(frozen=True, slots=True)
class Unoffered:
    """Instances that no live worker can run: how many, and when the first of them can go on.

    An empty version was never taken, and any version would do.
    """

    name: str
    version: str
    instances: int
    due_at: datetime.datetime


def _refuse_if_no_text(value: object, what: str) -> None:
    if value is not None and not text.is_writable(value):
        message = f"{what} is {value!r}; expected text, without NUL bytes and lone surrogates."
        raise errors.DefinitionError(message)


def info_of(row: Record, *, is_listed: bool = False) -> InstanceInfo:
    """Read a row of `instance_get` or one of its sisters.

    A payload whose key is missing raises `PayloadSealedError`, and is None in a list, which shows what it can.
    """

    def stored(column: str) -> bytes | None:
        try:
            data: bytes | None = row[column]
        except errors.PayloadSealedError:
            if not is_listed:
                raise
            return None
        return data

    def decoded(column: str) -> payload.JsonValue:
        data = stored(column)
        return None if data is None else cast("payload.JsonValue", _decode(data))

    error = stored("error")
    return InstanceInfo(
        instance_id=row["instance_id"],
        name=row["name"],
        version=row["version"],
        phase=row["phase"],
        execution=row["execution"],
        hold_reason=row["hold_reason"],
        input=decoded("input"),
        output=decoded("output"),
        error=None if error is None else lifecycle.decode_failure(error),
        custom_status=decoded("custom_status"),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        parent_id=row["parent_id"],
        is_suspended=row["is_suspended"],
        suspend_reason=row["suspend_reason"],
        buffered_signals=row["buffered_signals"],
    )

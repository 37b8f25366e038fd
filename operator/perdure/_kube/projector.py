"""Shows runs in the status of their resources: the newest turn, soon, and with as few writes as that takes.

It knows the facts of the store, `status.build` and one API call; it must not know how a run works or who owns it. Every
role has a projector: a worker's shows what its worker commits, a controller's what ingest changed and what nobody owns.

Theory of operation. Marks come from commits and from ingest (`schedule.py` says when each is due). A look reads the
facts of up to fifty due resources at once, folds what is new of their histories, builds each status and compares it
with the one in the store: equal ones are not written. Nothing is looked at before it may be written (the bucket), so
that what is written is what was just read. A write is a JSON patch that tests the uid, the one kind that
cannot hit a re-created resource of the same name. What the API server took is remembered with its resource version;
when two processes wrote the same resource, the store knows which write the server holds, the other is looked at again.
So memory may be lost at any moment: `sweep` finds what the store says is not shown.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import structlog
from pydantic import JsonValue

from perdure import errors
from perdure._core import history, lifecycle, limits, projection
from perdure._core.activity import Manifest
from perdure._engine.worker import Committed
from perdure._kube import budget, facts, schedule, status, waiting
from perdure._kube.api.orchestration import API_VERSION, KIND
from perdure._kube.api.refusals import Refusal
from perdure._kube.client import Api
from perdure._kube.reach import Reach
from perdure._store.resources import Fact, News, Resources, TurnRow, Wrote
from perdure._store.store import Availability, retrying

__all__ = ["Look", "Projector", "Shown", "shown_turn", "to_facts"]

_log = structlog.get_logger(__name__)

_BATCH = 50
_WRITES_AT_ONCE = 32
_FRESH_SECONDS = 1.0
"""A fresh run is shown by the worker that takes it; only when none did in this time, the controller says why."""
_REFUSED_SECONDS = 30.0
"""After an answer that only somebody else can change (no right, a CRD of another release)."""
_REFUSAL_COUNTS_SECONDS = 3 * _REFUSED_SECONDS
"""So long a missing right is reported without being met again: what it was met with may be gone."""
_QUEUE_SECONDS = 30.0
"""How old the line before a queue may be in a status: other workers serve it, and tell only the owner of the end."""
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_CACHED = 1_000
_OF_CONTENT = frozenset({400, 413, 422})
"""Refusals of what a status says: too large, or not of the schema of the CRD that is installed."""


@dataclasses.dataclass(slots=True)
class Shown:
    """A history folded so far."""

    instance_id: str
    folded: projection.Projection = dataclasses.field(default_factory=projection.Projection)
    last: tuple[int, int] = (0, -1)


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What one look has read of a resource: the facts, and the turns that are not folded yet."""

    fact: Fact
    shown: Shown | None
    turns: list[TurnRow] = dataclasses.field(default_factory=list)

    def folded(self) -> projection.Projection:
        """Bring the projection up to the last turn. Raises when the history cannot be read.

        A run that waits for its encryption key is shown as what is known of it: that it waits, and for which key.
        """
        told = (self.fact.sealed, *(turn.sealed for turn in self.turns))
        sealed = [error for error in told if error is not None]
        if sealed and self.fact.hold_reason != lifecycle.PAYLOAD_SEALED:
            raise sealed[0]
        if self.shown is None:
            return projection.Projection()
        for row in self.turns:
            if row.sealed is not None:
                break
            projection.fold(self.shown.folded, history.decode_turn(row.at, row.body))
            self.shown.last = (row.execution, row.turn)
        return self.shown.folded


class Projector:
    """The calendar of what is to be shown, and the loop that shows it.

    `on_missing(uid, namespace, name)` is told when the API server has no such resource any more. Whoever has made it
    may set `on_written`, which is told which status stood there before and which does now.
    """

    def __init__(
        self,
        resources: Resources,
        api: Api,
        *,
        availability: Availability,
        reach: Reach,
        bucket: budget.TokenBucket,
        on_missing: Callable[[UUID, str, str], None],
    ) -> None:
        self._resources = resources
        self._api = api
        self._availability = availability
        self._reach = reach
        self._bucket = bucket
        self._on_missing = on_missing
        self._schedule = schedule.Schedule()
        self._cache: OrderedDict[UUID, Shown] = OrderedDict()
        self._wake = asyncio.Event()
        self._writing: set[asyncio.Task[None]] = set()
        self._written: list[Wrote] = []
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._not_before = 0.0
        self._forbidden: dict[str, tuple[float, str]] = {}
        self.cancel_grace_seconds = limits.CANCEL_GRACE_SECONDS
        self.on_written: Callable[[Fact, status.Status | None, status.Status], None] | None = None
        self.writes = 0
        self.unchanged = 0
        self.failures = 0
        self.budget_spent = 0

    @property
    def backlog(self) -> int:
        """How many resources wait to be looked at."""
        return len(self._schedule)

    def is_due(self) -> bool:
        """Whether a look is due that nothing outside holds up: not the API server, not an empty budget."""
        next_at = self._schedule.next_at()
        return next_at is not None and max(next_at, self._not_before) <= _now() and not self._bucket.next_in()

    @property
    def why_not_writing(self) -> str:
        """What the API server last said where it forbids to write statuses; empty while it forbids nothing."""
        since = _now() - _REFUSAL_COUNTS_SECONDS
        self._forbidden = {namespace: said for namespace, said in self._forbidden.items() if said[0] > since}
        return max(self._forbidden.values(), default=(0.0, ""))[1]

    def committed(self, commits: Sequence[Committed]) -> None:
        """Mark what a worker has committed."""
        for commit in commits:
            if commit.resource_uid is not None:
                self.mark(commit.resource_uid, is_urgent=commit.phase_changed)

    def ingested(self, news: Sequence[News]) -> None:
        """Mark what ingest has changed."""
        for one in news:
            if one.is_gone:
                self._cache.pop(one.uid, None)
            elif one.starts and not one.cancels:
                self.mark(one.uid, delay_seconds=_FRESH_SECONDS)
            else:
                self.mark(one.uid, is_urgent=True)

    def mark(self, uid: UUID, *, is_urgent: bool = False, delay_seconds: float = schedule.SOON_SECONDS) -> None:
        """Have the status of this resource looked at."""
        self._schedule.mark(uid, _now(), is_urgent=is_urgent, delay_seconds=delay_seconds)
        self._wake.set()

    async def sweep(self, namespaces: Sequence[str]) -> None:
        """Mark what the store says is not shown. Raises what the database raises."""
        page = await self._resources.stale(namespaces)
        while page:
            for uid in page:
                self.mark(uid)
            page = await self._resources.stale(namespaces, after=page[-1])

    async def run(self) -> None:
        """Show for ever; the way out is to cancel the task, which leaves what is not shown to the next sweep."""
        try:
            while True:
                await self._wait_due()
                await self._remember()
                free = _WRITES_AT_ONCE - len(self._writing)
                now = _now()
                if free > 0 and now >= self._not_before:
                    await self._look_at_due(now, at_most=min(_BATCH, free))
        finally:
            for task in self._writing:
                task.cancel()
            self._schedule.all_done()

    async def _wait_due(self) -> None:
        """Wait for a mark, the next due moment, or the end of a write."""
        self._wake.clear()
        if self._written:
            return
        next_at = self._schedule.next_at()
        if len(self._writing) >= _WRITES_AT_ONCE:
            next_at = None
        timeout = None if next_at is None else max(max(next_at, self._not_before) - _now(), self._bucket.next_in())
        if timeout is not None and timeout <= 0:
            return
        try:
            async with asyncio.timeout(timeout):  # not wait_for: that of 3.11 loses a cancel that comes with a wake-up
                await self._wake.wait()
        except TimeoutError:
            self._schedule.tidy(_now())

    async def _look_at_due(self, now: float, *, at_most: int) -> None:
        """Look at as many resources as may be written now."""
        unused = self._bucket.take_now(at_most)
        try:
            due = self._schedule.take(now, at_most=unused)
            next_at = self._schedule.next_at()
            self.budget_spent += len(due) == unused < at_most and next_at is not None and next_at <= now
            if due:
                unused -= await self._look(due)
        finally:
            self._bucket.give_back(unused)

    async def _look(self, uids: list[UUID]) -> int:
        """Build the statuses of these resources, and write those that say something new; give how many."""
        found, offers = await retrying(
            lambda: self._load(uids), doing="reading facts for statuses", availability=self._availability
        )
        for uid in set(uids) - {seen.fact.uid for seen in found}:
            self._cache.pop(uid, None)
            self._schedule.done(uid)
        written = sum(self._show(seen, offers) for seen in found)
        self._wake.set()
        return written

    def _show(self, seen: Look, offers: list[str]) -> bool:
        """Build one status, and begin to write it when it is new; tell whether it is."""
        fact, now = seen.fact, datetime.now(UTC)
        try:
            previous = None if fact.status is None else msgspec.json.decode(fact.status)
            known = to_facts(fact, seen.folded(), offers=offers, grace_seconds=self.cancel_grace_seconds)
            built = _built(fact, known, previous, now=now)
        except Exception:  # noqa: BLE001 - a border: a run that cannot be shown must not keep the others from being shown
            _log.exception("status cannot be built", resource=_name(fact))
            self.failures += 1
            self._cache.pop(fact.uid, None)
            self._schedule.done(fact.uid)
            return False
        if fact.phase in lifecycle.TERMINAL:
            self._cache.pop(fact.uid, None)
        self._look_again(fact, known, now=now)
        turn = shown_turn(fact, known)
        if built == previous and fact.status_resource_version is not None:
            self._remember_as_is(fact, built, turn=turn)
            return False
        task = asyncio.create_task(self._write(fact, built, previous=previous, turn=turn))
        self._writing.add(task)
        task.add_done_callback(self._write_ended)
        return True

    def _look_again(self, fact: Fact, known: facts.Facts, *, now: datetime) -> None:
        """Plan a look for what nobody will tell of: an attempt that becomes due, a queue that moves elsewhere."""
        if fact.phase in lifecycle.TERMINAL:
            return
        due = waiting.due_or_none(known)
        if due is not None:
            self.mark(fact.uid, delay_seconds=max(schedule.AGAIN_SECONDS, (due - now).total_seconds()))
        if waiting.is_told_by_nobody(known):
            self.mark(fact.uid, delay_seconds=_QUEUE_SECONDS)

    def _write_ended(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        self._wake.set()

    async def _load(self, uids: list[UUID]) -> tuple[list[Look], list[str]]:
        found = await self._resources.facts(uids)
        seen = await self._with_turns(found)
        needs_offers = any(fact.is_owned is False and fact.phase not in lifecycle.TERMINAL for fact in found)
        offers = await self._resources.offers() if needs_offers else []
        return seen, sorted({name for offered in offers for name in offered})

    async def _with_turns(self, found: list[Fact]) -> list[Look]:
        """Read what the cached projections of these runs lack."""
        seen = [Look(fact, self._cached(fact)) for fact in found]
        lacking = {
            one.shown.instance_id: one
            for one in seen
            if one.shown is not None and one.shown.last[1] < (one.fact.turn or 0) - 1
        }
        if lacking:
            known = {instance_id: one.shown.last for instance_id, one in lacking.items() if one.shown is not None}
            for row in await self._resources.turns(known):
                lacking[row.instance_id].turns.append(row)
        while len(self._cache) > max(_CACHED, len(found)):
            self._cache.popitem(last=False)
        return seen

    def _cached(self, fact: Fact) -> Shown | None:
        """Give the projection of a run, an empty one at first; None when there is no history."""
        if fact.instance_id is None or not fact.turn:
            return None
        shown = self._cache.get(fact.uid)
        if shown is None or shown.instance_id != fact.instance_id:
            shown = self._cache[fact.uid] = Shown(fact.instance_id)
        self._cache.move_to_end(fact.uid)
        return shown

    async def _write(
        self, fact: Fact, built: status.Status, *, previous: status.Status | None, turn: int | None
    ) -> None:
        """Write one status; whatever comes of it, the resource is looked at again when that is needed."""
        try:
            try:
                written = await self._send(fact, built)
            except errors.KubernetesPatchTestError:
                raise
            except errors.KubernetesApiError as error:
                if error.status not in _OF_CONTENT:
                    raise
                built = status.minimal(built, str(error))
                _log.warning("status refused, writing the least of it", resource=_name(fact), error=str(error))
                if built == previous and fact.status_resource_version is not None:
                    self._remember_as_is(fact, built, turn=turn)
                    return
                written = await self._send(fact, built)
        except errors.KubernetesPatchTestError:
            written = None  # another resource of that name: ours is gone
        except errors.KubernetesApiError as error:
            self._failed(fact, error)
            return
        self._reach.regained()
        self._forbidden.pop(fact.namespace, None)
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        if written is None:
            self._on_missing(fact.uid, fact.namespace, fact.name)
            self._schedule.done(fact.uid)
        else:
            self.writes += 1
            self._written.append(_wrote(fact, built, turn=turn, resource_version=_resource_version(written)))
            if self.on_written is not None:
                self.on_written(fact, previous, built)

    async def _send(self, fact: Fact, built: status.Status) -> Manifest | None:
        """Ask the API server to take a status; None when there is no resource of that name."""
        patch: list[JsonValue] = [
            {"op": "test", "path": "/metadata/uid", "value": str(fact.uid)},
            {"op": "add", "path": "/status", "value": built},
        ]
        return await self._api.json_patch(
            API_VERSION, KIND, name=fact.name, namespace=fact.namespace, patch=patch, subresource="status"
        )

    def _remember_as_is(self, fact: Fact, built: status.Status, *, turn: int | None) -> None:
        """What the resource shows is what there is to say; the store is told so when it does not know."""
        self.unchanged += 1
        is_known = (fact.status_turn, fact.status_phase, fact.status_generation) == (turn, fact.phase, fact.generation)
        if is_known and fact.phase not in lifecycle.TERMINAL:  # with a final one it learns when to delete the resource
            self._schedule.done(fact.uid)
            return
        self._written.append(_wrote(fact, built, turn=turn, resource_version=fact.status_resource_version or 0))

    def _failed(self, fact: Fact, error: errors.KubernetesApiError) -> None:
        """Plan another look: when the server is away, nothing is written for a while."""
        self.failures += 1
        delay_seconds = _REFUSED_SECONDS
        if isinstance(error, errors.KubernetesUnavailableError):
            self._reach.lost(error, "writing a status")
            delay_seconds = max(error.retry_after_seconds or 0.0, self._pause_seconds)
            if _now() >= self._not_before:
                self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
            self._not_before = max(self._not_before, _now() + delay_seconds)
        else:
            _log.error("status refused", resource=_name(fact), error=str(error))
            if isinstance(error, errors.KubernetesForbiddenError):
                self._forbidden[fact.namespace] = _now(), str(error)
        self._schedule.done(fact.uid)
        self.mark(fact.uid, delay_seconds=delay_seconds)

    async def _remember(self) -> None:
        """Tell the store what the API server took, before anybody looks at those resources again."""
        written, self._written = self._written, []
        if not written:
            return
        outdated = await retrying(
            lambda: self._resources.remember(written), doing="remembering statuses", availability=self._availability
        )
        for write in written:
            self._schedule.done(write.uid)
        for uid in outdated:
            self.mark(uid)


def _built(fact: Fact, known: facts.Facts, previous: status.Status | None, *, now: datetime) -> status.Status:
    """Give the status; that of a run whose rows are gone is what was shown last."""
    if fact.is_archived and fact.phase is None and previous is not None:
        return status.kept(previous, generation=fact.generation)
    return status.build(known, previous, now=now)


def to_facts(
    fact: Fact,
    folded: projection.Projection,
    *,
    offers: Sequence[str],
    grace_seconds: float = limits.CANCEL_GRACE_SECONDS,
) -> facts.Facts:
    """Say in the words of a status what the store knows; `offers` is what the live workers can run.

    `grace_seconds`: how long after a cancel a run is ended by force.
    """
    refusal = None if fact.refusal is None else msgspec.json.decode(fact.refusal, type=Refusal)
    if fact.instance_id is not None and fact.phase is None and not fact.is_archived:
        refusal = Refusal(
            "InstanceMissing",
            f"The run {fact.instance_id} is not in the database, or belongs to somebody else. Delete this resource and "
            "create it again to start another run.",
        )
    if fact.cancel_reason is not None and folded.cancel_reason is None:
        folded = dataclasses.replace(folded, cancel_reason=fact.cancel_reason)
    return facts.Facts(
        generation=fact.generation,
        refusal=refusal,
        instance=_instance(fact),
        projection=folded,
        retries=[facts.Retry(*dataclasses.astuple(retry)) for retry in fact.retries],
        unrunnable=_unrunnable(fact, offers),
        wishes=facts.Wishes(
            waiting=fact.waiting,
            is_custom=fact.ready_when == "Custom",
            lacks_finalizer=fact.wants_finalizer and not fact.has_finalizer,
            is_kept=fact.deleting and fact.has_finalizer,
            forced_at=folded.cancelled_at and folded.cancelled_at + timedelta(seconds=grace_seconds),
        ),
    )


def shown_turn(fact: Fact, known: facts.Facts) -> int | None:
    """Give the turn that a status shows until the next one; None when it says what the store does not tell the end of.

    That no worker is there ends when one joins, which is no turn: such a status lags, and the next sweep looks again.
    """
    return None if known.unrunnable is not None else fact.turn


def _instance(fact: Fact) -> facts.Instance | None:
    if fact.instance_id is None or fact.phase is None or fact.created_at is None:
        return None
    return facts.Instance(
        instance_id=fact.instance_id,
        name=fact.orchestration or "",
        version=fact.version or "",
        phase=fact.phase,
        execution=fact.execution or 1,
        hold_reason=fact.hold_reason or "",
        output=fact.output,
        error=fact.error,
        created_at=fact.created_at,
        started_at=fact.started_at,
        finished_at=fact.finished_at,
        suspend_reason=fact.suspend_reason or "",
    )


def _unrunnable(fact: Fact, offers: Sequence[str]) -> facts.Unrunnable | None:
    """Say that nobody can run this, if so: nobody owns it, and no live worker offers it."""
    if fact.is_owned is not False or fact.phase in lifecycle.TERMINAL or fact.orchestration is None:
        return None
    wanted = f"{fact.orchestration}@{fact.version or ''}"
    if any(offer == wanted or (not fact.version and offer.startswith(wanted)) for offer in offers):
        return None
    return facts.Unrunnable(fact.orchestration, fact.version or "", tuple(offers))


def _name(fact: Fact) -> str:
    return f"{fact.namespace}/{fact.name}"


def _wrote(fact: Fact, built: status.Status, *, turn: int | None, resource_version: int) -> Wrote:
    return Wrote(
        uid=fact.uid,
        status=msgspec.json.encode(built),
        turn=turn,
        phase=fact.phase,
        generation=fact.generation,
        resource_version=resource_version,
        is_final=(fact.phase in lifecycle.TERMINAL or fact.is_archived) and not fact.waiting,
        seen_resource_version=fact.status_resource_version,
    )


def _resource_version(manifest: Manifest) -> int:
    metadata = manifest.get("metadata")
    return int(str(metadata["resourceVersion"])) if isinstance(metadata, dict) else 0


def _now() -> float:
    return asyncio.get_running_loop().time()

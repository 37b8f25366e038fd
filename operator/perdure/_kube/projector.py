"""Shows runs in the status of their resources: the newest turn, soon, and with as few writes as that takes.

It knows what is to be looked at and what was written; reading is `looks`, writing `status_writer`. It must not know how
a run works or who owns it. Every role has a projector: a worker's shows what its worker commits, a controller's what
ingest changed and what nobody owns.

Theory of operation. Marks come from commits and from ingest (`schedule.py` says when each is due). A look reads the
facts of up to fifty due resources at once, builds each status and compares it with the one in the store: equal ones are
not written. Nothing is looked at before it may be written (the bucket), so that what is written is what was just read.
A status that is refused for what it says is written with the least of it, so that no resource is stuck. What the API
server took is remembered with its resource version; when two processes wrote the same resource, the store knows which
write the server holds, the other is looked at again. So memory may be lost at any moment: `sweep` finds what the store
says is not shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import structlog

from perdure._core import lifecycle, limits
from perdure._engine.worker import Committed
from perdure._kube import facts, looks, schedule, status, waiting
from perdure._kube.api import base
from perdure._kube.api.orchestration import KIND
from perdure._kube.status_writer import REFUSED_SECONDS, Away, Gone, OnWritten, Refused, StatusWriter, Taken
from perdure._store.resources import Fact, News, Resources, Wrote
from perdure._store.store import Availability, retrying

__all__ = ["Projector"]

_log = structlog.get_logger(__name__)

_BATCH = 50
_WRITES_AT_ONCE = 32
_FRESH_SECONDS = 1.0
"""A fresh run is shown by the worker that takes it; only when none did in this time, the controller says why."""
_QUEUE_SECONDS = 30.0
"""How old the line before a queue may be in a status: other workers serve it, and tell only the owner of the end."""


class Projector:
    """The calendar of what is to be shown, and the loop that shows it.

    `on_missing(uid, namespace, name)` is told when the API server has no such resource any more. Whoever has made it
    may set `on_written`, which is told which status stood there before and which does now.
    """

    def __init__(
        self,
        resources: Resources,
        writer: StatusWriter,
        *,
        availability: Availability,
        on_missing: Callable[[UUID, str, str], None],
    ) -> None:
        self._resources = resources
        self._looks = looks.Looks(resources)
        self._writer = writer
        self._bucket = writer.bucket
        self._availability = availability
        self._on_missing = on_missing
        self._schedule = schedule.Schedule()
        self._wake = asyncio.Event()
        self._writing: set[asyncio.Task[None]] = set()
        self._written: list[Wrote] = []
        self.cancel_grace_seconds = limits.CANCEL_GRACE_SECONDS
        self.on_written: OnWritten | None = None
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
        is_held_up = self._writer.away_seconds or self._bucket.next_in()
        return next_at is not None and next_at <= _now() and not is_held_up

    def committed(self, commits: Sequence[Committed]) -> None:
        """Mark what a worker has committed."""
        for commit in commits:
            if commit.resource_uid is not None:
                self.mark(commit.resource_uid, is_urgent=commit.phase_changed)

    def ingested(self, news: Sequence[News]) -> None:
        """Mark what ingest has changed."""
        for one in news:
            if one.is_gone:
                self._looks.forget(one.uid)
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
                if free > 0 and not self._writer.away_seconds:
                    await self._look_at_due(_now(), at_most=min(_BATCH, free))
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
        held_up = max(self._writer.away_seconds, self._bucket.next_in())
        timeout = None if next_at is None else max(next_at - _now(), held_up)
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
            lambda: self._looks.load(uids), doing="reading facts for statuses", availability=self._availability
        )
        for uid in set(uids) - {seen.fact.uid for seen in found}:
            self._looks.forget(uid)
            self._schedule.done(uid)
        written = sum(self._show(seen, offers) for seen in found)
        self._wake.set()
        return written

    def _show(self, seen: looks.Look, offers: list[str]) -> bool:
        """Build one status, and begin to write it when it is new; tell whether it is."""
        fact, now = seen.fact, datetime.now(UTC)
        try:
            previous = None if fact.status is None else msgspec.json.decode(fact.status)
            known = looks.to_facts(fact, seen.folded(), offers=offers, grace_seconds=self.cancel_grace_seconds)
            full = _built(fact, known, previous, now=now)
            built = self._acceptable(fact, full)
        except Exception:  # noqa: BLE001 - a border: a run that cannot be shown must not keep the others from being shown
            _log.exception("status cannot be built", resource=_name(fact))
            self.failures += 1
            self._looks.forget(fact.uid)
            self._schedule.done(fact.uid)
            return False
        if fact.phase in lifecycle.TERMINAL:
            self._looks.forget(fact.uid)
        self._look_again(fact, known, now=now)
        turn = looks.shown_turn(fact, known)
        if built == previous and fact.status_resource_version is not None:
            self._remember_as_is(fact, built, turn=turn)
            return False
        task = asyncio.create_task(self._write(fact, full, previous=previous, turn=turn))
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

    def _acceptable(self, fact: Fact, full: status.Status) -> status.Status:
        """Give a status as the API server may take it: the least of it where it has refused to take all of it."""
        refusal = self._writer.refusal_or_none(fact.uid, full)
        return full if refusal is None else status.minimal(full, str(refusal))

    async def _write(
        self, fact: Fact, full: status.Status, *, previous: status.Status | None, turn: int | None
    ) -> None:
        """Write one status; whatever comes of it, the resource is looked at again when that is needed."""
        about = base.Reference(KIND, fact.namespace, fact.name, fact.uid)
        built = self._acceptable(fact, full)
        outcome = await self._writer.write(about, built)
        if built is full and isinstance(outcome, Refused) and outcome.is_of_content:
            built = self._acceptable(fact, full)
            if built == previous and fact.status_resource_version is not None:
                self._remember_as_is(fact, built, turn=turn)
                return
            _log.warning("status refused, writing the least of it", resource=_name(fact))
            outcome = await self._writer.write(about, built)
        match outcome:
            case Taken(resource_version=version):
                self.writes += 1
                self._written.append(_wrote(fact, built, turn=turn, resource_version=version))
                if self.on_written is not None:
                    self.on_written(about, previous, built)
            case Gone():
                self._on_missing(fact.uid, fact.namespace, fact.name)
                self._schedule.done(fact.uid)
            case Away(seconds=seconds):
                self._failed(fact, seconds)
            case Refused():
                self._failed(fact, REFUSED_SECONDS)

    def _failed(self, fact: Fact, delay_seconds: float) -> None:
        """Plan another look."""
        self.failures += 1
        self._schedule.done(fact.uid)
        self.mark(fact.uid, delay_seconds=delay_seconds)

    def _remember_as_is(self, fact: Fact, built: status.Status, *, turn: int | None) -> None:
        """What the resource shows is what there is to say; the store is told so when it does not know."""
        self.unchanged += 1
        is_known = (fact.status_turn, fact.status_phase, fact.status_generation) == (turn, fact.phase, fact.generation)
        if is_known and fact.phase not in lifecycle.TERMINAL:  # with a final one it learns when to delete the resource
            self._schedule.done(fact.uid)
            return
        self._written.append(_wrote(fact, built, turn=turn, resource_version=fact.status_resource_version or 0))

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


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Follows all schedules of this operator: decides what is due, and has done what was decided.

It knows the order of the steps and how to wait; what a tick means is `deciding`, what is sent to the API server is
`hands`. It must not know the machine's clock: the database says how long there is nothing to do (I7).

Theory of operation. One query tells what there is to do for all schedules together, and when the next one is due; a
quiet time costs that query twice a minute, and once in five when no schedule will ever be due. What is due is decided
and written down before anything is done for it, then done, then shown, each step from what the store says: a crash
anywhere leaves a state from which the next look goes on. Any number of keepers may run: whoever is slower finds it
done.

A schedule for which the API server refuses something is left alone for a while, and keeps no other from its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog

from perdure import errors
from perdure._kube import ingest, metrics
from perdure._kube.api import orchestration_schedule
from perdure._kube.api.refusals import Refusal
from perdure._kube.client import Api
from perdure._kube.kinds import Kind
from perdure._kube.reach import Reach
from perdure._kube.schedules import deciding, intake, runs
from perdure._kube.schedules.hands import Hands
from perdure._kube.status_writer import Away, Gone, Refused, StatusWriter
from perdure._store.schedules import Decided, Due, Facts, Look, Schedules
from perdure._store.store import Store, is_transient, retrying

__all__ = ["Keeper"]

_log = structlog.get_logger(__name__)

_POLL_SECONDS = 5.0
"""So late is found, at worst, that a run has ended."""
_QUIET_POLL_SECONDS = 30.0
"""The same while no run is open: then only another controller could have begun something, or left it undone."""
_IDLE_POLL_SECONDS = 300.0
"""The same while no schedule will be due either: there is none, or it is suspended. Intake tells of the next one."""
_LOST_SECONDS = 60.0
_REFUSED_SECONDS = 30.0
"""After an answer that only somebody else can change."""
_AT_ONCE = 16
_BROKEN_MINUTES = 5

T = TypeVar("T")


class Keeper:
    """The loop of all schedules, and the intake of their resources."""

    def __init__(
        self, store: Store, api: Api, *, reach: Reach, writer: StatusWriter, namespaces: Sequence[str]
    ) -> None:
        self._schedules = Schedules(store.pool)
        self._hands = Hands(self._schedules, api, writer=writer)
        self._reach = reach
        self._availability = store.availability
        self._namespaces = list(namespaces)
        self._queue = ingest.Ingest(
            self._schedules, availability=store.availability, on_news=lambda _: self._wake.set()
        )
        self._wake = asyncio.Event()
        self._left_alone: dict[tuple[str, UUID], float] = {}
        self._away_until = 0.0
        self.failures = 0

    def kind(self) -> Kind:
        """Give the kind that is followed, with the loops that it takes."""
        return Kind(
            orchestration_schedule.KIND,
            orchestration_schedule.PLURAL,
            intake.Intake(self._queue, self._schedules),
            loops=[("ingest schedules", self._queue.run), ("schedules", self.run)],
        )

    async def run(self) -> None:
        """Follow the schedules for ever; the way out is to cancel the task."""
        while True:
            self._wake.clear()
            look = await self._patiently(
                lambda: self._schedules.look(self._namespaces, lost_after_seconds=_LOST_SECONDS),
                doing="looking for schedules that are due",
            )
            if not await self._work(look):
                await self._rest(look)

    async def _work(self, look: Look) -> bool:
        """Do what there is to do; tell whether something came of it, so that another look is worth while."""
        came_of_it = False
        if look.due_in_seconds is not None and look.due_in_seconds <= 0:
            came_of_it |= await self._decide()
        if look.has_uncreated:
            came_of_it |= await self._create()
        if look.has_ended:
            await self._patiently(lambda: self._schedules.ended(self._namespaces), doing="noting how runs have ended")
            came_of_it = True
        if look.has_lost:
            await self._look_for_lost()
        if look.has_unshown and not came_of_it:  # to show is what can wait, and what is done meanwhile is one write
            came_of_it = await self._show()
        return came_of_it

    async def _rest(self, look: Look) -> None:
        """Wait until something is due or taken in, and not for ever."""
        is_quiet = not (look.has_open or look.has_uncreated or look.has_unshown)
        seconds = _QUIET_POLL_SECONDS if is_quiet else _POLL_SECONDS
        if look.due_in_seconds is None:
            seconds = _IDLE_POLL_SECONDS if is_quiet else seconds
        elif look.due_in_seconds > 0:
            seconds = min(seconds, look.due_in_seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _decide(self) -> bool:
        """Decide about the ticks that are due."""
        due = await self._patiently(
            lambda: self._schedules.due(self._namespaces), doing="reading schedules that are due"
        )
        decisions = [_decided(one) for one in due]
        if decisions:
            ours = await self._patiently(lambda: self._schedules.decide(decisions), doing="writing down decisions")
            self._hands.missed += sum(one.missed.count for one in decisions if one.missed and one.due.uid in ours)
        return bool(decisions)

    async def _create(self) -> bool:
        """Have created what was decided."""
        alone = self._alone("create")
        found = await self._patiently(
            lambda: self._schedules.uncreated(self._namespaces, without=alone), doing="reading ticks that are to be run"
        )
        return await self._each("create", [(tick.schedule_uid, partial(self._hands.create, tick)) for tick in found])

    async def _look_for_lost(self) -> None:
        found = await self._patiently(
            lambda: self._schedules.lost(self._namespaces, after_seconds=_LOST_SECONDS),
            doing="reading ticks whose Orchestration nobody saw",
        )
        for one in found:
            await self._guarded("find", one.schedule_uid, partial(self._hands.look_for, one))

    async def _show(self) -> bool:
        """Tidy up and show what has changed."""
        alone = self._alone("show")
        found = await self._patiently(
            lambda: self._schedules.facts(self._namespaces, without=alone), doing="reading facts of schedules"
        )
        return await self._each("show", [(facts.uid, partial(self._show_one, facts)) for facts in found])

    async def _show_one(self, facts: Facts) -> bool:
        """Tidy up and show one; False when that is refused."""
        await self._hands.tidy(facts)
        outcome = await self._hands.show(facts)
        match outcome:
            case Gone():
                self._queue.add(intake.gone(facts.uid, namespace=facts.namespace, name=facts.name))
            case Away(error=error):
                raise error
            case Refused():
                self.failures += 1
            case _:
                pass
        return not isinstance(outcome, Refused)

    async def _each(self, doing: str, works: Sequence[tuple[UUID, Callable[[], Awaitable[bool]]]]) -> bool:
        """Do this for each schedule, some at a time; tell whether something came of it."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(uid: UUID, work: Callable[[], Awaitable[bool]]) -> bool:
            async with limit:
                return bool(await self._guarded(doing, uid, work))

        return any(await asyncio.gather(*(one(*work) for work in works)))

    async def _guarded(self, doing: str, uid: UUID, work: Callable[[], Awaitable[T]]) -> T | None:
        """Do this for one schedule, unless it is left alone; what goes wrong is its own trouble alone."""
        key = doing, uid
        if self._left_alone.get(key, 0.0) > _now() or self._away_until > _now():
            return None
        try:
            result = await work()
        except errors.KubernetesUnavailableError as error:
            self._reach.lost(error, "seeing to schedules")
            self._away_until = _now() + max(error.retry_after_seconds or 0.0, 1.0)
        except errors.KubernetesApiError as error:
            self._leave_alone(key, error)
        except Exception as error:  # noqa: BLE001 - a border: whatever it is, the schedules of others go on
            if is_transient(error):
                self._availability.lost(error, "seeing to schedules")
            else:
                self._leave_alone(key, error)
        else:
            self._reach.regained()
            if result is False:
                self._left_alone[key] = _now() + _REFUSED_SECONDS
            return result
        return None

    def _leave_alone(self, key: tuple[str, UUID], error: Exception) -> None:
        self.failures += 1
        self._left_alone[key] = _now() + _REFUSED_SECONDS
        doing, uid = key
        _log.error(
            "schedule left alone for a while", doing=doing, uid=str(uid), error=f"{type(error).__name__}: {error}"
        )

    def _alone(self, doing: str) -> list[UUID]:
        """Name the schedules that are left alone with this."""
        now = _now()
        self._left_alone = {key: until for key, until in self._left_alone.items() if until > now}
        return [uid for name, uid in self._left_alone if name == doing]

    async def _patiently(self, operation: Callable[[], Awaitable[T]], *, doing: str) -> T:
        return await retrying(operation, doing=doing, availability=self._availability)

    def readings(self) -> Iterator[metrics.Reading]:
        """Give what is counted here."""
        yield "schedule_runs_total", "Orchestrations created for ticks of schedules.", self._hands.created
        yield "schedule_missed_total", "Ticks of schedules that were not run.", self._hands.missed
        yield "schedule_failures_total", "Schedules that were left alone for a while after an error.", self.failures


def _decided(due: Due) -> Decided:
    """Decide about one schedule. One that cannot be decided about is looked at again after a while."""
    try:
        plan = deciding.plan(due.uid, json.loads(due.spec))
        if isinstance(plan, Refusal):
            return Decided(due, due.decided_until, None)
        decision = deciding.decide(plan, deciding.Standing(due.decided_until, due.now, due.unfinished))
    except Exception:  # noqa: BLE001 - a border: one schedule's fault must not keep the others from being run
        _log.exception("schedule cannot be decided about", schedule=f"{due.namespace}/{due.name}")
        return Decided(due, due.decided_until, due.now + datetime.timedelta(minutes=_BROKEN_MINUTES))
    run = [(tick, runs.name_of(due.name, tick)) for tick in decision.run]
    return Decided(due, decision.decided_until, decision.next_at, run, decision.missed)


def _now() -> float:
    return asyncio.get_running_loop().time()

"""One life of a worker: everything wired together under one worker id, from the lease to the last release.

Theory of operation. A life holds a lease, claims instances, takes turns, commits and runs activities until it is asked
to stop or finds that it was taken for dead. Effects (activities, timers, log lines, news for clients) happen in
`_committed` and nowhere else: after the commit of the turn that asked for them (I2). Whatever a life has in memory may
be dropped at any line; the database has it all.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import uuid
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING

import structlog

from perdure import errors
from perdure._core import definition, history, limits
from perdure._engine.activities import Known
from perdure._engine.announcing import Announcer
from perdure._engine.claimer import Claimer, Loaded
from perdure._engine.clock import Clock
from perdure._engine.committer import Committer
from perdure._engine.deadlines import Deadlines
from perdure._engine.departures import Departures
from perdure._engine.holds import Holds
from perdure._engine.housekeeping import keep_house
from perdure._engine.lease import WAKE_CHANNEL, Lease
from perdure._engine.ledger import Ledger
from perdure._engine.resident import Resident
from perdure._engine.timers import Timers
from perdure._engine.trials import TurnTrials
from perdure._engine.turn import TakenTurn
from perdure._engine.watchdog import Watchdog
from perdure._engine.workshop import Workshop

if TYPE_CHECKING:
    from perdure._engine.worker import Worker

__all__ = ["Life"]

_log = structlog.get_logger(__name__)
_MOMENT_SECONDS = 0.2
_DRAIN_SECONDS = 1.0
_LEASE_SHARE = 1 / 3
"""After this part of a lease the code of an instance is interrupted: in time for the next heartbeat."""


class Life:
    """A worker under one id."""

    def __init__(self, worker: Worker) -> None:
        """Wire everything together; nothing runs yet."""
        self.worker = worker
        self.worker_id = uuid.uuid4()
        self.residents: dict[str, Resident] = {}
        settings, store = worker.settings, worker.store
        self.clock = Clock(asyncio.get_running_loop().time)
        self.timers = Timers(self.clock, self._deliver)
        share = settings.lease_seconds * _LEASE_SHARE
        self.watchdog = Watchdog(min(limits.TURN_SECONDS, share), at_most_seconds=2 * share)
        self.announcer = Announcer(store, nudge=self.nudge, on_commit=worker.on_commit)
        self.ledger = Ledger(
            store, self.worker_id, on_changed=lambda resident: self.announcer.show(resident, phase_changed=False)
        )
        self.turn_trials = TurnTrials(self.ledger.try_turns)
        self.activities = self._make_workshop()
        self.departures = Departures(
            store,
            self.clock,
            self.worker_id,
            residents=self.residents,
            evict=self._evict,
            on_left=self.announcer.sent,
        )
        self.claimer = Claimer(
            store,
            worker.orchestrations,
            self.worker_id,
            residents=self.residents,
            max_instances=settings.max_instances,
            poll_seconds=settings.poll_seconds,
        )
        self.committer = self._make_committer()
        self._wire_claimer()
        self.departures.doubt = self.claimer.doubts.note
        self.departures.on_held, self.departures.on_lost = self._held, self._lost
        self.lease = Lease(
            store,
            self.clock,
            self.worker_id,
            seconds=settings.lease_seconds,
            offers=(definition.describe(worker.orchestrations), list(settings.queues), settings.has_cluster),
            wake=self.nudge,
        )
        self.deadlines = Deadlines(store, on_passed=self._deadlines_passed, on_ended=worker.on_commit)
        self.lease.on_deadline = self.deadlines.expect
        self.holds = Holds(store, worker.orchestrations, nudge=self.nudge)
        self.lease.on_reaped = self.holds.other_died
        self.lease.measures = worker.measures
        self._claiming: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def _make_workshop(self) -> Workshop:
        return Workshop(
            self.worker,
            self.clock,
            ledger=self.ledger,
            deliver=self._deliver,
            quiet=self.turn_trials.quiet,
            is_certain=lambda: self.lease.is_certain,
        )

    def _wire_claimer(self) -> None:
        claimer = self.claimer
        claimer.watchdog, claimer.trials = self.watchdog, self.turn_trials
        claimer.on_claimed = self.activities.took_over
        claimer.on_loaded = self._take_up
        claimer.on_news = self.committer.mark
        claimer.hasten = self.activities.own.hasten
        claimer.on_paused = self._paused
        claimer.on_resumed = self._resumed
        claimer.hold = self.departures.hold
        claimer.release = self.departures.release
        claimer.leaving = self.departures.under_way
        claimer.evict = self._evict

    def _make_committer(self) -> Committer:
        worker = self.worker
        committer = Committer(
            worker.store,
            self.clock,
            self.worker_id,
            registry=worker.orchestrations,
            keep_executions=worker.settings.keep_executions,
        )
        committer.watchdog, committer.trials = self.watchdog, self.turn_trials
        committer.measures = worker.measures
        committer.on_committed = self._committed
        committer.on_lost = self._lost
        committer.departures = self.departures
        committer.on_unread = self.claimer.nudge
        return committer

    @property
    def running_activities(self) -> int:
        """How many activities are on their way here, for its own instances or for a queue."""
        return self.activities.running_count

    def nudge(self) -> None:
        """There may be work: look at once."""
        self.claimer.nudge()
        self.activities.queued.nudge()

    # Life and death.

    async def run(self, stop: asyncio.Event) -> None:
        """Live until `stop` (then give everything back) or until the lease is lost."""
        loops: list[Coroutine[object, object, object]] = [self.lease.run(), self._work(), stop.wait()]
        tasks = [asyncio.create_task(loop) for loop in loops]
        if self.worker.settings.is_watched:
            self.watchdog.begin()
        try:
            await self._live(tasks, stop)
        finally:
            await _end(tasks)
            self.timers.close()
            self.activities.interrupt()
            if not stop.is_set():
                await self.activities.settle(self.worker.settings.shutdown_grace_seconds)
            self.activities.close()
            for resident in list(self.residents.values()):
                self._evict(resident)
            self.watchdog.end()

    async def _live(self, tasks: Sequence[asyncio.Task[object]], stop: asyncio.Event) -> None:
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if stop.is_set():
                await self._give_back(tasks[0])

    async def _work(self) -> None:
        """Claim and commit for ever, once the lease is there."""
        await self.lease.registered.wait()
        if self._is_stopping:
            return
        async with asyncio.TaskGroup() as group:
            beginning = (self.claimer.run(), self.activities.queued.run(), self.activities.trials.run())
            self._claiming = [group.create_task(loop) for loop in beginning]
            for loop in (
                self.committer.run(),
                self.announcer.run(),
                self.departures.run(),
                self.deadlines.run(),
                self.holds.run(),
                keep_house(self.worker.store, retention_seconds=self.worker.settings.retention_seconds),
            ):
                group.create_task(loop)

    async def _give_back(self, leasing: asyncio.Task[object]) -> None:
        """Give everything back while the lease still stands, so that peers go on at once.

        First nothing new is begun, and results that are here already are committed. Then all goes back but those whose
        activities are still cleaning up; these get their grace. Bounded: a database that is away must not keep the
        process; the lease then ends by itself.
        """
        self._is_stopping = True
        await _end(self._claiming)
        self.timers.close()
        self.activities.interrupt()
        count = len(self.residents)
        try:
            async with asyncio.timeout(self.worker.settings.lease_seconds):
                await self.activities.settle(_MOMENT_SECONDS)
                await self.activities.give_back(all_of_them=False)
                await self._drain()
                await self.activities.trials.acquit()
                await self.departures.release_owned(but=[item for item in self.residents.values() if item.is_working])
                if self.residents or self.activities.queued.running_count:
                    await self.worker.store.fetch_patiently("notify", WAKE_CHANNEL)
                    await self.activities.settle(self.worker.settings.shutdown_grace_seconds)
                    await self.activities.give_back(all_of_them=True)
                    await self._drain()
                    await self.departures.release_owned(but=())
                await _end([leasing])
                await self.worker.store.leave(self.worker_id)
                await self.worker.store.fetch_patiently("notify", WAKE_CHANNEL)
                await self._leave_holds()
        except TimeoutError:
            _log.warning("could not give instances back: the database is away; peers take over when the lease ends")
        else:
            _log.info("gave instances back", instances=count)

    async def _leave_holds(self) -> None:
        """Have others try what was perhaps held here after the right code came; not for long, its row may be locked."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self.holds.try_again()
                await self.worker.store.fetch_patiently("notify", WAKE_CHANNEL)

    async def _drain(self) -> None:
        """Let the results that are in memory be committed: what has been done need not be done again elsewhere."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self.committer.drained()

    def _deadlines_passed(self) -> None:
        """Instances have messages, for whoever owns them, or have ended."""
        self.nudge()
        self.announcer.sent()
        self.announcer.finished()

    def _lost(self, resident: Resident) -> None:
        """A turn was refused: somebody else owns the instance now. If that should be us, it is found and given back.

        If it is nobody, it may have something to do.
        """
        self._evict(resident)
        self.claimer.doubts.note()
        self.claimer.nudge()

    def _evict(self, resident: Resident) -> None:
        """Forget an instance; its truth is in the database."""
        resident.is_gone = True
        self.activities.own.cancel_all(resident)
        try:  # its `finally` blocks run, and may never end
            self.watchdog.step(resident.instance_id, resident.execution.close)
        except errors.TurnTooLongError as error:
            _log.warning("code that was put away did not end", instance=resident.instance_id, error=str(error))
        if self.residents.get(resident.instance_id) is resident:
            del self.residents[resident.instance_id]

    # What comes in.

    def _deliver(self, resident: Resident, event: history.Event) -> None:
        if not resident.is_gone:
            resident.events.append(event)
            self.committer.mark(resident)
            self.departures.leave_if_suspended(resident)

    async def _take_up(self, loaded: list[Loaded]) -> None:
        """Go on where the last owner stopped: timers, activities without a result, first turns."""
        await self._resume_held([item.resident for item in loaded if item.resident.phase == "Suspended"])
        losses = await self.ledger.count_losses([item for item in loaded if item.is_suspect])
        for resident, known in ((item.resident, item.known) for item in loaded):
            execution = resident.execution
            for seq, operation in list(execution.pending.items()):
                if seq not in resident.results:
                    self.timers.expect(resident, operation)
            for operation in resident.to_run:
                seq = operation.command.seq
                row = known.get(seq)
                counted = losses.get((resident.instance_id, seq))
                if counted is not None:
                    row = dataclasses.replace(row or Known(0, 0, self.clock.now()), losses=counted)
                self.activities.own.start(resident, operation, known=row, is_found=True)
            resident.over_tasks += [seq for seq in known if seq in resident.results]
            if execution.cancelled_at is not None:
                self._set_grace(resident)
            if resident.has_news:
                self.committer.mark(resident)
            elif resident.turn:
                # No turn may come for long, and while nobody owned it, its status may have said so.
                self.announcer.show(resident, phase_changed=False)

    async def _resume_held(self, residents: Sequence[Resident]) -> None:
        """Take instances off hold whose replay went through: the code fits their history again."""
        if not residents:
            return
        ids = [resident.instance_id for resident in residents]
        await self.worker.store.fetch_patiently("resume_held", self.worker_id, ids)
        for resident in residents:
            resident.phase = "Running"
            self.announcer.show(resident, phase_changed=True)

    # What goes out, after the commit.

    def _committed(self, turn: TakenTurn) -> None:
        """The turn stands: now its effects may happen (I2)."""
        resident, worker = turn.resident, self.worker
        worker.turns_committed += 1
        worker.commits = self.committer.commits
        self._count(turn)
        for trace in turn.turned.traces:
            getattr(_log, trace.level)(
                trace.message, instance=resident.instance_id, orchestration=resident.execution.definition.name
            )
        resident.forgettable.update(turn.messages)
        is_paused = resident.is_suspended and not turn.is_last
        phase, resident.phase = resident.phase, "Suspended" if is_paused else turn.phase
        self.announcer.show(resident, phase_changed=phase != resident.phase)
        if turn.starts or turn.sent or turn.queued:
            self.announcer.sent()
        if turn.is_last:
            if len(self.residents) >= worker.settings.max_instances:
                self.claimer.nudge()  # there is room again
            self._evict(resident)
            worker.tell_finished(resident.instance_id)
            self.announcer.finished()
            return
        if turn.continues is not None:
            self._continue_as_new(turn, turn.continues)
        elif not (self._is_stopping or resident.is_gone):  # else the next owner finds it pending
            for command in turn.turned.commands:
                self._carry_out(resident, command)
            if any(isinstance(event, history.CancelRequested) for event in turn.events):
                self._set_grace(resident)
        if resident.has_news:
            self.committer.mark(resident)
        self.departures.leave_if_suspended(resident)

    def _count(self, turn: TakenTurn) -> None:
        """Count what begins with this turn, and what ends."""
        resident, measures = turn.resident, self.worker.measures
        name = resident.execution.definition.name
        if resident.turn == 1:
            measures.started[name] += 1
            if resident.created_at is not None:
                measures.start_latency.observe((turn.at - resident.created_at).total_seconds())
        if turn.is_last:
            measures.ended[name, turn.phase] += 1

    def _carry_out(self, resident: Resident, command: history.Command) -> None:
        match command:
            case history.ScheduleActivity(seq=seq, queue=queue):
                if operation := resident.execution.pending.get(seq):
                    if queue:
                        self.timers.expect(resident, operation)
                    elif not resident.is_suspended:  # else when it is resumed
                        self.activities.own.start(resident, operation)
            case history.CreateTimer(seq=seq):
                if operation := resident.execution.pending.get(seq):
                    self.timers.expect(resident, operation)
            case history.CancelActivity(seq=seq):
                self.activities.own.cancel(resident, seq)
            case _:
                return

    def _continue_as_new(self, turn: TakenTurn, continues: history.ContinueAsNew) -> None:
        """Begin the next execution, here or, when its version is not offered here, wherever it is."""
        resident, chosen = turn.resident, turn.next_definition
        self.activities.own.cancel_all(resident)
        if chosen is None:
            self.departures.leave(resident)
            return
        started = history.OrchestrationStarted(chosen.name, chosen.version, continues.input, history.PROTOCOL)
        execution = resident.execution.identity.execution + 1
        resident.begin_execution(chosen, execution, events=[started, *continues.carried])

    # What is told of a resident.

    def _paused(self, resident: Resident) -> None:
        resident.phase = "Suspended"
        self.announcer.show(resident, phase_changed=True)
        self.departures.leave_if_suspended(resident)

    def _resumed(self, resident: Resident) -> None:
        """Go on with one that had not left yet: what its last turn asked for begins now."""
        resident.phase = "Running"
        self.announcer.show(resident, phase_changed=True)
        if resident.is_in_flight:
            return  # what it asks for may not begin yet, and does when it is committed
        for operation in resident.to_run:
            if operation.command.seq not in resident.jobs:
                self.activities.own.start(resident, operation)
        self.committer.mark(resident)

    def _set_grace(self, resident: Resident) -> None:
        cancelled_at = resident.execution.cancelled_at
        if cancelled_at is not None:
            grace = datetime.timedelta(seconds=self.worker.settings.cancel_grace_seconds)
            self.timers.add(cancelled_at + grace, resident, event=history.GraceEnded())

    def _held(self, resident: Resident) -> None:
        resident.phase = "Suspended"
        self.announcer.show(resident, phase_changed=True)
        self._evict(resident)


async def _end(tasks: Sequence[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

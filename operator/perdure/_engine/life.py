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
import os
import socket
import uuid
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING

import structlog

from perdure import errors
from perdure._core import definition, failure, history, limits
from perdure._core.replay import Operation
from perdure._engine.activities import (
    ActivityRunner,
    FailedAttempt,
    Known,
    LocalJob,
    detail_columns,
    failure_columns,
)
from perdure._engine.announcing import Announcer
from perdure._engine.attempts import Attempts, Capacity, Job, out_of_time
from perdure._engine.claimer import Claimer, Loaded, offered
from perdure._engine.clock import Clock
from perdure._engine.committer import Committer
from perdure._engine.deadlines import Deadlines
from perdure._engine.departures import Departures
from perdure._engine.housekeeping import keep_house
from perdure._engine.lease import WAKE_CHANNEL, Lease
from perdure._engine.queued import QueuedJob, QueueRunner
from perdure._engine.resident import Resident, due_or_none
from perdure._engine.timers import Timers
from perdure._engine.trials import ActivityTrials, TurnTrials
from perdure._engine.turn import TakenTurn
from perdure._engine.watchdog import Watchdog
from perdure._store.batching import Batcher

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
        self.watchdog = Watchdog(min(limits.TURN_SECONDS, settings.lease_seconds * _LEASE_SHARE))
        self.turn_trials = TurnTrials(self._try_turns)
        self.activity_trials = ActivityTrials(self._try_activities, self.turn_trials.quiet)
        self.announcer = Announcer(store, nudge=self.nudge, on_commit=worker.on_commit)
        self.departures = Departures(
            store,
            self.clock,
            self.worker_id,
            residents=self.residents,
            evict=self._evict,
            on_left=self.announcer.sent,
        )
        self._make_activity_rooms()
        self.claimer = Claimer(
            store,
            worker.orchestrations,
            self.worker_id,
            residents=self.residents,
            max_instances=settings.max_instances,
            poll_seconds=settings.poll_seconds,
        )
        self.committer = self._make_committer()
        self.claimer.watchdog, self.claimer.trials = self.watchdog, self.turn_trials
        self.claimer.on_claimed = self.attempts.epochs.note
        self.claimer.on_loaded = self._take_up
        self.claimer.on_news = self.committer.mark
        self.claimer.on_paused = self._paused
        self.claimer.on_resumed = self._resumed
        self.claimer.hold = self.committer.hold
        self.claimer.release = self.departures.release
        self.claimer.evict = self._evict
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
        self.lease.measures = worker.measures
        self.attempts.is_certain = lambda: self.lease.is_certain
        self._claiming: list[asyncio.Task[None]] = []
        self._is_stopping = False

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
        committer.on_held = self._held
        committer.on_unread = self.claimer.nudge
        return committer

    def _make_activity_rooms(self) -> None:
        """Make what runs activities: attempts, those of its own instances, those of its queues."""
        worker, settings = self.worker, self.worker.settings
        self.attempts = Attempts(
            worker.activities,
            self.clock,
            capacity=Capacity(settings.max_activities, settings.activity_threads),
            kubernetes=worker.kubernetes,
            secrets=settings.secrets,
            database=settings.database,
        )
        self.attempts.measures, self.attempts.worker_id = worker.measures, str(self.worker_id)
        self.runner = ActivityRunner(
            self.attempts,
            self.clock,
            trials=self.activity_trials,
            record=self._record,
            note=self._write_details,
            deliver=self._deliver,
        )
        self.queue_runner = QueueRunner(
            worker.store,
            self.worker_id,
            attempts=self.attempts,
            trials=self.activity_trials,
            queues=settings.queues,
        )
        self._failures: Batcher[FailedAttempt, bool] = Batcher(self._write_failures)

    @property
    def running_activities(self) -> int:
        """How many activities are on their way here, for its own instances or for a queue."""
        return self.runner.running_count + self.queue_runner.running_count

    def nudge(self) -> None:
        """There may be work: look at once."""
        self.claimer.nudge()
        self.queue_runner.nudge()

    # Life and death.

    async def run(self, stop: asyncio.Event) -> None:
        """Live until `stop` (then give everything back) or until the lease is lost."""
        loops: list[Coroutine[object, object, object]] = [self.lease.run(_description()), self._work(), stop.wait()]
        tasks = [asyncio.create_task(loop) for loop in loops]
        self.watchdog.begin()
        try:
            await self._live(tasks, stop)
        finally:
            await _end(tasks)
            self.timers.close()
            self._interrupt()
            if not stop.is_set():
                await self._settle(self.worker.settings.shutdown_grace_seconds)
            self.runner.close()
            self.queue_runner.close()
            self.attempts.close()
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
        names_and_versions = offered(self.worker.orchestrations)
        await self.worker.store.fetch_patiently("hold_retry", *names_and_versions)
        if self._is_stopping:
            return
        async with asyncio.TaskGroup() as group:
            beginning = (self.claimer.run(), self.queue_runner.run(), self.activity_trials.run())
            self._claiming = [group.create_task(loop) for loop in beginning]
            for loop in (
                self.committer.run(),
                self.announcer.run(),
                self.departures.run(),
                self.deadlines.run(),
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
        self._interrupt()
        count = len(self.residents)
        try:
            async with asyncio.timeout(self.worker.settings.lease_seconds):
                await self._settle(_MOMENT_SECONDS)
                await self.runner.flush()
                await self.queue_runner.give_back(all_of_them=False)
                await self._drain()
                await self.activity_trials.acquit()
                await self.departures.release_owned(but=[item for item in self.residents.values() if item.is_working])
                if self.residents or self.queue_runner.running_count:
                    await self.worker.store.fetch_patiently("notify", WAKE_CHANNEL)
                    await self._settle(self.worker.settings.shutdown_grace_seconds)
                    await self.runner.flush()
                    await self.queue_runner.give_back(all_of_them=True)
                    await self._drain()
                    await self.departures.release_owned(but=())
                await _end([leasing])
                await self.worker.store.leave(self.worker_id)
                await self.worker.store.fetch_patiently("notify", WAKE_CHANNEL)
        except TimeoutError:
            _log.warning("could not give instances back: the database is away; peers take over when the lease ends")
        else:
            _log.info("gave instances back", instances=count)

    def _interrupt(self) -> None:
        """Cancel every activity that runs here."""
        self.runner.interrupt()
        self.queue_runner.interrupt()

    async def _settle(self, grace_seconds: float) -> None:
        """Wait until they have cleaned up, but not longer than that."""
        await asyncio.gather(self.runner.settle(grace_seconds), self.queue_runner.settle(grace_seconds))

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
        """A turn was refused: somebody else owns the instance now. If that should be us, it is found and given back."""
        self._evict(resident)
        self.claimer.doubt()

    def _evict(self, resident: Resident) -> None:
        """Forget an instance; its truth is in the database."""
        resident.is_gone = True
        self.runner.cancel_all(resident)
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
        losses = await self._count_losses([item for item in loaded if item.is_suspect])
        for resident, known in ((item.resident, item.known) for item in loaded):
            execution = resident.execution
            for seq, operation in list(execution.pending.items()):
                if seq not in resident.results:
                    self._set_timer(resident, operation)
            for operation in resident.to_run:
                seq = operation.command.seq
                row = known.get(seq)
                counted = losses.get((resident.instance_id, seq))
                if counted is not None:
                    row = dataclasses.replace(row or Known(0, 0, self.clock.now()), losses=counted)
                self.runner.start(resident, operation, known=row, is_found=True)
            resident.over_tasks += [seq for seq in known if seq in resident.results]
            if execution.cancelled_at is not None:
                self._set_grace(resident)
            if resident.has_news:
                self.committer.mark(resident)
            elif resident.turn:
                # No turn may come for long, and while nobody owned it, its status may have said so.
                self.announcer.show(resident, phase_changed=False)

    def _set_timer(self, resident: Resident, operation: Operation) -> None:
        """Let time end what it can end: a timer, or a queued activity that nobody brings to its end."""
        due, command = due_or_none(operation), operation.command
        if due is None:
            return
        if isinstance(command, history.ScheduleActivity):
            self.timers.add(due, resident, event=history.ActivityFailed(command.seq, out_of_time(command)))
        else:
            self.timers.add(due, resident, event=history.TimerFired(command.seq))

    async def _resume_held(self, residents: Sequence[Resident]) -> None:
        """Take instances off hold whose replay went through: the code fits their history again."""
        if not residents:
            return
        ids = [resident.instance_id for resident in residents]
        await self.worker.store.fetch_patiently("resume_held", self.worker_id, ids)
        for resident in residents:
            resident.phase = "Running"
            self.announcer.show(resident, phase_changed=True)

    # Trials.

    async def _try_turns(self, instance_ids: list[str]) -> None:
        await self.worker.store.fetch_patiently("worker_try", self.worker_id, instance_ids)

    async def _try_activities(self, jobs: Sequence[Job]) -> list[Job]:
        """Put these on trial and acquit all others; give those that are still this worker's."""
        keys = {(job.instance_id, job.execution, job.command.seq): job for job in jobs}
        rows = [(*key, job.claims if isinstance(job, QueuedJob) else 0) for key, job in keys.items()]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
        tried = await self.worker.store.fetch_patiently("tasks_try", self.worker_id, *columns)
        return [keys[row["instance_id"], row["execution"], row["seq"]] for row in tried]

    async def _count_losses(self, suspects: Sequence[Loaded]) -> dict[tuple[str, int], int]:
        """Write down, before they are run again, that a worker may have died of these activities."""
        keys = [
            (item.resident.instance_id, item.resident.execution.identity.execution, operation.command.seq)
            for item in suspects
            for operation in item.resident.to_run
        ]
        if not keys:
            return {}
        columns = [list(column) for column in zip(*keys, strict=True)]
        rows = await self.worker.store.fetch_patiently("tasks_count_loss", self.worker_id, *columns)
        return {(row["instance_id"], row["seq"]): row["losses"] for row in rows}

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
        elif not self._is_stopping:  # else the next owner finds it pending
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
                        self._set_timer(resident, operation)
                    elif not resident.is_suspended:  # else when it is resumed
                        self.runner.start(resident, operation)
            case history.CreateTimer(seq=seq):
                if operation := resident.execution.pending.get(seq):
                    self._set_timer(resident, operation)
            case history.CancelActivity(seq=seq):
                self.runner.cancel(resident, seq)
            case _:
                return

    def _continue_as_new(self, turn: TakenTurn, continues: history.ContinueAsNew) -> None:
        """Begin the next execution, here or, when its version is not offered here, wherever it is."""
        resident, chosen = turn.resident, turn.next_definition
        self.runner.cancel_all(resident)
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
                self.runner.start(resident, operation)
        self.committer.mark(resident)

    def _set_grace(self, resident: Resident) -> None:
        cancelled_at = resident.execution.cancelled_at
        if cancelled_at is not None:
            grace = datetime.timedelta(seconds=self.worker.settings.cancel_grace_seconds)
            self.timers.add(cancelled_at + grace, resident, event=history.GraceEnded())

    def _held(self, resident: Resident, _: failure.Failure) -> None:
        resident.phase = "Suspended"
        self.announcer.show(resident, phase_changed=True)
        self._evict(resident)

    # Failed attempts.

    async def _record(self, attempt: FailedAttempt) -> bool:
        is_ours = await self._failures.submit(attempt)
        if is_ours:
            self.announcer.show(attempt.job.resident, phase_changed=False)
        return is_ours

    async def _write_failures(self, attempts: list[FailedAttempt]) -> list[bool]:
        rows = await self.worker.store.fetch_patiently(
            "tasks_record_failure", self.worker_id, *failure_columns(attempts)
        )
        written = {(row["instance_id"], row["seq"]) for row in rows}
        return [(a.job.resident.instance_id, a.job.command.seq) in written for a in attempts]

    async def _write_details(self, jobs: list[LocalJob]) -> None:
        await self.worker.store.fetch_patiently("tasks_note", self.worker_id, *detail_columns(jobs))


async def _end(tasks: Sequence[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _description() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"

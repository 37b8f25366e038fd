"""One attempt: how it is bounded, what it hears of its end, and what its heartbeats are good for."""

from __future__ import annotations

import asyncio
import datetime
import threading

import msgspec
import pytest

from perdure import ActivityContext, ActivityRegistry, activity, errors
from perdure._core import failure, history, limits, retry
from perdure._core.definition import AnyActivity
from perdure._engine.attempt import Job
from perdure._engine.attempts import Attempts, Capacity
from perdure._engine.clock import Clock
from perdure._engine.lanes import Lanes
from tests.unit.engine.virtual import in_virtual_time, now

BEGIN = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


class Bench:
    """Makes attempts of one activity, each on a lane of its own as a worker does."""

    def __init__(self, work: AnyActivity, *, attempts: int = 10, threads: int = 2) -> None:
        """Offer this activity."""
        self.clock = Clock(asyncio.get_running_loop().time)
        self.clock.sync(BEGIN)
        capacity = Capacity(attempts, threads)
        self.attempts = Attempts(ActivityRegistry.of(work), self.clock, capacity=capacity, kubernetes=None)
        self.name = work.name
        self.said: list[bytes | None] = []
        self.results: list[history.ActivityCompleted | failure.Failure] = []
        self.lanes = Lanes(self._make)
        self._is_made = asyncio.Event()

    def job(self, *, detail: bytes | None = None, **options: object) -> Job:
        """Ask for the activity with these options."""
        command = history.ScheduleActivity(1, self.name, msgspec.Raw(b"null"), **options)  # type: ignore[arg-type]  # by name
        note = lambda job: self.said.append(job.detail)  # noqa: E731 - what a test hears
        return Job("i", 1, "test::orchestration::o", "", command, BEGIN, detail=detail, on_detail=note)

    def begin(self, job: Job) -> None:
        """Begin an attempt as soon as there is a slot."""

        def granted() -> bool:
            self.lanes.put(job)
            return True

        self.attempts.slots_of(job).ask(0, granted)

    async def made(self, job: Job) -> history.ActivityCompleted | failure.Failure:
        """Make an attempt; give its outcome."""
        self._is_made.clear()
        self.begin(job)
        await self._is_made.wait()
        return self.results[-1]

    async def _make(self, job: Job) -> None:
        self.results.append(await self.attempts.make(job))
        self._is_made.set()


def message_of(outcome: history.ActivityCompleted | failure.Failure) -> str:
    """Give what went wrong."""
    assert isinstance(outcome, failure.Failure)
    assert outcome.code == errors.ActivityTimeoutError.code
    return outcome.message


@in_virtual_time
async def test_an_attempt_that_is_silent_for_too_long_has_failed() -> None:
    """Without a heartbeat for the time given it is cancelled, and its failure says heartbeat; it may be retried."""

    @activity("test::activity::silent")
    async def silent(ctx: ActivityContext) -> None:
        await asyncio.sleep(3_600)

    outcome = await Bench(silent).made(Bench(silent).job(heartbeat_timeout=30.0))

    assert "no heartbeat within 30 s" in message_of(outcome)
    assert 30 <= now() < 31
    assert isinstance(outcome, failure.Failure)
    assert outcome.retryable


@in_virtual_time
async def test_heartbeats_keep_an_attempt_alive() -> None:
    """Whoever beats in time may take as long as it takes; the timeout begins anew with every beat."""

    @activity("test::activity::beating")
    async def beating(ctx: ActivityContext) -> str:
        for _ in range(10):
            await asyncio.sleep(29)
            ctx.heartbeat()
        return "done"

    bench = Bench(beating)

    outcome = await bench.made(bench.job(heartbeat_timeout=30.0))

    assert isinstance(outcome, history.ActivityCompleted)
    assert round(now()) == 290
    assert bench.said == []


@in_virtual_time
async def test_what_an_attempt_was_held_up_is_not_its_own_time() -> None:
    """While its requests wait for their turn it lives, and its timeout waits too; then it has the rest of its time.

    Of two that waited beside each other the time counts once.
    """

    @activity("test::activity::held-up")
    async def held_up(ctx: ActivityContext) -> None:
        for _ in range(10):
            await asyncio.sleep(20)
            for _ in range(2):
                ctx._waited(20)  # noqa: SLF001 - as the client of the API server does
        await asyncio.sleep(3_600)

    bench = Bench(held_up)
    policy = retry.RetryPolicy(1, timeout=25)

    outcome = await bench.made(bench.job(retry=policy, heartbeat_timeout=26.0))

    assert message_of(outcome) == "no result within 25 s"
    assert round(now()) == 225


@in_virtual_time
async def test_the_total_timeout_waits_for_nobody() -> None:
    """However long an attempt is held up, its activity is over when it was said to be."""

    @activity("test::activity::held-up")
    async def held_up(ctx: ActivityContext) -> None:
        while True:
            await asyncio.sleep(1)
            ctx._waited(1)  # noqa: SLF001 - as the client of the API server does

    bench = Bench(held_up)

    outcome = await bench.made(bench.job(retry=retry.RetryPolicy(1, timeout=25), total_timeout=60.0))

    assert isinstance(outcome, failure.Failure)
    assert round(now()) == 60


@in_virtual_time
async def test_the_timeout_of_an_attempt_holds_beside_heartbeats() -> None:
    """An activity that beats and never ends is ended by its timeout, whose words are others."""

    @activity("test::activity::busy")
    async def busy(ctx: ActivityContext) -> None:
        while True:
            ctx.heartbeat()
            await asyncio.sleep(1)

    bench = Bench(busy)

    outcome = await bench.made(bench.job(heartbeat_timeout=10.0, total_timeout=60.0))

    assert message_of(outcome) == "no result within 60 s"


@in_virtual_time
async def test_the_next_attempt_is_given_what_the_last_heartbeat_said() -> None:
    """A detail is told to the engine when it is new, and stands in the context of the next attempt."""
    seen = []

    @activity("test::activity::counting")
    async def counting(ctx: ActivityContext) -> None:
        seen.append(ctx.heartbeat_detail)
        for number in (1, 1, 2):
            ctx.heartbeat({"row": number})
        raise ValueError

    bench = Bench(counting)
    job = bench.job()

    await bench.made(job)
    await bench.made(job)

    assert seen == [None, {"row": 2}]
    assert bench.said == [b'{"row":1}', b'{"row":2}', b'{"row":1}', b'{"row":2}']


@in_virtual_time
async def test_a_detail_has_a_limit() -> None:
    """The limit itself passes; one byte more is an error at the heartbeat, and says what to do."""
    told = []

    @activity("test::activity::talkative")
    async def talkative(ctx: ActivityContext) -> None:
        ctx.heartbeat("x" * (limits.HEARTBEAT_DETAIL_BYTES - 2))
        with pytest.raises(errors.PayloadTooLargeError) as caught:
            ctx.heartbeat("x" * (limits.HEARTBEAT_DETAIL_BYTES - 1))
        told.append(str(caught.value))

    bench = Bench(talkative)

    await bench.made(bench.job())

    assert "heartbeat detail" in told[0]
    assert len(bench.said) == 1


@in_virtual_time
async def test_a_cancelled_activity_hears_of_it_and_may_clean_up() -> None:
    """`CancelledError` comes at its await, and `is_cancelled` is true from then on."""
    heard: list[object] = []

    @activity("test::activity::tidy")
    async def tidy(ctx: ActivityContext) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            heard.append(ctx.is_cancelled)
            await asyncio.sleep(5)
            heard.append(now())

    bench = Bench(tidy)
    job = bench.job()
    bench.begin(job)
    await asyncio.sleep(10)

    bench.attempts.stop(job)
    await bench.lanes.settle(100)

    assert heard == [True, 15.0]
    assert bench.results == []
    assert bench.attempts.slots.free == 10


@in_virtual_time
async def test_an_activity_that_will_not_stop_is_cancelled_again() -> None:
    """The grace for cleaning up is bounded: after it a cancel comes again, until the activity lets go of its slot."""
    cancels: list[float] = []

    @activity("test::activity::clinging")
    async def clinging(ctx: ActivityContext) -> None:
        while len(cancels) < 3:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                cancels.append(now())

    bench = Bench(clinging)
    job = bench.job()
    bench.begin(job)
    await asyncio.sleep(1)

    bench.attempts.stop(job)
    await asyncio.sleep(3 * limits.ACTIVITY_GRACE_SECONDS)

    assert cancels == [1 + number * limits.ACTIVITY_GRACE_SECONDS for number in range(3)]
    assert bench.attempts.slots.free == 10


async def test_a_thread_sees_that_nobody_waits_any_more_and_keeps_its_slot_until_it_returns() -> None:
    """A sync activity cannot be interrupted: it looks at `is_cancelled`, and until it returns its slot is taken."""
    begun, may_look, looked = threading.Event(), threading.Event(), threading.Event()
    seen = []

    @activity("test::activity::grinding")
    def grinding(ctx: ActivityContext) -> None:
        seen.append(ctx.is_cancelled)
        begun.set()
        may_look.wait(30)
        seen.append(ctx.is_cancelled)
        looked.set()

    bench = Bench(grinding, threads=1)
    job = bench.job()
    bench.begin(job)
    await asyncio.to_thread(begun.wait, 30)

    bench.attempts.stop(job)
    await bench.lanes.settle(30)
    free_meanwhile = bench.attempts.thread_slots.free
    may_look.set()
    await asyncio.to_thread(looked.wait, 30)
    await bench.made(bench.job())

    assert seen == [False, True, False, False]
    assert free_meanwhile == 0


async def test_heartbeats_may_come_from_a_thread() -> None:
    """A thread says how far it is; the engine hears it in its own thread, and a thousand words do not flood it."""
    heard_in = set()

    @activity("test::activity::threaded")
    def threaded(ctx: ActivityContext) -> None:
        for number in range(1_000):
            ctx.heartbeat(number)

    bench = Bench(threaded)
    job = bench.job()
    bench_note = job.on_detail

    def note(job: Job) -> None:
        heard_in.add(threading.get_ident())
        assert bench_note is not None
        bench_note(job)

    job.on_detail = note

    await bench.made(job)

    assert heard_in == {threading.get_ident()}
    assert job.detail == bench.said[-1] == b"999"


async def test_a_late_thread_speaks_for_nobody() -> None:
    """What a timed-out attempt says from its thread is not taken for a word of the next one."""
    may_speak, has_spoken = threading.Event(), threading.Event()

    @activity("test::activity::late")
    def late(ctx: ActivityContext) -> None:
        may_speak.wait(30)
        ctx.heartbeat("from the past")
        has_spoken.set()

    bench = Bench(late)
    job = bench.job(total_timeout=0.01)
    await bench.made(job)

    may_speak.set()
    await asyncio.to_thread(has_spoken.wait, 30)
    await asyncio.sleep(0)

    assert bench.said == []


@in_virtual_time
async def test_a_failed_attempt_is_followed_by_another_or_by_none() -> None:
    """Within the policy it is a delay; the last attempt, and one that must not be retried, are final."""

    @activity("test::activity::failing")
    async def failing(ctx: ActivityContext) -> None:
        raise ValueError

    bench = Bench(failing)
    job = bench.job(retry=retry.Retry(max_attempts=3, base=7.0))

    first = bench.attempts.after_failure(job, failure.of(ValueError("1")))
    second = bench.attempts.after_failure(job, failure.of(ValueError("2")))
    third = bench.attempts.after_failure(job, failure.of(ValueError("3")))

    assert (first, second) == (7.0, 7.0)
    assert isinstance(third, failure.Failure)
    assert job.failed_attempts == 3

"""Lanes: many jobs on few tasks, and an author's code that cannot tell the difference."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable

from perdure._engine.lanes import Lanes
from tests.unit.engine.virtual import in_virtual_time

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


class Work:
    """A job that does what it is told."""

    def __init__(self, does: Callable[[], Awaitable[object]]) -> None:
        """Do this."""
        self.does = does
        self.task: asyncio.Task[None] | None = None
        self.ran_in: asyncio.Task[None] | None = None
        self.result: object = None


async def do(work: Work) -> None:
    """Work on a job as the runners do: nothing but a cancel comes out."""
    work.ran_in = work.task
    with contextlib.suppress(ValueError):
        work.result = await work.does()


async def at_once() -> str:
    """Wait for nothing."""
    return "done"


@in_virtual_time
async def test_jobs_that_wait_for_nothing_share_a_task() -> None:
    """A hundred small jobs cost one task and the one or two that stand by, not a hundred."""
    lanes = Lanes(do)
    jobs = [Work(at_once) for _ in range(100)]

    for job in jobs:
        lanes.put(job)
    await lanes.settle(1)

    assert [job.result for job in jobs] == ["done"] * 100
    assert len({job.ran_in for job in jobs}) <= 3


@in_virtual_time
async def test_no_job_waits_for_one_that_waits() -> None:
    """Jobs that only go on when all of them are there all get there, however many they are."""
    meeting = asyncio.Barrier(200)
    lanes = Lanes(do)
    jobs = [Work(meeting.wait) for _ in range(200)]

    for job in jobs:
        lanes.put(job)
    await lanes.settle(1)

    assert sorted(str(job.result) for job in jobs) == sorted(str(number) for number in range(200))


@in_virtual_time
async def test_a_job_that_comes_while_all_others_wait_runs() -> None:
    """There is always a lane for whoever comes."""
    never = asyncio.Event()
    lanes = Lanes(do)
    for _ in range(5):
        lanes.put(Work(never.wait))
    await asyncio.sleep(1)

    late = Work(at_once)
    lanes.put(late)
    await asyncio.sleep(1)

    assert late.result == "done"
    lanes.interrupt()


@in_virtual_time
async def test_each_job_runs_in_a_task_that_is_its_own_meanwhile() -> None:
    """`asyncio.timeout` and task groups of an author's code work, and end nothing but what they are around."""

    async def hurries() -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.sleep(10)
        async with asyncio.TaskGroup() as group:
            part = group.create_task(at_once())
        return part.result()

    lanes = Lanes(do)
    jobs = [Work(hurries), Work(at_once), Work(hurries)]

    for job in jobs:
        lanes.put(job)
    await lanes.settle(5)

    assert [job.result for job in jobs] == ["done"] * 3


@in_virtual_time
async def test_what_a_job_does_to_its_context_is_not_seen_by_the_next() -> None:
    """A context variable that one activity sets is gone in every other, as if each had a task of its own."""

    async def leaves_a_trace() -> str:
        seen = TENANT.get()
        TENANT.set("somebody")
        return seen

    lanes = Lanes(do)
    jobs = [Work(leaves_a_trace) for _ in range(20)]
    TENANT.set("whoever happens to put the job in")

    for job in jobs:
        lanes.put(job)
    await asyncio.sleep(1)

    assert {job.result for job in jobs} == {"nobody"}


@in_virtual_time
async def test_a_cancel_hits_the_job_it_is_meant_for() -> None:
    """The one that is cancelled ends; those before, beside and behind it come to their results."""
    never = asyncio.Event()
    lanes = Lanes(do)
    doomed = Work(never.wait)
    jobs = [Work(at_once), doomed, Work(lambda: asyncio.sleep(1, "slept"))]
    for job in jobs:
        lanes.put(job)
    await asyncio.sleep(0.5)

    assert doomed.task is not None
    doomed.task.cancel()
    jobs.append(Work(at_once))
    lanes.put(jobs[-1])
    await lanes.settle(5)

    assert [job.result for job in jobs] == ["done", None, "slept", "done"]
    assert [job.task for job in jobs] == [None] * 4


@in_virtual_time
async def test_a_job_that_swallows_its_cancel_hands_it_to_nobody() -> None:
    """A lane that was cancelled is not used again: what comes next is not cancelled for somebody else."""

    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return "goes on"

    lanes = Lanes(do)
    first, second = Work(stubborn), Work(lambda: asyncio.sleep(1, "slept"))
    lanes.put(first)
    await asyncio.sleep(1)

    assert first.task is not None
    first.task.cancel()
    await asyncio.sleep(1)
    lanes.put(second)
    await lanes.settle(5)

    assert (first.result, second.result) == ("goes on", "slept")
    assert first.ran_in is not second.ran_in


@in_virtual_time
async def test_jobs_without_end_leave_the_others_of_the_loop_their_turn() -> None:
    """Jobs that put in the next one themselves do not stop the heartbeat of their worker."""
    lanes = Lanes(do)
    beats, is_over = 0, False

    async def again() -> None:
        if not is_over:
            lanes.put(Work(again))

    lanes.put(Work(again))
    for _ in range(10):
        await asyncio.sleep(0)
        beats += 1
    is_over = True
    await lanes.settle(1)

    assert beats == 10


@in_virtual_time
async def test_an_interrupted_worker_begins_nothing_more() -> None:
    """What runs is cancelled, what is ready is left: the next owner will do it."""
    lanes = Lanes(do)
    running, ready = Work(lambda: asyncio.sleep(10)), Work(at_once)
    lanes.put(running)
    await asyncio.sleep(1)

    lanes.put(ready)
    lanes.interrupt()
    await lanes.settle(5)

    assert (running.result, ready.result, ready.ran_in) == (None, None, None)
    assert not lanes.tasks

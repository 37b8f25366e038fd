"""Trials: who is tried when, with whom and for how long, in made-up time."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Collection, Sequence

import msgspec
import pytest

from perdure._core import history, limits
from perdure._engine.attempt import Attempt, Job
from perdure._engine.trials import ActivityTrials, TurnTrials, portions
from tests.unit.engine.virtual import in_virtual_time, now

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
BEGUN = object.__new__(Attempt)
"""An attempt that is under way, and of which nobody asks more."""


class Court:
    """What trials do to the world: who was marked, who has begun, and when."""

    def __init__(self) -> None:
        """Begin on a quiet day."""
        self.trials = ActivityTrials(self.mark, self.quiet)
        self.marked: list[list[str]] = []
        self.begun: dict[str, float] = {}
        self.strangers: set[str] = set()
        self.slow: set[str] = set()
        self.is_quiet = asyncio.Event()
        self.is_quiet.set()
        self.running = asyncio.create_task(self.trials.run())

    async def mark(self, jobs: list[Job]) -> Collection[Job]:
        """Note who is on trial now."""
        self.marked.append([job.instance_id for job in jobs])
        return [job for job in jobs if job.instance_id not in self.strangers]

    async def quiet(self) -> None:
        """Wait for the instances."""
        await self.is_quiet.wait()

    def job(self, name: str, *, losses: int = 1, convictions: int = 0, trials: int = 0, is_found: bool = True) -> Job:
        """Bring a job that has its slot."""
        command = history.ScheduleActivity(1, "test", msgspec.Raw(b"null"))
        job = Job(name, 1, "test", "", command, _EPOCH)
        job.losses, job.convictions, job.trials, job.is_found = losses, convictions, trials, is_found
        self.trials.begin(job, self.begin)
        return job

    def jobs(self, count: int, *, losses: int = 1) -> list[Job]:
        """Bring many that are equally suspect."""
        return [self.job(f"{losses}-{number}", losses=losses) for number in range(count)]

    def begin(self, job: Job) -> None:
        """Let its attempt begin, unless nobody wants it any more."""
        self.begun[job.instance_id] = now()
        if not job.is_cancelled and job.instance_id not in self.slow:
            self.tell(job, BEGUN)

    def end(self, job: Job) -> None:
        """Let its attempt end."""
        self.tell(job, None)

    @staticmethod
    def tell(job: Job, attempt: Attempt | None) -> None:
        """Say that it has moved, as attempts do."""
        job.attempt = attempt
        if job.on_moved is not None:
            job.on_moved(job)

    async def over(self) -> None:
        """Wait until nobody is on trial any more."""
        while not (self.marked and self.marked[-1] == []):  # noqa: ASYNC110 - made-up time
            await asyncio.sleep(0.01)
        self.running.cancel()


@in_virtual_time
async def test_who_is_no_suspect_begins_at_once_and_nothing_is_written() -> None:
    """Without a death there is nothing to find out, and nothing to pay for it."""
    court = Court()
    court.job("new", losses=0, is_found=False)
    court.job("found", losses=0)

    await asyncio.sleep(10)

    assert (court.begun, court.marked) == ({"new": 0.0, "found": 0.0}, [])
    court.running.cancel()


@in_virtual_time
async def test_many_suspects_are_tried_in_sixteen_parts() -> None:
    """Each death leaves a sixteenth: of 160 ten are tried at a time, each group for its probation."""
    court = Court()
    court.jobs(160)

    await court.over()

    assert [len(group) for group in court.marked] == [*16 * [10], 0]
    assert sorted(set(court.begun.values())) == pytest.approx([0.5 * number for number in range(16)])


@in_virtual_time
async def test_few_suspects_are_tried_alone() -> None:
    """Up to sixteen: the next death convicts."""
    court = Court()
    court.jobs(5)

    await court.over()

    assert [len(group) for group in court.marked] == [1, 1, 1, 1, 1, 0]


@in_virtual_time
async def test_the_convicted_come_first_and_the_least_suspect_before_the_others() -> None:
    """Whoever was convicted most is known soonest; whoever is hardly suspect has waited for nothing."""
    court = Court()
    for name, losses, convictions in (("often", 4, 0), ("once", 1, 0), ("convicted", 3, 1), ("twice", 3, 2)):
        court.job(name, losses=losses, convictions=convictions)

    await court.over()

    assert court.marked == [["twice"], ["convicted"], ["once"], ["often"], []]


@in_virtual_time
async def test_each_trial_lasts_twice_as_long_as_the_one_before() -> None:
    """A slow killer outlives its first trials, not all of them; there is a longest one."""
    court = Court()
    for trials in (0, 3, 3_000):
        court.job(f"{trials}", losses=1 + trials, trials=trials)

    await court.over()

    assert court.begun == pytest.approx({"0": 0.0, "3": 0.5, "3000": 4.5})
    assert now() == pytest.approx(4.5 + limits.PROBATION_SECONDS_AT_MOST, abs=0.02)


@in_virtual_time
async def test_a_trial_ends_early_when_all_have_ended() -> None:
    """Nobody waits for the probation of somebody who is done."""
    court = Court()
    first, _ = court.job("first"), court.job("second")
    await asyncio.sleep(0.1)

    court.end(first)
    await court.over()

    assert court.begun == {"first": 0.0, "second": 0.1}


@in_virtual_time
async def test_the_probation_begins_when_all_have_begun() -> None:
    """Who has not begun has proved nothing, however long it takes the loop to get there."""
    court = Court()
    court.slow = {"slow"}
    slow = court.job("slow")
    court.job("next")
    await asyncio.sleep(7)

    court.tell(slow, BEGUN)
    await court.over()

    assert court.begun == {"slow": 0.0, "next": pytest.approx(7.5)}


@in_virtual_time
async def test_who_survived_is_convicted_no_longer() -> None:
    """Convictions count in a row: one trial that went well ends it. Suspicion stays."""
    court = Court()
    job = court.job("survivor", losses=5, convictions=3)

    await court.over()

    assert (job.convictions, job.losses, job.trials) == (0, 5, 1)


@in_virtual_time
async def test_what_was_found_beside_a_death_waits_for_the_trials() -> None:
    """If it kills, it must not be taken for somebody on trial; what is asked for only now runs beside."""
    court = Court()
    court.job("suspect")
    court.job("bystander", losses=0)
    court.job("new", losses=0, is_found=False)

    await court.over()
    await asyncio.sleep(0.1)

    assert court.begun == {"suspect": 0.0, "bystander": 0.5, "new": 0.0}


@in_virtual_time
async def test_a_cancelled_suspect_gives_its_slot_back_at_once() -> None:
    """It does not wait for its trial: it is begun, which finds that nobody wants it."""
    court = Court()
    court.job("first")
    waiting = court.job("waiting")
    await asyncio.sleep(0.1)

    waiting.is_cancelled = True
    court.tell(waiting, None)

    assert court.begun == {"first": 0.0, "waiting": 0.1}
    await court.over()
    assert court.marked == [["first"], []]


@in_virtual_time
async def test_who_belongs_to_somebody_else_is_not_run() -> None:
    """A row that could not be marked is in other hands: the job is given up, and its slot given back."""
    court = Court()
    court.strangers = {"taken"}
    job = court.job("taken")

    await court.over()

    assert (job.is_cancelled, job.attempt, court.begun) == (True, None, {"taken": 0.0})


@in_virtual_time
async def test_activities_wait_until_no_instance_is_about_to_be_tried() -> None:
    """So that one death is not blamed on both."""
    court = Court()
    court.is_quiet.clear()
    court.job("suspect")
    await asyncio.sleep(3)
    assert court.marked == []

    court.is_quiet.set()
    await court.over()

    assert court.begun == {"suspect": 3.0}


@in_virtual_time
async def test_instances_are_tried_one_group_at_a_time() -> None:
    """The database knows whose code is stepped, for as long as it is: two who come at once wait for each other."""
    said: list[list[str]] = []

    async def say(instance_ids: list[str]) -> None:
        await asyncio.sleep(0.1)
        said.append(instance_ids)

    trials = TurnTrials(say)

    async def tries(*instance_ids: str) -> None:
        async with trials.of(list(instance_ids)):
            await asyncio.sleep(1)

    await asyncio.gather(tries("a", "b"), tries("c"))

    assert said == [["a", "b"], [], ["c"], []]


@in_virtual_time
async def test_it_is_quiet_when_nobody_is_expected_any_more() -> None:
    """Whoever is about to be tried is expected, once, however often that is said."""
    trials = TurnTrials(lambda _: asyncio.sleep(0))
    trials.expect(["a", "b"])
    trials.expect(["a"])
    waiting = asyncio.create_task(trials.quiet())

    trials.expect_no_longer(["a"])
    await asyncio.sleep(1)
    assert not waiting.done()
    trials.expect_no_longer(["b", "c"])

    await waiting


@pytest.mark.parametrize(
    ("recoveries", "sizes"),
    [
        ([0] * 120, [50, 50, 20]),
        ([1] * 60, [50, 10]),
        ([2] * 8, [7, 1]),
        ([3, 4, 3], [1, 1, 1]),
        ([2, 0, 1, 2], [1, 1, 2]),
    ],
)
def test_the_more_owners_an_instance_has_lost_the_fewer_are_tried_with_it(
    recoveries: Sequence[int], sizes: Sequence[int]
) -> None:
    """Portions of equals, the least suspect first."""
    found = [len(portion) for portion in portions(recoveries, lambda count: count)]

    assert found == list(sizes)

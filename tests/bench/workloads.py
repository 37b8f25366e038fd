"""The workloads, by the names of the design: each plays on a stage of its own and gives one number.

A number counts only when the work behind it was done right, so each workload looks at its results too. What is measured
several times gives the median, and shows all runs.
"""

from __future__ import annotations

import asyncio
import dataclasses
import resource
import statistics
import time
from collections.abc import Awaitable, Callable

from perdure._core import history
from perdure._core.replay import Execution, Identity
from perdure.client import InstanceFilter
from tests.bench import code
from tests.bench.stage import Stage


@dataclasses.dataclass(frozen=True)
class Result:
    """What came out: one value, and what else is worth knowing."""

    value: float
    more: dict[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is measured, in which unit, which way is better, and how far it should get first."""

    what: str
    unit: str
    goal: float
    is_rate: bool
    play: Callable[[Stage], Awaitable[Result]]

    def is_reached(self, value: float) -> bool:
        """Say whether a value reaches the goal."""
        return value >= self.goal if self.is_rate else value <= self.goal


async def throughput(stage: Stage, orchestration: code.Named, *, count: int, in_flight: int = 1_000) -> Result:
    """Measure instances a second, three times after a warm-up."""
    await stage.run_many("warm", orchestration, count=in_flight, in_flight=in_flight)
    rates = []
    commits, turns, cpu, began = stage.worker.commits, stage.worker.turns_committed, _cpu_seconds(), time.perf_counter()
    for run in range(3):
        run_began = time.perf_counter()
        await stage.run_many(f"run{run}", orchestration, count=count, in_flight=in_flight)
        rates.append(count / (time.perf_counter() - run_began))
    commits, turns, cpu = stage.worker.commits - commits, stage.worker.turns_committed - turns, _cpu_seconds() - cpu
    return Result(
        statistics.median(rates),
        {
            "runs": [round(rate) for rate in rates],
            "instances": 3 * count,
            "in_flight": in_flight,
            "turns_per_commit": round(turns / commits, 1),
            "worker_cpu_ms_per_instance": round(1000 * cpu / (3 * count), 3),
            "worker_cpu_share": round(cpu / (time.perf_counter() - began), 2),
        },
    )


async def chains(stage: Stage) -> Result:
    """W1: chains of five activities, 1,000 in flight."""
    result = await throughput(stage, code.chain, count=3_000)
    for number in (0, 1_234, 2_999):
        info = await stage.client.get_instance_info(f"run2-{number:06}")
        _check(info.output == {"number": number + 5}, f"chain {number} gave {info.output!r}")
    return result


async def one_chain(stage: Stage) -> Result:
    """W1L: the same, one at a time."""
    await stage.run_many("warm", code.chain, count=200, in_flight=10)
    latencies = []
    for number in range(500):
        began = time.perf_counter()
        await stage.run_one(f"one-{number}", code.chain, {"number": number})
        latencies.append(1000 * (time.perf_counter() - began))
    latencies.sort()
    bare = await _bare_commit_ms(stage)
    return Result(
        statistics.median(latencies),
        {"p99_ms": round(latencies[494], 2), "bare_commit_ms": bare, "instances": len(latencies)},
    )


async def _bare_commit_ms(stage: Stage) -> float:
    """Measure what the disk asks for one row made durable: seven times that is the floor of a chain."""
    await stage.outside.execute("create table bare (number integer)")
    durations = []
    for number in range(200):
        began = time.perf_counter()
        await stage.outside.execute("insert into bare values ($1)", number)
        durations.append(1000 * (time.perf_counter() - began))
    await stage.outside.execute("drop table bare")
    return round(statistics.median(durations), 2)


async def one_fan_out(stage: Stage) -> Result:
    """W2: fan-out and join of 1,000 activities."""
    durations = []
    for number in range(7):
        began = time.perf_counter()
        await stage.run_one(f"fan-{number}", code.fan_out, {"width": 1_000})
        durations.append(time.perf_counter() - began)
    info = await stage.client.get_instance_info("fan-6")
    _check(info.output == 1_000, f"the join gave {info.output!r}")
    return Result(statistics.median(durations[2:]), {"runs_s": [round(duration, 3) for duration in durations]})


async def timers(stage: Stage) -> Result:
    """W3: 1,000 timers of one second, started in a burst: when the last is done, and how late they fire."""
    began = time.perf_counter()
    await asyncio.gather(*(stage.run_one(f"timer-{n}", code.sleep, {"seconds": 1.0}) for n in range(1_000)))
    took = time.perf_counter() - began
    lateness = []
    for number in range(0, 1_000, 4):
        turns = await stage.client.get_history(f"timer-{number}")
        due = next(c.fire_at for turn in turns for c in turn.commands if isinstance(c, history.CreateTimer))
        fired = next(t.at for t in turns if any(isinstance(event, history.TimerFired) for event in t.events))
        lateness.append(1000 * (fired - due).total_seconds())
    lateness.sort()
    _check(lateness[0] >= 0, f"a timer fired {-lateness[0]:.1f} ms early")
    return Result(took, {"lateness_p50_ms": round(lateness[125], 1), "lateness_p99_ms": round(lateness[247], 1)})


async def trivials(stage: Stage) -> Result:
    """W5: instances that return at once."""
    return await throughput(stage, code.trivial, count=6_000)


async def idle(stage: Stage) -> Result:
    """W6: what 1,000 waiting instances cost while nothing happens, in transactions a second.

    Autovacuum is off meanwhile: its transactions are not the worker's.
    """
    for number in range(1_000):
        await stage.client.start_orchestration(f"idle-{number}", code.sleep, {"seconds": 3_600.0})
    while (await stage.client.list_instances(InstanceFilter(phase="Pending"), size=1)).items:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.1)
    await stage.outside.execute("alter system set autovacuum = off")
    await stage.outside.execute("select pg_reload_conf()")
    await asyncio.sleep(12)  # a backend that has gone idle reports its last transactions within ten seconds
    before, seconds = await stage.transactions(), 20.0
    cpu, began = _cpu_seconds(), time.perf_counter()
    await asyncio.sleep(seconds)
    cpu, took = _cpu_seconds() - cpu, time.perf_counter() - began
    transactions = await stage.transactions() - before
    await stage.outside.execute("alter system reset autovacuum")
    await stage.outside.execute("select pg_reload_conf()")
    return Result(
        transactions / took,
        {"waiting": stage.worker.resident_count, "seconds": seconds, "worker_cpu_percent": round(100 * cpu / took, 2)},
    )


async def many_steps(stage: Stage) -> Result:
    """W7: 2,000 steps in one instance, and its replay from nothing."""
    await stage.run_one("warm", code.steps, {"count": 100})
    began = time.perf_counter()
    await stage.run_one("steps", code.steps, {"count": 2_000})
    took = time.perf_counter() - began
    turns = await stage.client.get_history("steps")
    quarter = len(turns) // 4
    first, last = turns[quarter].at - turns[0].at, turns[-1].at - turns[-quarter - 1].at
    replays = []
    for _ in range(5):
        began = time.perf_counter()
        execution = Execution(code.steps, Identity("steps", 1))
        for turn in turns:
            execution.replay(turn)
        replays.append(1000 * (time.perf_counter() - began))
    return Result(
        took,
        {"turns": len(turns), "last_to_first_quarter": round(last / first, 2), "replay_ms": round(min(replays), 1)},
    )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _check(is_right: bool, message: str) -> None:  # noqa: FBT001 - reads like assert, and stays under -O
    if not is_right:
        raise RuntimeError(message)


WORKLOADS: dict[str, Workload] = {
    "W1": Workload("chain of 5 activities, 1,000 in flight", "instances/s", 2_500, True, chains),
    "W1L": Workload("the same, one at a time, p50", "ms", 5, False, one_chain),
    "W2": Workload("fan-out and join of 1,000 activities", "s", 0.1, False, one_fan_out),
    "W3": Workload("1,000 timers of 1 s in a burst, all done", "s", 1.3, False, timers),
    "W5": Workload("trivial start to completion", "instances/s", 4_000, True, trivials),
    "W6": Workload("idle worker, 1,000 waiting instances", "transactions/s", 1, False, idle),
    "W7": Workload("2,000 steps in one instance", "s", 2, False, many_steps),
}

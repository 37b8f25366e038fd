"""The workloads, by the names of the design: each plays on a stage of its own and gives one number.

A number counts only when the work behind it was done right, so each workload looks at its results too. What is measured
several times gives the median, and shows all runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from perdure._core import history
from perdure._core.replay import Execution, Identity
from perdure._store.store import Store
from perdure.client import Client, InstanceFilter, Page
from tests.bench import code, filling, provisioning, resources
from tests.bench.bare import Bare
from tests.bench.stage import Stage, fresh_database


@dataclasses.dataclass(frozen=True)
class Result:
    """What came out: one value, what else is worth knowing, and the value of each peer that played the same."""

    value: float
    more: dict[str, object] = dataclasses.field(default_factory=dict)
    peers: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is measured, in which unit, which way is better, and how far it should get first."""

    what: str
    unit: str
    goal: float
    is_rate: bool
    play: Callable[[Stage], Awaitable[Result]]
    bounds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """What else that comes out must stay at or below."""
    tries: int = 1
    """How often it may be played to find the machine calm: what takes long, or compares with itself, is played once."""

    def is_reached(self, result: Result) -> bool:
        """Say whether a result reaches the goal and keeps the bounds."""
        is_good = result.value >= self.goal if self.is_rate else result.value <= self.goal
        return is_good and all(cast("float", result.more[name]) <= bound for name, bound in self.bounds.items())

    def times_as_fast(self, ours: float, theirs: float) -> float:
        """Give how many times as fast as theirs our number is."""
        return round(ours / theirs if self.is_rate else theirs / ours, 1)


async def throughput(stage: Stage, orchestration: code.Named, *, count: int, in_flight: int = 1_000) -> Result:
    """Measure instances a second, three times after a warm-up."""
    await stage.run_many("warm", orchestration, count=in_flight, in_flight=in_flight)
    rates = []
    commits, turns, cpu, began = stage.worker.commits, stage.worker.turns_committed, _cpu_seconds(), time.perf_counter()
    postgres_cpu = stage.postgres_cpu_seconds()
    for run in range(3):
        run_began = time.perf_counter()
        await stage.run_many(f"run{run}", orchestration, count=count, in_flight=in_flight)
        rates.append(count / (time.perf_counter() - run_began))
    commits, turns, cpu = stage.worker.commits - commits, stage.worker.turns_committed - turns, _cpu_seconds() - cpu
    postgres_cpu, took = stage.postgres_cpu_seconds() - postgres_cpu, time.perf_counter() - began
    return Result(
        statistics.median(rates),
        {
            "runs": [round(rate) for rate in rates],
            "instances": 3 * count,
            "in_flight": in_flight,
            "turns_per_commit": round(turns / commits, 1),
            "worker_cpu_ms_per_instance": round(1000 * cpu / (3 * count), 3),
            "postgres_cpu_ms_per_instance": round(1000 * postgres_cpu / (3 * count), 3),
            "worker_cpu_share": round(cpu / took, 2),
        },
    )


async def chains(stage: Stage) -> Result:
    """W1: chains of five activities, 1,000 in flight."""
    result = await throughput(stage, code.chain, count=3_000)
    for number in (0, 1_234, 2_999):
        info = await stage.client.get_instance_info(f"run2-{number:06}")
        _check(info.output == {"number": number + 5}, f"chain {number} gave {info.output!r}")
    async with Bare.set_up(stage.dsn) as bare:
        rate = await bare.rate(count=9_000)
    more = {**result.more, "bare_instances_per_s": round(rate), "share_of_bare": round(result.value / rate, 2)}
    return dataclasses.replace(result, more=more)


async def one_chain(stage: Stage) -> Result:
    """W1L: the same, one at a time."""
    await stage.run_many("warm", code.chain, count=200, in_flight=10)
    latencies = []
    for number in range(500):
        began = time.perf_counter()
        await stage.run_one(f"one-{number}", code.chain, {"number": number})
        latencies.append(1000 * (time.perf_counter() - began))
    latencies.sort()
    median = statistics.median(latencies)
    async with Bare.set_up(stage.dsn) as bare:
        bare_ms = await bare.latency_ms(count=500)
    compared = {"bare_ms": round(bare_ms, 2), "times_bare": round(median / bare_ms, 1)}
    return Result(median, {"p99_ms": round(latencies[494], 2), **compared, "instances": len(latencies)})


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


async def signals(stage: Stage) -> Result:
    """W4: from the first of 500 signals to the end of the last of 500 instances that wait for one each."""
    durations = []
    for number in range(5):
        ids = [f"listen-{number}-{index}" for index in range(500)]
        turns = stage.worker.turns_committed
        ends = [stage.worker.finished(instance_id) for instance_id in ids]
        await asyncio.gather(*(stage.client.start_orchestration(instance_id, code.listen, {}) for instance_id in ids))
        while stage.worker.turns_committed < turns + len(ids):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        await asyncio.gather(*(stage.client.send_signal(instance_id, "go", {"from": "bench"}) for instance_id in ids))
        await asyncio.gather(*ends)
        durations.append(time.perf_counter() - began)
    info = await stage.client.get_instance_info("listen-4-499")
    _check(info.output == {"from": "bench"}, f"the signal gave {info.output!r}")
    return Result(statistics.median(durations), {"runs_s": [round(duration, 3) for duration in durations]})


async def trivials(stage: Stage) -> Result:
    """W5: instances that return at once."""
    return await throughput(stage, code.trivial, count=6_000)


async def idle(stage: Stage) -> Result:
    """W6: what 1,000 waiting instances cost while nothing happens, in transactions a second.

    Autovacuum is off meanwhile: its transactions are not the worker's.
    """
    for number in range(1_000):
        await stage.client.start_orchestration(f"idle-{number}", code.sleep, {"seconds": 3_600.0})
    while (await stage.client.list_instances(InstanceFilter(phase="Pending"), Page(size=1))).items:  # noqa: ASYNC110 - no event
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
    for _ in range(20):  # the least of them is that of the code, the rest is who else was there
        began = time.perf_counter()
        execution = Execution(code.steps, Identity("steps", 1))
        for turn in turns:
            execution.replay(turn)
        replays.append(1000 * (time.perf_counter() - began))
    return Result(
        took,
        {"turns": len(turns), "last_to_first_quarter": round(last / first, 2), "replay_ms": round(min(replays), 1)},
    )


async def beside_finished(stage: Stage) -> Result:
    """W8: chains beside 10 thousand and beside a million finished instances, against chains beside none."""
    return await _beside(
        stage,
        {
            "10_thousand": lambda other: filling.finished(other, 10_000),
            "1_million": lambda other: filling.finished(other, 1_000_000),
        },
    )


async def beside_others(stage: Stage) -> Result:
    """W8B: chains beside 20,000 instances that this worker cannot run, half of them due, against chains alone."""
    return await _beside(stage, {"20_thousand": lambda other: filling.of_others(other, 10_000)})


async def _beside(stage: Stage, fills: dict[str, Callable[[Stage], Awaitable[None]]]) -> Result:
    """Run chains in full databases and in an empty one, in turn, so that a slow minute slows all of them.

    The value is the worst of the ratios to the empty one, each the median of the rounds.
    """
    async with contextlib.AsyncExitStack() as stages:
        others = {}
        for name, fill in fills.items():
            others[name] = await stages.enter_async_context(Stage.set_up(stage.server))
            await fill(others[name])
        rates: dict[str, list[float]] = {"empty": [], **{name: [] for name in others}}
        for number in range(6):
            for name, place in {"empty": stage, **others}.items():
                began = time.perf_counter()
                await place.run_many(f"run{number}", code.chain, count=1_500, in_flight=1_000)
                rates[name].append(1_500 / (time.perf_counter() - began))
    ratios = {
        name: round(
            statistics.median(there / empty for there, empty in zip(rates[name], rates["empty"], strict=True)), 2
        )
        for name in others
    }
    shown = {f"{name}_per_s": [round(rate) for rate in found] for name, found in rates.items()}
    return Result(min(ratios.values()), {**ratios, **shown})


async def memory(stage: Stage) -> Result:
    """M1: what a worker holds in memory with 10,000 waiting instances resident, in a process of its own."""
    seen = await _lone_worker(stage, waiting=10_000, residents=10_000)
    return Result(seen["rss_mb"], dict(seen))


async def beginning(stage: Stage) -> Result:
    """M2: how soon a new process has run its first instance while 100,000 others wait for timers."""
    seen = await _lone_worker(stage, waiting=100_000, residents=0)
    return Result(seen["first_end_s"], dict(seen))


async def _lone_worker(stage: Stage, *, waiting: int, residents: int) -> dict[str, float]:
    """Start a worker beside instances that wait; these are due at once when it is to take them into memory."""
    async with fresh_database(stage.server) as database:
        dsn = stage.server.dsn_of(database)
        store = await Store.open(dsn, application_name="perdure-bench")
        await filling.asleep(Client(store), dsn, count=waiting, due_seconds=-3_600.0 if residents else 86_400.0)
        await store.close()
        words = [sys.executable, "-m", "tests.bench.lone", dsn, str(residents), str(time.monotonic())]
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        printed, _ = await process.communicate()
    _check(process.returncode == 0, f"the lone worker ended with {process.returncode}")
    seen: dict[str, float] = json.loads(printed)
    return seen


async def applied(stage: Stage) -> Result:
    """C1: 1,000 Orchestrations applied at once, each a chain of five activities, and one operator."""
    seen = await resources.applied(stage.server, count=1_000)
    return Result(cast("float", seen.pop("completions_per_s")), seen)


async def many_finished(stage: Stage) -> Result:
    """C2: how soon a controller is ready and has swept beside 10,000 finished Orchestrations, and what it costs."""
    seen = await resources.many_finished(stage.server, count=10_000)
    return Result(cast("float", seen.pop("ready_s")), seen)


async def many_servers(stage: Stage) -> Result:
    """P1: 200 servers asked for at once, made by three workers within one budget."""
    seen = await provisioning.provisioned(stage.server, count=200, workers=3)
    return Result(cast("float", seen.pop("all_ready_s")), seen)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _check(is_right: bool, message: str) -> None:  # noqa: FBT001 - reads like assert, and stays under -O
    if not is_right:
        raise RuntimeError(message)


WORKLOADS: dict[str, Workload] = {
    "W1": Workload("chain of 5 activities, 1,000 in flight", "instances/s", 2_500, True, chains, tries=3),
    "W1L": Workload("the same, one at a time, p50", "ms", 5, False, one_chain, tries=3),
    "W2": Workload("fan-out and join of 1,000 activities", "s", 0.1, False, one_fan_out, tries=3),
    "W3": Workload("1,000 timers of 1 s in a burst, all done", "s", 1.3, False, timers, {"lateness_p99_ms": 50}, 3),
    "W4": Workload("500 signals to 500 waiting instances", "s", 0.2, False, signals, tries=3),
    "W5": Workload("trivial start to completion", "instances/s", 4_000, True, trivials, tries=3),
    "W6": Workload("idle worker, 1,000 waiting instances", "transactions/s", 1, False, idle),
    "W7": Workload("2,000 steps in one instance", "s", 2, False, many_steps, {"replay_ms": 10}, 3),
    "W8": Workload(
        "W1 beside 10 thousand, 1 million finished ones, to W1 beside none", "ratio", 0.8, True, beside_finished
    ),
    "W8B": Workload("W1 beside 20,000 that only others can run, to W1 beside none", "ratio", 0.9, True, beside_others),
    "M1": Workload("memory of a worker with 10,000 waiting residents", "MB", 250, False, memory),
    "M2": Workload("start to first end of a worker beside 100,000 waiting ones", "s", 2, False, beginning),
    "C1": Workload(
        "1,000 Orchestrations applied at once, until all are shown",
        "completions/s",
        15,
        True,
        applied,
        {"writes_per_run": 6, "rss_mb": 250},
    ),
    "C2": Workload(
        "start of a controller until it is ready and has swept, beside 10,000 finished Orchestrations",
        "s",
        15,
        False,
        many_finished,
        {"rss_mb": 400},
    ),
    "P1": Workload(
        "200 create-postgres applied at once, three workers, until all are ready and shown",
        "s",
        60,
        False,
        many_servers,
        {"requests_per_run": 13, "status_writes_per_run": 6, "peak_in_10_s": 1_200, "rss_mb": 250},
    ),
}

"""Random programs of the whole API, as data, and the orchestration that interprets them.

A program is JSON: a word, its options, its parts. So it is the input of an instance, stands in the trace, and a cold
replay needs nothing but the history. What activities do is part of the program too: each has a plan, one word for each
time that it is run.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Final

from perdure import (
    ActivityError,
    ChildOrchestrationError,
    Exponential,
    Fixed,
    JsonValue,
    OrchestrationCancelled,
    OrchestrationContext,
    OrchestrationRegistry,
    RetryPolicy,
    orchestration,
)
from perdure.errors import SignalsFullError

__all__ = ["NAME", "QUEUES", "SIGNALS", "STEP", "Plan", "Program", "draw", "orchestrations", "plan_of"]

Program = list[JsonValue]
NAME: Final = "sim::orchestration::rounds"
STEP: Final = "sim::activity::step"
SIGNALS: Final = ("go", "stop")
QUEUES: Final = ("side", "narrow")


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What an activity does each time it is run (the last word for all times after), and how long it takes.

    `beats` says that it beats while it works; `tag` is found again in its results; it may fail `attempts` times.
    """

    words: Sequence[str]
    takes: float
    beats: bool
    tag: str
    attempts: int


def plan_of(input: JsonValue) -> Plan:
    """Read the plan out of an activity's input."""
    assert isinstance(input, dict)
    words, takes, attempts = input["plan"], input["takes"], input["attempts"]
    assert isinstance(words, list)
    assert isinstance(attempts, int)
    assert isinstance(takes, int | float)
    return Plan([str(word) for word in words], takes, input["beats"] is not None, str(input["tag"]), attempts)


# Drawing.


def draw(dice: random.Random, depth: int = 3) -> Program:
    """Draw a program of at most this depth."""
    if depth == 0 or dice.random() < 0.25:
        return dice.choice(_LEAVES)(dice)
    word = dice.choice(_BRANCHES)
    count = {"guard": 1, "cleanup": 2, "child": 1, "detached": 1}.get(word) or dice.randint(1, 4)
    parts: list[JsonValue] = [draw(dice, depth - 1) for _ in range(count)]
    if word in {"child", "detached"}:
        return [word, {"rounds": dice.choice((1, 1, 3)), "attempts": dice.choice((1, 1, 2))}, *parts]
    return [word, *parts]


def _activity(dice: random.Random) -> Program:
    attempts = dice.choice((1, 1, 3, 5))
    bad = ("fail", "fail", "fail", "fatal", "hang", "silent", "kill")
    words: list[JsonValue] = [dice.choice(bad) for _ in range(dice.choice((0, 0, 0, 1, 2)))]
    options: dict[str, JsonValue] = {
        "plan": [*words, dice.choice(("ok", "ok", "ok", "fail"))],
        "takes": round(dice.choice((0.0, 0.0, 0.2, 3.0)) * dice.random(), 3),
        "attempts": attempts,
        "backoff": dice.choice((0, 1, 5)),
        "timeout": 4.0 if "hang" in words else dice.choice((None, 10.0)),
        "total": dice.choice((None, None, 15.0)),
        "beats": 2.0 if "silent" in words else dice.choice((None, None, 2.0)),
        "queue": dice.choice((None, None, *QUEUES)),
        "priority": dice.choice((0, 0, 5)),
        "tag": f"{dice.getrandbits(32):08x}",
    }
    return ["activity", options]


def _timer(dice: random.Random) -> Program:
    return ["timer", round(dice.choice((0.0, 1.0, 10.0, 40.0)) * dice.random(), 3)]


def _status(dice: random.Random) -> Program:
    return [dice.choice(("status", "progress", "ready"))]


def _broken(dice: random.Random) -> Program:
    return ["broken"] if dice.random() < 0.3 else ["status"]


def _wait(dice: random.Random) -> Program:
    return ["wait", dice.choice(SIGNALS)]


def _send(dice: random.Random) -> Program:
    return ["send", f"i{dice.randrange(10)}", dice.choice(SIGNALS)]


_LEAVES: list[Callable[[random.Random], Program]] = [
    _activity, _activity, _activity, _timer, _timer, _wait, _send, _status, _broken,
]  # fmt: skip
_BRANCHES = ("sequence", "sequence", "join", "select", "spawn", "guard", "cleanup", "child", "detached")


# Interpreting.


async def _interpret(ctx: OrchestrationContext, program: Sequence[JsonValue]) -> JsonValue:
    """Do what a program says."""
    word, *rest = program
    parts = [part for part in rest if isinstance(part, list)]
    match word:
        case "sequence" | "join" | "select" | "spawn":
            return await _combine(ctx, str(word), parts)
        case "guard":
            return await _guard(ctx, parts[0])
        case "cleanup":
            return await _clean_up(ctx, parts)
        case "activity":
            return await _run_activity(ctx, rest[0])
        case "timer":
            assert isinstance(rest[0], float)
            await ctx.schedule_timer(rest[0])
            return ctx.utcnow().isoformat()
        case "wait":
            return await ctx.schedule_wait(str(rest[0]))
        case "child":
            return await _run_child(ctx, rest)
        case _:
            return _say(ctx, str(word), rest)


def _say(ctx: OrchestrationContext, word: str, rest: Sequence[JsonValue]) -> JsonValue:
    """Do what needs no waiting."""
    match word:
        case "status":
            ctx.set_custom_status(str(ctx.new_guid()))
            return ctx.random("status").random()
        case "progress":
            ctx.set_progress(1, 2, "half way")
            return None
        case "ready":
            ctx.set_ready(True, "as always")
            return None
        case "send":
            return _send_signal(ctx, str(rest[0]), str(rest[1]))
        case "detached":
            instance_id = f"{ctx.instance_id}::free::{ctx.new_guid().hex[:8]}"
            ctx.schedule_orchestration(NAME, instance_id, _input_of(rest))
            return instance_id
        case _:
            message = "the code has a mistake"
            raise ValueError(message)


def _send_signal(ctx: OrchestrationContext, instance_id: str, name: str) -> JsonValue:
    """Send a signal; who is full gets none."""
    try:
        ctx.send_signal(instance_id, name, f"{ctx.instance_id} {ctx.new_guid()}")
    except SignalsFullError:
        return "full"
    return None


async def _combine(ctx: OrchestrationContext, word: str, parts: Sequence[Sequence[JsonValue]]) -> JsonValue:
    match word:
        case "sequence":
            return [await _interpret(ctx, part) for part in parts]
        case "join":
            found = await ctx.join(*(_interpret(ctx, part) for part in parts), return_exceptions=True)
            return [type(part).__name__ if isinstance(part, BaseException) else str(part) for part in found]
        case "select":
            index, value = await ctx.select(*(_interpret(ctx, part) for part in parts))
            return [index, str(value)]
        case _:
            tasks = [ctx.spawn(_interpret(ctx, part)) for part in parts]
            return [await task for task in reversed(tasks)]


async def _guard(ctx: OrchestrationContext, part: Sequence[JsonValue]) -> JsonValue:
    """Catch what goes wrong."""
    try:
        return await _interpret(ctx, part)
    except (ActivityError, ChildOrchestrationError, ValueError) as error:
        return type(error).__name__


async def _clean_up(ctx: OrchestrationContext, parts: Sequence[Sequence[JsonValue]]) -> JsonValue:
    """Compensate for the first part with the second when the instance is cancelled."""
    try:
        return await _interpret(ctx, parts[0])
    except OrchestrationCancelled:
        await _interpret(ctx, parts[1])
        raise


async def _run_activity(ctx: OrchestrationContext, options: JsonValue) -> JsonValue:
    assert isinstance(options, dict)
    attempts, backoff, timeout, total = (options[key] for key in ("attempts", "backoff", "timeout", "total"))
    assert isinstance(attempts, int)
    assert isinstance(backoff, int)
    assert timeout is None or isinstance(timeout, float)
    assert total is None or isinstance(total, float)
    beats, queue, priority = options["beats"], options["queue"], options["priority"]
    assert beats is None or isinstance(beats, float)
    assert queue is None or isinstance(queue, str)
    assert isinstance(priority, int)
    delays = Exponential(base=1, max=backoff) if backoff else Fixed(0)
    policy = RetryPolicy(attempts, backoff=delays, timeout=timeout)
    return await ctx.schedule_activity(
        STEP,
        options,
        retry=policy,
        total_timeout=total,
        heartbeat_timeout=beats,
        queue=queue,
        priority=priority,
    )


async def _run_child(ctx: OrchestrationContext, rest: Sequence[JsonValue]) -> JsonValue:
    options = rest[0]
    assert isinstance(options, dict)
    attempts = options["attempts"]
    assert isinstance(attempts, int)
    policy = RetryPolicy(attempts, backoff=Fixed(1)) if attempts > 1 else None
    return await ctx.schedule_sub_orchestration(NAME, _input_of(rest), retry=policy)


def _input_of(rest: Sequence[JsonValue]) -> JsonValue:
    options, part = rest
    assert isinstance(options, dict)
    return {"rounds": options["rounds"], "program": part}


async def _rounds(ctx: OrchestrationContext, input: dict[str, JsonValue]) -> JsonValue:
    """Interpret a program some times, each in an execution of its own."""
    rounds, part = input["rounds"], input["program"]
    assert isinstance(rounds, int)
    assert isinstance(part, list)
    result = await _interpret(ctx, part)
    if rounds > 1:
        ctx.continue_as_new({"rounds": rounds - 1, "program": part})
    return result


@orchestration(NAME, version="1.0.0")
async def rounds_1(ctx: OrchestrationContext, input: dict[str, JsonValue]) -> JsonValue:
    """Run on version 1."""
    return await _rounds(ctx, input)


@orchestration(NAME, version="2.0.0")
async def rounds_2(ctx: OrchestrationContext, input: dict[str, JsonValue]) -> JsonValue:
    """Run on version 2."""
    return await _rounds(ctx, input)


def orchestrations(*, has_old_only: bool = False) -> OrchestrationRegistry:
    """Offer what a worker of the world can run: both versions, or, of a generation before, the first."""
    return OrchestrationRegistry.of(rounds_1) if has_old_only else OrchestrationRegistry.of(rounds_1, rounds_2)

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
    Exponential,
    Fixed,
    JsonValue,
    OrchestrationCancelled,
    OrchestrationContext,
    OrchestrationRegistry,
    RetryPolicy,
    orchestration,
)

__all__ = ["STEP", "Plan", "Program", "draw", "orchestrations", "plan_of"]

Program = list[JsonValue]
STEP: Final = "sim::activity::step"


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What an activity does each time it is run (the last word for all times after), and how long it takes."""

    words: Sequence[str]
    takes: float


def plan_of(input: JsonValue) -> Plan:
    """Read the plan out of an activity's input."""
    assert isinstance(input, dict)
    words, takes = input["plan"], input["takes"]
    assert isinstance(words, list)
    assert isinstance(takes, int | float)
    return Plan([str(word) for word in words], takes)


# Drawing.


def draw(dice: random.Random, depth: int = 3) -> Program:
    """Draw a program of at most this depth."""
    if depth == 0 or dice.random() < 0.25:
        return dice.choice(_LEAVES)(dice)
    word = dice.choice(("sequence", "sequence", "join", "select", "spawn", "guard", "cleanup"))
    count = {"guard": 1, "cleanup": 2}.get(word) or dice.randint(1, 4)
    return [word, *(draw(dice, depth - 1) for _ in range(count))]


def _activity(dice: random.Random) -> Program:
    attempts = dice.choice((1, 1, 3, 5))
    bad = ("fail", "fail", "fail", "fatal", "hang", "kill")
    words: list[JsonValue] = [dice.choice(bad) for _ in range(dice.choice((0, 0, 0, 1, 2)))]
    options: dict[str, JsonValue] = {
        "plan": [*words, dice.choice(("ok", "ok", "ok", "fail"))],
        "takes": round(dice.choice((0.0, 0.0, 0.2, 3.0)) * dice.random(), 3),
        "attempts": attempts,
        "backoff": dice.choice((0, 1, 5)),
        "timeout": 4.0 if "hang" in words else dice.choice((None, 10.0)),
        "total": dice.choice((None, None, 15.0)),
    }
    return ["activity", options]


def _timer(dice: random.Random) -> Program:
    return ["timer", round(dice.choice((0.0, 1.0, 10.0, 40.0)) * dice.random(), 3)]


def _status(dice: random.Random) -> Program:
    return ["status"]


def _broken(dice: random.Random) -> Program:
    return ["broken"] if dice.random() < 0.3 else ["status"]


_LEAVES: list[Callable[[random.Random], Program]] = [_activity, _activity, _activity, _timer, _timer, _status, _broken]


# Interpreting.


async def _interpret(ctx: OrchestrationContext, program: Sequence[JsonValue]) -> JsonValue:
    """Do what a program says."""
    word, *rest = program
    parts = [part for part in rest if isinstance(part, list)]
    match word:
        case "activity":
            return await _run_activity(ctx, rest[0])
        case "timer":
            assert isinstance(rest[0], float)
            await ctx.schedule_timer(rest[0])
            return ctx.utcnow().isoformat()
        case "status":
            ctx.set_custom_status(str(ctx.new_guid()))
            return ctx.random("status").random()
        case "broken":
            message = "the code has a mistake"
            raise ValueError(message)
        case "guard":
            return await _guard(ctx, parts[0])
        case "cleanup":
            return await _clean_up(ctx, parts)
        case _:
            return await _combine(ctx, str(word), parts)


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
    except (ActivityError, ValueError) as error:
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
    delays = Exponential(base=1, max=backoff) if backoff else Fixed(0)
    policy = RetryPolicy(attempts, backoff=delays, timeout=timeout)
    return await ctx.schedule_activity(STEP, options, retry=policy, total_timeout=total)


@orchestration("sim::orchestration::program")
async def program(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Interpret the input."""
    assert isinstance(input, list)
    return await _interpret(ctx, input)


def orchestrations() -> OrchestrationRegistry:
    """Offer what every worker of the world can run."""
    return OrchestrationRegistry.of(program)

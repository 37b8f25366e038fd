"""Random programs: whatever is built of the whole API replays to the same commands.

A program is data; an orchestration interprets it. Random results and signals arrive in random batches and orders, a
cancel may come, executions continue as new, and after every turn the whole history is replayed cold (`runs.Run`).
Examples prove presence, seeds find absence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from hypothesis import given
from hypothesis import strategies as st

from perdure import (
    ActivityError,
    ChildOrchestrationError,
    Fixed,
    JsonValue,
    OrchestrationCancelled,
    OrchestrationContext,
    RetryPolicy,
    orchestration,
)
from perdure._core import history, projection
from tests.unit.core.runs import Run, child_completed, child_failed, close_all, completed, failed, fired, signal

Program = list["Program | str"]
"""A word and its parts: ["join", program, ...], ["activity"], ["timer"]."""

SIGNALS = ("go", "stop")
RETRY = RetryPolicy(2, backoff=Fixed(1), timeout=5)
Numbered = (
    history.ScheduleActivity
    | history.CreateTimer
    | history.WaitForSignal
    | history.ScheduleSubOrchestration
    | history.StartOrchestration
    | history.SendSignal
)
leaves = st.sampled_from(
    ["activity", "timer", "say", *SIGNALS, "child", "stubborn child", "detached", "send", "draw", "continue"]
).map(lambda word: [word])
programs = st.recursive(
    leaves,
    lambda parts: st.builds(
        lambda word, inner: [word, *inner],
        st.sampled_from(["join", "gather", "select", "sequence", "spawn", "leave", "guard"]),
        st.lists(parts, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


async def interpret(ctx: OrchestrationContext, program: Sequence[JsonValue]) -> JsonValue:
    """Do what a program says."""
    word, *parts = program
    inner = [part for part in parts if isinstance(part, list)]
    match word:
        case "join":
            return [str(part) for part in await ctx.join(*(interpret(ctx, part) for part in inner))]
        case "gather":
            results = await ctx.join(*(interpret(ctx, part) for part in inner), return_exceptions=True)
            return [str(part) for part in results]
        case "select":
            index, value = await ctx.select(*(interpret(ctx, part) for part in inner))
            return [index, str(value)]
        case "sequence":
            return [await interpret(ctx, part) for part in inner]
        case "spawn":
            tasks = [ctx.spawn(interpret(ctx, part)) for part in inner]
            return [await task for task in reversed(tasks)]
        case "leave":
            for part in inner[1:]:
                ctx.spawn(interpret(ctx, part))
            return await interpret(ctx, inner[0])
        case "guard":
            return await guard(ctx, inner)
        case _:
            return await step(ctx, str(word))


async def guard(ctx: OrchestrationContext, inner: Sequence[Sequence[JsonValue]]) -> JsonValue:
    """Catch what goes wrong in the first part, and clean up with the last."""
    try:
        return await interpret(ctx, inner[0])
    except (ActivityError, ChildOrchestrationError) as error:
        return error.message
    except OrchestrationCancelled:
        await interpret(ctx, inner[-1])
        raise


async def step(ctx: OrchestrationContext, word: str) -> JsonValue:
    """Take one step of a program, of those that can be waited for."""
    match word:
        case "activity":
            return await ctx.schedule_activity("step", str(ctx.new_guid()))
        case "timer":
            await ctx.schedule_timer(10)
            return "rang"
        case "go" | "stop":
            return await ctx.schedule_wait(word)
        case "child":
            return await ctx.schedule_sub_orchestration("child", str(ctx.new_guid()))
        case "stubborn child":
            return await ctx.schedule_sub_orchestration("child", retry=RETRY)
        case _:
            return say(ctx, word)


def say(ctx: OrchestrationContext, word: str) -> JsonValue:
    """Take one step of a program, of those that nothing comes back of."""
    match word:
        case "say":
            ctx.set_custom_status(str(ctx.new_guid()))
            ctx.set_progress(1, 2, "half")
            ctx.set_ready(True)
            ctx.trace_info("said")
        case "detached":
            ctx.schedule_orchestration("other", str(ctx.new_guid()), ctx.utcnow().isoformat())
        case "send":
            ctx.send_signal("neighbour", "go", ctx.utcnow().isoformat())
        case "draw":
            return ctx.random("dice").random()
        case _:
            ctx.continue_as_new(ctx.execution)
    return word


@orchestration("unit::orchestration::interpreter")
async def interpreter(ctx: OrchestrationContext, input: list[JsonValue] | int) -> JsonValue:
    """Interpret the input; what continues as new ends with a signal and a step."""
    if isinstance(input, list):
        return await interpret(ctx, input)
    return [await ctx.schedule_wait("go"), await ctx.schedule_activity("step")]


@given(program=programs, data=st.data())
def test_every_program_replays_to_the_same_commands(program: Program, data: st.DataObject) -> None:
    """After every turn, whatever came in which order, a fresh execution asks for the same and waits for the same."""
    run = Run(interpreter, program)
    cancels = data.draw(st.sampled_from([False, False, True]), "is cancelled")
    while True:
        check(run)
        if isinstance(run.execution.outcome, history.ContinueAsNew):
            run = run.next()
            continue
        if run.execution.outcome is not None:
            break
        chosen = data.draw(st.lists(st.sampled_from(run.open), min_size=1, max_size=4), "results")
        events = [result(run, seq, is_fine=data.draw(st.integers(0, 4), "luck") > 0) for seq in chosen]
        events += [signal(name, "extra") for name in data.draw(st.lists(st.sampled_from(SIGNALS), max_size=2), "extra")]
        if cancels and data.draw(st.booleans(), "cancel now"):
            events.append(history.CancelRequested("enough"))
            cancels = False
        run.turn(*data.draw(st.permutations(events), "order"))
        if data.draw(st.booleans(), "crash"):
            run.crash()
    close_all()


def result(run: Run, seq: int, *, is_fine: bool) -> history.Event:
    """Make a result that fits an open operation."""
    command = run.execution.pending[seq].command
    match command:
        case history.ScheduleActivity():
            return completed(seq, f"result {seq}") if is_fine else failed(seq, f"failure {seq}")
        case history.CreateTimer():
            return fired(seq)
        case history.WaitForSignal(name=name):
            return signal(name, f"signal {seq}")
        case history.ScheduleSubOrchestration():
            return child_completed(seq, f"child {seq}") if is_fine else child_failed(seq, f"failure {seq}")
        case _:
            assert_never(command)


def check(run: Run) -> None:
    """Hold what is true of every history: numbers without gaps, no signal lost, and a projection that agrees."""
    asked = [command for command in run.commands if isinstance(command, Numbered)]
    assert [command.seq for command in asked] == list(range(1, len(asked) + 1))

    came = sum(isinstance(event, history.SignalReceived) for turn in run.turns for event in turn.events)
    waits = {command.seq for command in asked if isinstance(command, history.WaitForSignal)}
    given_up = {command.seq for command in run.commands if isinstance(command, history.CancelWait)}
    assert came == len(waits - given_up - set(run.open)) + run.execution.buffered_signals

    shown = projection.Projection()
    for turn in run.turns:
        projection.fold(shown, turn)
    if run.execution.outcome is None:
        assert sorted([*shown.running, *shown.timers, *shown.waits]) == run.open
        assert shown.kept_signals.total() == run.execution.buffered_signals

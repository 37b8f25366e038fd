"""Random programs: whatever is built of activities, timers, joins, selects and spawns replays to the same commands.

A program is data; an orchestration interprets it. Random results arrive in random batches and orders, a cancel may
come, and after every turn the whole history is replayed cold (`runs.Run`). Examples prove presence, seeds find absence.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from perdure import ActivityError, JsonValue, OrchestrationCancelled, OrchestrationContext, orchestration
from perdure._core import history
from tests.unit.core.runs import Run, close_all, completed, failed, fired

Program = list["Program | str"]
"""A word and its parts: ["join", program, ...], ["activity"], ["timer"]."""

leaves = st.sampled_from(["activity", "timer", "status"]).map(lambda word: [word])
programs = st.recursive(
    leaves,
    lambda parts: st.builds(
        lambda word, inner: [word, *inner],
        st.sampled_from(["join", "select", "sequence", "spawn", "guard"]),
        st.lists(parts, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


async def interpret(ctx: OrchestrationContext, program: Sequence[JsonValue]) -> JsonValue:
    """Do what a program says."""
    word, *parts = program
    inner = [part for part in parts if isinstance(part, list)]
    match word:
        case "activity":
            return await ctx.schedule_activity("step", str(ctx.new_guid()))
        case "timer":
            await ctx.schedule_timer(10)
            return "rang"
        case "status":
            ctx.set_custom_status(str(ctx.new_guid()))
            return ctx.utcnow().isoformat()
        case "join":
            return [str(part) for part in await ctx.join(*(interpret(ctx, part) for part in inner))]
        case "select":
            index, value = await ctx.select(*(interpret(ctx, part) for part in inner))
            return [index, str(value)]
        case "sequence":
            return [await interpret(ctx, part) for part in inner]
        case "spawn":
            tasks = [ctx.spawn(interpret(ctx, part)) for part in inner]
            return [await task for task in reversed(tasks)]
        case _:
            return await guard(ctx, inner)


async def guard(ctx: OrchestrationContext, inner: Sequence[Sequence[JsonValue]]) -> JsonValue:
    """Catch what goes wrong in the first part, and clean up with the last."""
    try:
        return await interpret(ctx, inner[0])
    except ActivityError as error:
        return error.message
    except OrchestrationCancelled:
        await interpret(ctx, inner[-1])
        raise


@orchestration("unit::orchestration::interpreter")
async def interpreter(ctx: OrchestrationContext, input: list[JsonValue]) -> JsonValue:
    """Interpret the input."""
    return await interpret(ctx, input)


@given(program=programs, data=st.data())
def test_every_program_replays_to_the_same_commands(program: Program, data: st.DataObject) -> None:
    """After every turn, whatever came in which order, a fresh execution asks for the same and waits for the same."""
    run = Run(interpreter, program)
    cancels = data.draw(st.sampled_from([False, False, True]), "is cancelled")

    while run.execution.outcome is None:
        chosen = data.draw(st.lists(st.sampled_from(run.open), min_size=1, max_size=4), "results")
        events = [result(run, seq, is_fine=data.draw(st.integers(0, 4), "luck") > 0) for seq in chosen]
        if cancels and data.draw(st.booleans(), "cancel now"):
            events.insert(data.draw(st.integers(0, len(events)), "place"), history.CancelRequested("enough"))
            cancels = False
        run.turn(*events)
        if data.draw(st.booleans(), "crash"):
            run.crash()

    asked = [command for command in run.commands if isinstance(command, history.ScheduleActivity | history.CreateTimer)]
    assert [command.seq for command in asked] == list(range(1, len(asked) + 1))
    close_all()


def result(run: Run, seq: int, *, is_fine: bool) -> history.Event:
    """Make a result that fits an open operation."""
    command = run.execution.pending[seq].command
    match command:
        case history.ScheduleActivity():
            return completed(seq, f"result {seq}") if is_fine else failed(seq, f"failure {seq}")
        case history.CreateTimer():
            return fired(seq)
        case _:
            raise AssertionError(command)

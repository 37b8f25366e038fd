"""Signals on the pure core: kept, in order, never lost to a race, read as the type that is waited for."""

from __future__ import annotations

import dataclasses

import pytest

from perdure import JsonValue, OrchestrationCancelled, OrchestrationContext, errors, orchestration
from perdure._core import history
from tests.unit.core.runs import Run, completed, fired, signal


@dataclasses.dataclass
class Approval:
    """What an approver says."""

    by: str
    is_granted: bool


@orchestration("unit::orchestration::waiting")
async def waiting(ctx: OrchestrationContext, input: list[str]) -> list[JsonValue]:
    """Wait for these signals, one after the other, and do a step after each."""
    got: list[JsonValue] = []
    for name in input:
        got.append(await ctx.schedule_wait(name))
        await ctx.schedule_activity("step", got[-1])
    return got


@orchestration("unit::orchestration::racing")
async def racing(ctx: OrchestrationContext, input: str) -> list[object]:
    """Race a timer against a wait for `go`, bare or in a coroutine; then wait for the next `go`."""

    async def beside() -> JsonValue:
        return await ctx.schedule_wait("go")

    timer = ctx.schedule_timer(60)
    match input:
        case "bare":
            index, first = await ctx.select(timer, ctx.schedule_wait("go"))
        case "spawned":
            index, first = await ctx.select(timer, ctx.spawn(beside()))
        case _:
            index, first = await ctx.select(timer, beside())
    return [index, first, await ctx.schedule_wait("go")]


def test_a_signal_ends_the_wait_for_it() -> None:
    """The code that waits gets the payload; the wait is a command, the signal an event."""
    run = Run(waiting, ["go"])
    assert run.commands == [history.WaitForSignal(1, "go")]

    run.turn(signal("go", {"width": 3}))
    run.turn(completed(2))

    assert run.output == [{"width": 3}]


def test_a_signal_that_comes_before_its_wait_is_kept() -> None:
    """Nobody need be there: the wait then ends in the turn in which it is asked for."""
    run = Run(waiting, ["a", "b"])
    run.turn(signal("b", "early"))
    assert run.execution.buffered_signals == 1

    run.turn(signal("a", "late"))
    commands = run.turn(completed(2))

    assert [type(command) for command in commands] == [history.WaitForSignal, history.ScheduleActivity]
    assert run.execution.buffered_signals == 0
    run.turn(completed(4))
    assert run.output == ["late", "early"]


def test_a_signal_that_comes_with_the_start_is_kept() -> None:
    """Sent in the same moment as the start, it is there when the code first waits."""
    run = Run(waiting, ["go"], starts=False)

    run.turn(run.started, signal("go", "with the start"))
    run.turn(completed(2))

    assert run.output == ["with the start"]


@pytest.mark.parametrize("turns", [[0, 0, 0], [0, 1, 2], [0, 0, 1]], ids=["at once", "one by one", "mixed"])
def test_signals_of_a_name_are_taken_in_the_order_in_which_they_came(turns: list[int]) -> None:
    """First in, first out, however they are spread over turns; of equal ones each counts."""
    run = Run(waiting, ["go", "go", "go"])
    sent = ["first", "second", "second"]

    for number in range(3):
        if together := [signal("go", text) for text, turn in zip(sent, turns, strict=True) if turn == number]:
            run.turn(*together)
    while run.execution.outcome is None:
        run.crash()
        run.turn(*(completed(seq) for seq in run.open))

    assert run.output == sent


def test_names_are_independent() -> None:
    """A signal of one name neither ends nor delays the wait for another."""
    run = Run(waiting, ["a", "b"])

    assert run.turn(signal("b", 1), signal("c", 2), signal("b", 3)) == []
    run.turn(signal("a", 4))
    run.turn(completed(2))
    run.turn(completed(4))

    assert (run.output, run.execution.buffered_signals) == ([4, 1], 2)


def test_two_waits_at_once_share_the_signals_in_their_order() -> None:
    """The first to wait gets the first to come."""

    @orchestration("unit::orchestration::pair")
    async def pair(ctx: OrchestrationContext) -> list[JsonValue]:
        first, second = ctx.schedule_wait("go"), ctx.schedule_wait("go")
        return list(await ctx.join(second, first))

    run = Run(pair)
    run.turn(signal("go", 1))
    run.turn(signal("go", 2))

    assert run.output == [2, 1]


@pytest.mark.parametrize("way", ["bare", "spawned", "coroutine"])
def test_a_wait_that_lost_its_race_takes_no_signal_with_it(way: str) -> None:
    """Timer first, then the signal: it goes to the next wait, wherever the wait that was given up sat."""
    run = Run(racing, way)
    timer, wait = run.commands
    assert (timer, wait) == (run.turns[0].commands[0], history.WaitForSignal(2, "go"))

    commands = run.turn(fired(1))
    assert list(commands) == [history.CancelWait(2), history.WaitForSignal(3, "go")]
    run.turn(signal("go", "for the next"))

    assert run.output == [0, None, "for the next"]


@pytest.mark.parametrize("way", ["bare", "spawned", "coroutine"])
def test_of_a_timer_and_a_signal_in_one_turn_the_first_decides_and_nothing_is_lost(way: str) -> None:
    """Timer before signal: the timer wins and the next wait has the signal. The other way round the signal wins."""
    late, early = Run(racing, way), Run(racing, way)

    late.turn(fired(1), signal("go", "late"))
    early.turn(signal("go", "early"), fired(1))
    early.turn(signal("go", "next"))

    assert late.output == [0, None, "late"]
    assert early.output == [1, "early", "next"]


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]])
def test_a_race_among_signals_that_are_there_already_takes_one_of_them(order: list[str]) -> None:
    """The one that came first wins; the other is kept for who waits for it next."""

    @orchestration("unit::orchestration::either")
    async def either(ctx: OrchestrationContext) -> list[JsonValue]:
        await ctx.schedule_activity("step")
        got: list[JsonValue] = []
        for _ in range(2):
            _, value = await ctx.select(ctx.schedule_wait("a"), ctx.schedule_wait("b"))
            got.append(str(value))
        return got

    run = Run(either)
    run.turn(*(signal(name, f"{name} of {order}") for name in order))
    run.turn(completed(1))

    assert run.output == [f"{name} of {order}" for name in order]


def test_a_timer_that_has_rung_wins_over_a_signal_that_is_kept() -> None:
    """What is done already is first; the signal is kept."""

    @orchestration("unit::orchestration::rung")
    async def rung(ctx: OrchestrationContext) -> list[object]:
        timer = ctx.schedule_timer(1)
        await ctx.schedule_activity("step")
        index, _ = await ctx.select(ctx.schedule_wait("go"), timer)
        return [index, await ctx.schedule_wait("go")]

    run = Run(rung)
    run.turn(signal("go", "kept"), fired(1))
    run.turn(completed(2))

    assert run.output == [1, "kept"]


def test_a_cancelled_wait_is_told_and_takes_nothing() -> None:
    """A cancel gives the wait up; compensation may wait for the same signal."""

    @orchestration("unit::orchestration::stopping")
    async def stopping(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_wait("go")
        except OrchestrationCancelled:
            ctx.set_custom_status(await ctx.schedule_wait("go"))
            raise

    run = Run(stopping)
    assert list(run.turn(history.CancelRequested("enough"))) == [
        history.CancelWait(1),
        history.WaitForSignal(2, "go"),
    ]

    said, end = run.turn(signal("go", "after all"))

    assert isinstance(said, history.SetCustomStatus)
    assert bytes(said.value) == b'"after all"'
    assert end == history.CancelOrchestration("enough")


def test_a_payload_is_read_as_the_type_that_is_waited_for() -> None:
    """Dataclasses, models and JSON types: as with results of activities."""

    @orchestration("unit::orchestration::approved")
    async def approved(ctx: OrchestrationContext) -> str:
        approval = await ctx.schedule_wait("approval", type=Approval)
        return approval.by if approval.is_granted else ""

    run = Run(approved)
    run.turn(signal("approval", Approval("Ada", is_granted=True)))

    assert run.output == "Ada"


def test_a_payload_that_does_not_fit_raises_at_the_await_and_is_used_up() -> None:
    """The code may catch it and wait for a better one."""

    @orchestration("unit::orchestration::patient")
    async def patient(ctx: OrchestrationContext) -> list[str]:
        while True:
            try:
                approval = await ctx.schedule_wait("approval", type=Approval)
            except errors.InputInvalidError as error:
                ctx.set_custom_status(error.message)
            else:
                return [approval.by]

    run = Run(patient)
    said, again = run.turn(signal("approval", {"by": "Ada"}))
    assert isinstance(said, history.SetCustomStatus)
    assert b"is_granted: Field required" in bytes(said.value)
    assert again == history.WaitForSignal(2, "approval")
    run.turn(signal("approval", {"by": "Ada", "is_granted": True}))

    assert run.output == ["Ada"]


def test_signals_that_come_with_the_end_change_nothing() -> None:
    """An instance that has ended is over, whatever comes in the same turn or later."""
    run = Run(waiting, [])

    assert run.output == []
    assert run.turn(signal("go")) == []


def test_a_coroutine_that_is_left_behind_takes_no_signal() -> None:
    """Code that has returned waits for nothing: a forgotten coroutine does not eat what came in the last turn."""

    @orchestration("unit::orchestration::forgetful")
    async def forgetful(ctx: OrchestrationContext) -> None:
        async def forgotten() -> None:
            await ctx.schedule_wait("go")

        ctx.spawn(forgotten())
        await ctx.schedule_activity("step")
        ctx.continue_as_new()

    run = Run(forgetful)
    run.turn(completed(1), signal("go", "kept"))

    outcome = run.execution.outcome
    assert isinstance(outcome, history.ContinueAsNew)
    assert outcome.carried == [signal("go", "kept")]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201, 3, None])
def test_what_can_be_no_name_of_a_signal_fails_by_name(name: object) -> None:
    """Nobody could ever send it."""

    @orchestration("unit::orchestration::nameless")
    async def nameless(ctx: OrchestrationContext) -> None:
        await ctx.schedule_wait(name)  # type: ignore[call-overload]  # what the test is about

    failed = Run(nameless).failure

    assert failed.code == errors.DefinitionError.code
    assert "name for a signal" in failed.message


def test_a_thousand_kept_signals_are_taken_one_by_one() -> None:
    """A queue of its own: each round of a loop takes the next, whether the code waits or they do."""

    @orchestration("unit::orchestration::queue")
    async def queue(ctx: OrchestrationContext) -> int:
        await ctx.schedule_activity("step")
        return sum([await ctx.schedule_wait("item", type=int) for _ in range(1_000)])

    run = Run(queue)
    run.turn(*(signal("item", number) for number in range(1_000)))
    run.turn(completed(1))

    assert run.output == sum(range(1_000))


@orchestration("unit::orchestration::sending")
async def sending(ctx: OrchestrationContext, input: str) -> str:
    """Send two words after a step, and one more after another."""
    await ctx.schedule_activity("step")
    try:
        ctx.send_signal("free", "word")
        ctx.send_signal(input, "word")
    except errors.SignalsFullError as error:
        said = error.instance_id
    else:
        said = "nobody"
    await ctx.schedule_activity("step")
    ctx.send_signal(input, "word")
    return said


def test_who_is_said_to_be_full_takes_none_in_this_turn() -> None:
    """The send to that one raises, others are sent, and in a later turn it is tried again."""
    run = Run(sending, "full")

    commands = run.turn(history.SignalRefused("full"), completed(1))

    sent = [command for command in commands if isinstance(command, history.SendSignal)]
    assert [command.instance_id for command in sent] == ["free"]
    later = [command for command in run.turn(completed(3)) if isinstance(command, history.SendSignal)]
    assert ([command.instance_id for command in later], run.output) == (["full"], "full")


def test_a_cancel_finds_nothing_done_where_the_first_turn_was_refused() -> None:
    """Who is full is told with the start; a cancel that comes meanwhile ends the run before its first step."""
    run = Run(sending, "full", starts=False)

    commands = run.turn(run.started, history.SignalRefused("full"), history.CancelRequested("no"))

    assert [type(command) for command in commands] == [history.CancelOrchestration]


def test_a_turn_that_is_taken_back_is_as_if_it_had_not_been() -> None:
    """The code stands after what is recorded again, and takes the turn anew, with more than the first time."""
    run = Run(sending, "full")
    recorded = list(run.turns)
    run.execution.advance(recorded[-1].at, [completed(1)])

    run.execution.rewind(recorded)

    assert run.open == [1]
    commands = run.turn(history.SignalRefused("full"), completed(1))
    assert [type(command) for command in commands] == [history.SendSignal, history.ScheduleActivity]

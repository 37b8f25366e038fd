"""Children, detached instances and signals to others, on the pure core: which commands, and what comes back."""

from __future__ import annotations

import datetime

import msgspec
import pydantic
import pytest

from perdure import (
    ChildOrchestrationError,
    Exponential,
    Fixed,
    JsonValue,
    OrchestrationContext,
    RetryPolicy,
    errors,
    orchestration,
)
from perdure._core import history, lifecycle, limits
from perdure._core.definition import AnyOrchestration
from tests.unit.core.runs import Run, child_completed, child_failed, completed, fired, signal

CANCEL = history.CancelRequested("not needed")


class Tenant(pydantic.BaseModel):
    """What a child makes."""

    name: str


@orchestration("unit::orchestration::child", version="1.2.0")
async def child(ctx: OrchestrationContext, input: str) -> Tenant:
    """Make a tenant; only its signature matters here."""
    return Tenant(name=input)


@orchestration("unit::orchestration::parent")
async def parent(ctx: OrchestrationContext) -> str:
    """Run one child, and say what came of it."""
    try:
        return (await ctx.schedule_sub_orchestration(child, "acme")).name
    except ChildOrchestrationError as error:
        return f"{error.type}|{error.message}|{error.name}|{error.instance_id}|{error.cause_code}"


def asked(seq: int, instance_id: str = "", *, version: str = "") -> history.ScheduleSubOrchestration:
    """Give the command that asks for the child."""
    name, input = "unit::orchestration::child", msgspec.Raw(b'"acme"')
    return history.ScheduleSubOrchestration(seq, name, input, instance_id or f"run::sub::1.{seq}", version)


def retrying(policy: RetryPolicy, instance_id: str | None = None) -> AnyOrchestration:
    """Make an orchestration that runs its child with a retry policy."""

    @orchestration("unit::orchestration::retrying")
    async def code(ctx: OrchestrationContext) -> str:
        made = await ctx.schedule_sub_orchestration(child, "acme", instance_id=instance_id, retry=policy)
        return made.name

    return code


def test_a_child_is_asked_for_under_an_id_that_follows_from_its_parent() -> None:
    """Parent, execution and number of the call: the same on every replay, another one for each call."""

    @orchestration("unit::orchestration::parent-of-two")
    async def parent_of_two(ctx: OrchestrationContext) -> None:
        await ctx.join(*(ctx.schedule_sub_orchestration(child, "acme") for _ in range(2)))

    assert Run(parent_of_two).commands == [asked(1), asked(2)]
    assert Run(parent_of_two, number=7).commands[0] == asked(1, "run::sub::7.1")


@pytest.mark.parametrize("code", ["definition", "name"])
def test_a_child_is_asked_for_under_the_id_and_version_given(code: str) -> None:
    """Both are taken to the letter, of a definition and of a name alike."""

    @orchestration("unit::orchestration::exact")
    async def exact(ctx: OrchestrationContext) -> None:
        if code == "name":
            await ctx.schedule_sub_orchestration(child.name, "acme", instance_id="mine", version="1.0.0")
        await ctx.schedule_sub_orchestration(child, "acme", instance_id="mine", version="1.0.0")

    assert Run(exact).commands == [asked(1, "mine", version="1.0.0")]


def test_the_output_of_a_child_is_read_as_its_type() -> None:
    """A definition says its type; a name gives JSON, or what `returns` says."""

    @orchestration("unit::orchestration::typed")
    async def typed(ctx: OrchestrationContext) -> list[JsonValue]:
        plain = await ctx.schedule_sub_orchestration(child.name, "acme")
        chosen = await ctx.schedule_sub_orchestration(child.name, "acme", returns=Tenant)
        return [(await ctx.schedule_sub_orchestration(child, "acme")).name, plain, chosen.name]

    run = Run(typed)
    for seq in (1, 2, 3):
        run.turn(child_completed(seq, {"name": f"tenant {seq}"}))

    assert run.output == ["tenant 3", {"name": "tenant 1"}, "tenant 2"]


def test_an_output_that_does_not_fit_is_an_error_at_the_await() -> None:
    """As with results of activities: the path of the field is told."""
    run = Run(parent)

    run.turn(child_completed(1, {"title": "acme"}))

    assert run.failure.code == errors.InputInvalidError.code
    assert "name: Field required" in run.failure.message


def test_a_child_that_failed_raises_with_all_that_is_known() -> None:
    """Type, message and code of its error, name and id of the child; the parent may catch it and go on."""
    run = Run(parent)

    run.turn(child_failed(1, "no room"))

    assert run.output == "ValueError|no room|unit::orchestration::child|run::sub::1.1|PERDURE-1200"


def test_a_child_that_was_cancelled_by_itself_is_an_error_of_its_parent() -> None:
    """Whoever cancelled it: the parent gets the reason, and may go on."""
    cancelled = lifecycle.failure_of(history.CancelOrchestration("not needed"))
    run = Run(parent)

    run.turn(history.ChildFailed(1, cancelled))

    said = str(run.output).split("|")
    assert (said[0], "not needed" in said[1], said[3]) == ("InstanceCancelledError", True, "run::sub::1.1")
    assert said[4] == errors.InstanceCancelledError.code


def test_an_uncaught_failure_of_a_child_fails_its_parent_and_names_the_child() -> None:
    """From the error of the topmost parent one finds the way down."""

    @orchestration("unit::orchestration::careless")
    async def careless(ctx: OrchestrationContext) -> None:
        await ctx.schedule_sub_orchestration(child, "acme")

    run = Run(careless)
    run.turn(child_failed(1, "no room"))

    assert run.failure.code == errors.ChildOrchestrationError.code
    assert "unit::orchestration::child (run::sub::1.1) failed: ValueError: no room" in run.failure.message


def test_the_first_end_of_a_child_stands() -> None:
    """A second one, of the same kind or the other, in the same turn or later, changes nothing."""

    @orchestration("unit::orchestration::slow")
    async def slow(ctx: OrchestrationContext) -> str:
        made = await ctx.schedule_sub_orchestration(child, "acme")
        await ctx.schedule_activity("step")
        return made.name

    run = Run(slow)
    run.turn(child_completed(1, {"name": "first"}), child_failed(1), child_completed(1, {"name": "second"}))
    run.turn(child_failed(1))
    run.turn(completed(2))

    assert run.output == "first"


@pytest.mark.parametrize("stranger", [completed(1), fired(1), child_completed(9)], ids=["activity", "timer", "unasked"])
def test_an_end_that_fits_no_child_is_told(stranger: history.Event) -> None:
    """A result of another kind, or of nothing that was asked for, is never applied silently."""
    with pytest.raises(errors.NondeterminismError):
        Run(parent).turn(stranger)


def test_a_child_that_lost_its_race_is_asked_to_end() -> None:
    """The command is there once; what the child says afterwards is left alone."""

    @orchestration("unit::orchestration::impatient")
    async def impatient(ctx: OrchestrationContext) -> int:
        index, _ = await ctx.select(ctx.schedule_sub_orchestration(child, "acme"), ctx.schedule_timer(60))
        await ctx.schedule_activity("step")
        return index

    run = Run(impatient)
    run.turn(fired(2))
    run.turn(child_failed(1, "cancelled"))
    run.turn(completed(3))

    assert run.output == 1
    assert [command for command in run.commands if isinstance(command, history.CancelSubOrchestration)] == [
        history.CancelSubOrchestration(1, "run::sub::1.1")
    ]


def test_children_are_cancelled_with_their_parent_and_compensation_may_run_others() -> None:
    """The cancel of a parent gives up what it waits for, in its order."""

    @orchestration("unit::orchestration::compensating")
    async def compensating(ctx: OrchestrationContext) -> None:
        try:
            await ctx.join(*(ctx.schedule_sub_orchestration(child, "acme") for _ in range(2)))
        finally:
            await ctx.schedule_sub_orchestration(child, "acme", instance_id="undo")

    run = Run(compensating)

    assert list(run.turn(CANCEL)) == [
        history.CancelSubOrchestration(1, "run::sub::1.1"),
        history.CancelSubOrchestration(2, "run::sub::1.2"),
        asked(3, "undo"),
    ]
    assert list(run.turn(child_completed(3, {"name": "undone"}))) == [history.CancelOrchestration("not needed")]


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (completed(2), history.CompleteOrchestration),
        (history.ActivityFailed(2, child_failed(2).failure), history.FailOrchestration),
        (CANCEL, history.CancelOrchestration),
    ],
    ids=["completed", "failed", "cancelled"],
)
def test_a_child_that_nobody_waits_for_is_asked_to_end_with_its_parent(
    last: history.Event, end: type[history.Outcome]
) -> None:
    """However the parent ends: a child that was started and forgotten does not go on for nobody."""

    @orchestration("unit::orchestration::forgetful")
    async def forgetful(ctx: OrchestrationContext) -> None:
        ctx.schedule_sub_orchestration(child, "acme")
        await ctx.schedule_activity("step")

    run = Run(forgetful)
    commands = [command for command in run.turn(last) if not isinstance(command, history.CancelActivity)]

    assert commands[0] == history.CancelSubOrchestration(1, "run::sub::1.1")
    assert [type(command) for command in commands[1:]] == [end]


def test_the_end_of_the_grace_asks_children_to_end() -> None:
    """A child that compensation waits for when it is ended by force is not left running."""

    @orchestration("unit::orchestration::endless")
    async def endless(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_activity("step")
        finally:
            await ctx.schedule_sub_orchestration(child, "acme")

    run = Run(endless)
    run.turn(CANCEL)

    commands = run.turn(history.GraceEnded())

    assert [type(command) for command in commands] == [history.CancelSubOrchestration, history.CancelOrchestration]


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_child_that_failed_is_run_again_as_a_new_instance() -> None:
    """As often as the policy says, with its delays between them; the error of the last is raised."""
    run = Run(retrying(RetryPolicy(3, backoff=Fixed(10), jitter=0)))

    run.turn(child_failed(1, "first"))
    run.turn(fired(2))
    run.turn(child_failed(3, "second"))
    run.turn(fired(4))
    run.turn(child_failed(5, "third"))

    children = [command for command in run.commands if isinstance(command, history.ScheduleSubOrchestration)]
    assert children == [asked(1), asked(3), asked(5)]
    assert "(run::sub::1.5) failed: ValueError: third" in run.failure.message
    timers = [command for command in run.commands if isinstance(command, history.CreateTimer)]
    assert [timer.fire_at - run.turns[number].at for timer, number in zip(timers, (1, 3), strict=True)] == [
        datetime.timedelta(seconds=10)
    ] * 2


def test_a_given_id_is_numbered_from_its_second_run_on() -> None:
    """An id is used once: the second run of `mine` is `mine~2`."""
    run = Run(retrying(RetryPolicy(3, backoff=Fixed(0)), "mine"))

    run.turn(child_failed(1))
    run.turn(fired(2))
    run.turn(child_completed(3, {"name": "acme"}))

    children = [command for command in run.commands if isinstance(command, history.ScheduleSubOrchestration)]
    assert children == [asked(1, "mine"), asked(3, "mine~2")]
    assert run.output == "acme"


def test_a_child_that_says_that_trying_again_is_of_no_use_is_not_run_again() -> None:
    """`NonRetryableError` counts across the tree."""
    run = Run(retrying(RetryPolicy(3)))

    run.turn(child_failed(1, "never", retryable=False))

    assert run.failure.message.endswith("never")


def test_each_run_of_a_child_has_the_time_of_the_policy() -> None:
    """One that takes longer is asked to end and is run again; its id is in the error of the last."""
    run = Run(retrying(RetryPolicy(2, backoff=Fixed(1), timeout=60)))
    assert run.commands[1] == history.CreateTimer(2, run.turns[0].at + datetime.timedelta(seconds=60))

    assert history.CancelSubOrchestration(1, "run::sub::1.1") in run.turn(fired(2))
    run.turn(fired(3))
    run.turn(fired(5))

    assert run.failure.message == (
        "sub-orchestration unit::orchestration::child (run::sub::1.4) failed: TimeoutError: no end within 60 s"
    )


def test_the_jitter_of_retries_is_the_same_on_every_replay() -> None:
    """Delays are drawn from chance that follows from the instance; they are in history all the same."""
    run = Run(retrying(RetryPolicy(4, backoff=Exponential(base=10), jitter=0.5)))

    for _ in range(3):
        run.turn(child_failed(run.open[0]))
        run.crash()
        run.turn(fired(run.open[0]))

    delays = [
        (command.fire_at - turn.at).total_seconds()
        for turn in run.turns
        for command in turn.commands
        if isinstance(command, history.CreateTimer)
    ]
    assert [full / 2 < delay < full for full, delay in zip((10, 20, 40), delays, strict=True)] == [True] * 3


def test_a_cancel_between_two_runs_of_a_child_ends_the_retries() -> None:
    """Nothing is started for a parent that is to end."""
    run = Run(retrying(RetryPolicy(3, backoff=Fixed(10))))
    run.turn(child_failed(1))

    assert list(run.turn(CANCEL)) == [history.CancelTimer(2), history.CancelOrchestration("not needed")]


# --- others -----------------------------------------------------------------------------------------------------------


@orchestration("unit::orchestration::reaching-out")
async def reaching_out(ctx: OrchestrationContext, input: bool) -> str:  # noqa: FBT001 - the input of an orchestration
    """Start one that goes its own way, send it a signal, and go on or end."""
    ctx.schedule_orchestration(child, "own-way", "acme")
    ctx.send_signal("own-way", "go", {"width": 3})
    if input:
        await ctx.schedule_activity("step")
    return "done"


STARTED = history.StartOrchestration(1, "unit::orchestration::child", msgspec.Raw(b'"acme"'), "own-way")
SENT = history.SendSignal(2, "own-way", "go", msgspec.Raw(b'{"width":3}'))


def test_detached_instances_and_signals_are_commands_that_nothing_comes_back_of() -> None:
    """They are numbered like all others, and nobody waits."""
    run = Run(reaching_out, True)
    assert (run.commands[:2], run.open) == ([STARTED, SENT], [3])

    run.turn(completed(3))

    assert run.output == "done"


def test_what_is_asked_for_in_the_turn_of_the_end_is_done_all_the_same() -> None:
    """Code that starts another instance and returns has started it."""
    run = Run(reaching_out, False)

    assert run.commands[:2] == [STARTED, SENT]
    assert isinstance(run.commands[2], history.CompleteOrchestration)


def test_what_is_asked_for_in_the_turn_of_a_cancel_is_done_all_the_same() -> None:
    """A last message on the way out is sent."""

    @orchestration("unit::orchestration::farewell")
    async def farewell(ctx: OrchestrationContext) -> None:
        try:
            await ctx.schedule_wait("go")
        finally:
            ctx.send_signal("neighbour", "farewell")

    commands = Run(farewell).turn(CANCEL)

    assert [type(command) for command in commands] == [
        history.CancelWait,
        history.SendSignal,
        history.CancelOrchestration,
    ]


def test_a_run_may_send_a_signal_to_itself() -> None:
    """It comes like any other: later."""

    @orchestration("unit::orchestration::monologue")
    async def monologue(ctx: OrchestrationContext) -> JsonValue:
        ctx.send_signal(ctx.instance_id, "note", "to myself")
        return await ctx.schedule_wait("note")

    run = Run(monologue)
    assert run.open == [2]
    run.turn(signal("note", "to myself"))

    assert run.output == "to myself"


@pytest.mark.parametrize("instance_id", ["", "a\nb", "x" * (limits.INSTANCE_ID_CHARACTERS + 1), 3])
@pytest.mark.parametrize("call", ["child", "detached", "signal"])
def test_what_can_be_no_id_of_an_instance_fails_by_name(call: str, instance_id: str) -> None:
    """Said where it is written, not by a database afterwards."""

    @orchestration("unit::orchestration::nameless")
    async def nameless(ctx: OrchestrationContext) -> None:
        match call:
            case "child":
                await ctx.schedule_sub_orchestration(child, "acme", instance_id=instance_id)
            case "detached":
                ctx.schedule_orchestration(child, instance_id, "acme")
            case _:
                ctx.send_signal(instance_id, "go")

    failed = Run(nameless).failure

    assert (failed.code, "instance id" in failed.message) == (errors.DefinitionError.code, True)


@pytest.mark.parametrize("wrong", ["no name!", "version"])
def test_a_child_of_a_wrong_name_or_version_fails_by_name(wrong: str) -> None:
    """It could never be registered, so nobody waits for it."""

    @orchestration("unit::orchestration::mistaken")
    async def mistaken(ctx: OrchestrationContext) -> None:
        if wrong == "version":
            await ctx.schedule_sub_orchestration(child, "acme", version="latest")
        await ctx.schedule_sub_orchestration(wrong)

    assert Run(mistaken).failure.code == errors.DefinitionError.code

"""The orchestrations behind the records of this folder, one a feature, and what was done to each from outside.

Frozen: a record and the code that wrote it stay as they are for ever. New features get new ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from perdure import (
    ActivityContext,
    ActivityError,
    ChildOrchestrationError,
    Fixed,
    JsonValue,
    NonRetryableError,
    OrchestrationCancelled,
    OrchestrationContext,
    RetryPolicy,
    activity,
    orchestration,
)
from perdure._core.definition import AnyActivity, AnyOrchestration
from perdure.client import Client
from perdure.errors import SignalsFullError

__all__ = ["ACTIVITIES", "ORCHESTRATIONS", "SCENES", "Scene"]

_SOON = RetryPolicy(3, backoff=Fixed(0), jitter=0)


@dataclasses.dataclass(frozen=True)
class Order:
    """A typed input."""

    item: str
    count: int


async def _nothing(client: Client, instance_id: str) -> None:
    """Leave it alone."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """An orchestration, its input, what is done to it from outside, and the phase that it ends in."""

    orchestration: AnyOrchestration
    input: object = None
    act: Callable[[Client, str], Awaitable[None]] = _nothing
    phase: str = "Completed"


# Activities.


@activity("golden::activity::echo")
async def echo(ctx: ActivityContext, input: JsonValue) -> JsonValue:
    """Give back what came."""
    return input


@activity("golden::activity::third-time-lucky")
async def third_time_lucky(ctx: ActivityContext) -> int:
    """Fail twice."""
    if ctx.attempt < 3:
        message = "not yet"
        raise ConnectionError(message)
    return ctx.attempt


@activity("golden::activity::refuse")
async def refuse(ctx: ActivityContext) -> None:
    """Fail for good."""
    message = "never"
    raise NonRetryableError(message)


# Orchestrations.


@orchestration("golden::orchestration::activity")
async def one_activity(ctx: OrchestrationContext, input: Order) -> JsonValue:
    """Ask for three things, one after the other, with a typed input."""
    first = await ctx.schedule_activity(echo, input.item)
    mixed: JsonValue = [input.count, "Grüße\n"]
    second = await ctx.schedule_activity(echo, mixed)
    third = await ctx.schedule_activity(echo.name)
    return [first, second, third]


@orchestration("golden::orchestration::retry")
async def retry(ctx: OrchestrationContext) -> int:
    """Succeed at the third attempt."""
    return await ctx.schedule_activity(third_time_lucky, retry=_SOON, total_timeout=60)


@orchestration("golden::orchestration::failure")
async def failure(ctx: OrchestrationContext) -> None:
    """Catch one failure, fail with the next."""
    try:
        await ctx.schedule_activity(refuse)
    except ActivityError as error:
        ctx.set_custom_status(error.type)
    await ctx.schedule_activity(refuse, retry=_SOON)


@orchestration("golden::orchestration::timer")
async def timer(ctx: OrchestrationContext) -> str:
    """Wait, and tell the time, an id and a number that must be the same for ever."""
    await ctx.schedule_timer(0.05)
    await ctx.schedule_timer(0)
    return f"{ctx.new_guid()} {ctx.random('dice').random()} {ctx.execution} {ctx.version}"


@orchestration("golden::orchestration::select")
async def select(ctx: OrchestrationContext) -> JsonValue:
    """Let an activity win over a timer, and a timer over a signal that never comes."""
    first = await ctx.select(ctx.schedule_activity(echo, "fast"), ctx.schedule_timer(3_600))
    second = await ctx.select2(ctx.schedule_wait("never"), ctx.schedule_timer(0.05))
    return [first[0], str(first[1]), second[0]]


@orchestration("golden::orchestration::join")
async def join(ctx: OrchestrationContext) -> JsonValue:
    """Wait for many at once, one of which fails."""
    numbers = await ctx.join(*(ctx.schedule_activity(echo, number) for number in range(5)))
    mixed = await ctx.join(ctx.schedule_activity(echo, "fine"), ctx.schedule_activity(refuse), return_exceptions=True)
    return [str(numbers), type(mixed[1]).__name__]


@orchestration("golden::orchestration::spawn")
async def spawn(ctx: OrchestrationContext) -> JsonValue:
    """Run coroutines beside each other, one of which asks for several things."""

    async def twice(word: str) -> JsonValue:
        first = await ctx.schedule_activity(echo, word)
        return [first, await ctx.schedule_activity(echo, f"{word} again")]

    tasks = [ctx.spawn(twice("left")), ctx.spawn(twice("right"))]
    return [str(await task) for task in reversed(tasks)]


@orchestration("golden::orchestration::shown")
async def shown(ctx: OrchestrationContext) -> None:
    """Show things to people."""
    ctx.set_custom_status({"step": 1})
    ctx.set_progress(1, 2, "half way")
    await ctx.schedule_timer(0)
    ctx.set_ready(True, "all is well")
    ctx.trace_info("done")


@orchestration("golden::orchestration::cancel")
async def cancel(ctx: OrchestrationContext) -> None:
    """Compensate when cancelled."""
    await ctx.schedule_activity(echo, "reserve")
    ctx.set_custom_status("reserved")
    try:
        await ctx.schedule_timer(3_600)
    except OrchestrationCancelled:
        await ctx.schedule_activity(echo, "give back")
        raise


@orchestration("golden::orchestration::terminate")
async def terminate(ctx: OrchestrationContext) -> None:
    """Be ended in the middle."""
    await ctx.schedule_activity(echo, "begun")
    ctx.set_custom_status("waiting")
    await ctx.schedule_timer(3_600)


@orchestration("golden::orchestration::signals")
async def signals(ctx: OrchestrationContext) -> JsonValue:
    """Take signals that came before the wait and after it, each name in its own order."""
    await ctx.schedule_wait("begin")
    return [
        await ctx.schedule_wait("word"),
        await ctx.schedule_wait("word"),
        await ctx.schedule_wait("number", type=int),
    ]


@orchestration("golden::orchestration::child")
async def child(ctx: OrchestrationContext, input: str) -> str:
    """Do what a parent asks: echo, or fail."""
    if input == "fail":
        await ctx.schedule_activity(refuse)
    return str(await ctx.schedule_activity(echo, input))


@orchestration("golden::orchestration::children")
async def children(ctx: OrchestrationContext) -> JsonValue:
    """Wait for a child, catch the failure of another, give one up, start a free one and write to it."""
    failed = ""
    fine = await ctx.schedule_sub_orchestration(child, "hello")
    try:
        await ctx.schedule_sub_orchestration(child, "fail", instance_id=f"{ctx.instance_id}-failing")
    except ChildOrchestrationError as error:
        failed = error.type
    index, _ = await ctx.select(ctx.schedule_sub_orchestration(signals), ctx.schedule_timer(0.05))
    ctx.schedule_orchestration(signals, f"{ctx.instance_id}-free")
    ctx.send_signal(f"{ctx.instance_id}-free", "begin", {"from": ctx.instance_id})
    return [fine, failed, index]


@orchestration("golden::orchestration::again")
async def again(ctx: OrchestrationContext, input: int) -> JsonValue:
    """Live three times; a signal that nobody waited for goes along."""
    await ctx.schedule_activity(echo, input)
    if input < 3:
        await ctx.schedule_wait(f"go {input}")
        ctx.continue_as_new(input + 1)
    return await ctx.schedule_wait("kept")


@orchestration("golden::orchestration::queued")
async def queued(ctx: OrchestrationContext) -> JsonValue:
    """Ask a queue for two things, one of which beats; give up waiting for a third that nobody serves."""
    first = await ctx.schedule_activity(echo, "queued", queue="golden", priority=3)
    second = await ctx.schedule_activity(echo, "beating", queue="golden", heartbeat_timeout=5, retry=_SOON)
    nobody = ctx.schedule_activity(echo, "nobody", queue="nobody-serves-this", total_timeout=3_600)
    index, _ = await ctx.select(nobody, ctx.schedule_timer(0.05))
    return [first, second, index]


@orchestration("golden::orchestration::tree")
async def tree(ctx: OrchestrationContext) -> None:
    """Wait for a child that waits, and be cancelled with it."""
    ctx.set_custom_status("planted")
    await ctx.join(ctx.schedule_sub_orchestration(signals), ctx.schedule_timer(3_600))


@orchestration("golden::orchestration::paused")
async def paused(ctx: OrchestrationContext) -> JsonValue:
    """Be paused while a signal comes in."""
    ctx.set_custom_status("waiting")
    return await ctx.schedule_wait("go")


@orchestration("golden::orchestration::refused")
async def refused(ctx: OrchestrationContext) -> JsonValue:
    """Send more signals in one turn than anybody takes, be told, and go on."""
    try:
        for number in range(10_001):
            ctx.send_signal("golden-nobody", "word", number)
    except SignalsFullError as error:
        return [error.instance_id, await ctx.schedule_activity(echo, "refused")]
    return None


# From outside.


async def _until(client: Client, instance_id: str, status: JsonValue) -> None:
    """Wait for a custom status."""
    while (await client.get_instance_info(instance_id)).custom_status != status:
        continue


async def _cancel(client: Client, instance_id: str) -> None:
    await _until(client, instance_id, "reserved")
    await client.cancel_instance(instance_id, "enough")


async def _terminate(client: Client, instance_id: str) -> None:
    await _until(client, instance_id, "waiting")
    await client.terminate_instance(instance_id, "at once")


async def _fell(client: Client, instance_id: str) -> None:
    await _until(client, instance_id, "planted")
    await client.cancel_instance(instance_id, "enough")


async def _pause(client: Client, instance_id: str) -> None:
    await _until(client, instance_id, "waiting")
    await client.suspend_instance(instance_id, "a break")
    await client.send_signal(instance_id, "go", "went on")
    await client.resume_instance(instance_id)


async def _signal(client: Client, instance_id: str) -> None:
    for name, payload in (("word", "one"), ("number", 7), ("word", {"two": 2}), ("begin", None)):
        await client.send_signal(instance_id, name, payload)


async def _go(client: Client, instance_id: str) -> None:
    for name in ("kept", "go 1", "go 2"):
        await client.send_signal(instance_id, name, name)


SCENES = {
    "activity": Scene(one_activity, Order("lamp", 3)),
    "retry": Scene(retry),
    "failure": Scene(failure, phase="Failed"),
    "timer": Scene(timer),
    "select": Scene(select),
    "join": Scene(join),
    "spawn": Scene(spawn),
    "shown": Scene(shown),
    "cancel": Scene(cancel, act=_cancel, phase="Cancelled"),
    "terminate": Scene(terminate, act=_terminate, phase="Cancelled"),
    "signals": Scene(signals, act=_signal),
    "children": Scene(children),
    "again": Scene(again, 1, act=_go),
    "queued": Scene(queued),
    "tree": Scene(tree, act=_fell, phase="Cancelled"),
    "paused": Scene(paused, act=_pause),
    "refused": Scene(refused),
}
"""What is recorded, by the name of its file."""

ORCHESTRATIONS: list[AnyOrchestration] = [*(scene.orchestration for scene in SCENES.values()), child]
ACTIVITIES: list[AnyActivity] = [echo, third_time_lucky, refuse]

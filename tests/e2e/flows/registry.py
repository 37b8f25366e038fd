"""Orchestrations with one trait each: quick, failing, waiting, typed, asking the API server.

What an activity did can be seen from outside: it writes a line into the folder that its input names. The names say what
each is for; the tests say what must come of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from perdure import (
    ActivityContext,
    ActivityRegistry,
    Fixed,
    NonRetryableError,
    OrchestrationContext,
    OrchestrationRegistry,
    RetryPolicy,
    SecretRef,
    activity,
    orchestration,
)

__all__ = ["create_activity_registry", "create_orchestration_registry"]


@dataclasses.dataclass(frozen=True)
class Work:
    """What to write where, and how often."""

    folder: str
    steps: int = 3


@activity("test::activity::note")
async def note(ctx: ActivityContext, work: Work) -> int:
    """Leave a file for this step; give how many steps were asked for."""
    path = Path(work.folder) / ctx.idempotency_key.replace("/", "_")
    await asyncio.to_thread(path.write_text, ctx.instance_id)
    return work.steps


@activity("test::activity::refuse")
async def refuse(ctx: ActivityContext) -> None:
    """Fail for good."""
    raise NonRetryableError(f"{ctx.instance_id} asks for too much")


@activity("test::activity::flake")
async def flake(ctx: ActivityContext, failures: int) -> int:
    """Fail so many times, then give the attempt that did not."""
    if ctx.attempt <= failures:
        raise OSError(f"attempt {ctx.attempt} found nobody")
    return ctx.attempt


@activity("test::activity::make-config-map")
async def make_config_map(ctx: ActivityContext) -> str:
    """Create a ConfigMap as the run's ServiceAccount."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}, "data": {"by": "perdure"}}
    made = await ctx.kubernetes.apply(manifest, field_manager="perdure")  # type: ignore[arg-type]  # JSON as literals
    return str(made["kind"])


@dataclasses.dataclass(frozen=True)
class Letter:
    """A text, and where the password is."""

    text: str
    password: SecretRef


@activity("test::activity::send")
async def send(ctx: ActivityContext, letter: Letter) -> int:
    """Use the password; give how long it is."""
    return len(await ctx.resolve_secret(letter.password))


@orchestration("test::orchestration::steps")
async def steps(ctx: OrchestrationContext, work: Work) -> dict[str, int]:
    """Do some steps, one after the other."""
    done = 0
    for _ in range(work.steps):
        await ctx.schedule_activity(note, work)
        done += 1
    return {"done": done}


@orchestration("test::orchestration::fail")
async def fail(ctx: OrchestrationContext) -> None:
    """Fail by an activity that fails for good."""
    await ctx.schedule_activity(refuse)


@orchestration("test::orchestration::retry")
async def retry(ctx: OrchestrationContext, failures: int) -> int:
    """Try until it works."""
    return await ctx.schedule_activity(flake, failures, retry=RetryPolicy(1_000, backoff=Fixed(0.5)))


@orchestration("test::orchestration::approve")
async def approve(ctx: OrchestrationContext) -> str:
    """Wait for somebody who never comes, but not for ever."""
    index, _ = await ctx.select(ctx.schedule_wait("approved"), ctx.schedule_timer(3600))
    return "approved" if index == 0 else "given up"


@orchestration("test::orchestration::wait")
async def wait(ctx: OrchestrationContext, seconds: float) -> str:
    """Wait, then end."""
    await ctx.schedule_timer(seconds)
    return "waited"


@orchestration("test::orchestration::pace")
async def pace(ctx: OrchestrationContext, seconds: float) -> int:
    """Wait six times, one after the other."""
    for _ in range(6):
        await ctx.schedule_timer(seconds)
    return 6


@orchestration("test::orchestration::configure")
async def configure(ctx: OrchestrationContext) -> str:
    """Use the API server as the run's ServiceAccount."""
    return await ctx.schedule_activity(make_config_map, retry=RetryPolicy(2, backoff=Fixed(0.1)))


@orchestration("test::orchestration::keep")
async def keep(ctx: OrchestrationContext, work: Work) -> None:
    """Make something, keep it as it is asked for, and undo it at the end."""
    ctx.set_ready(ready=False, message="coming up")
    try:
        while True:
            await ctx.schedule_activity(note, work)
            ctx.set_ready(ready=True, message=f"{work.steps} steps are kept")
            work = await ctx.schedule_wait("update", type=Work)
    finally:
        await ctx.schedule_activity(note, work)


@orchestration("test::orchestration::linger")
async def linger(ctx: OrchestrationContext) -> None:
    """Wait for ever, also when asked to end."""
    try:
        await ctx.schedule_wait("never")
    finally:
        await ctx.schedule_timer(3600)


@orchestration("test::orchestration::configure-patiently")
async def configure_patiently(ctx: OrchestrationContext) -> str:
    """Use the API server as the run's ServiceAccount, as soon as that may."""
    return await ctx.schedule_activity(make_config_map, retry=RetryPolicy(1000, backoff=Fixed(0.2)))


@orchestration("test::orchestration::post")
async def post(ctx: OrchestrationContext, letter: Letter) -> dict[str, object]:
    """Say what came in, and use the password."""
    used = await ctx.schedule_activity(send, letter, retry=RetryPolicy(1000, backoff=Fixed(0.2)))
    return {"text": letter.text, "used": used}


@orchestration("test::orchestration::correspond")
async def correspond(ctx: OrchestrationContext, letter: Letter) -> list[int]:
    """Use the password, and once more when asked to; give its lengths."""
    patiently = RetryPolicy(1000, backoff=Fixed(0.2))
    first = await ctx.schedule_activity(send, letter, retry=patiently)
    await ctx.schedule_wait("again")
    return [first, await ctx.schedule_activity(send, letter, retry=patiently)]


def create_orchestration_registry() -> OrchestrationRegistry:
    """Give all of them."""
    return OrchestrationRegistry.of(
        *(steps, fail, retry, approve, wait, pace, configure, keep, linger, configure_patiently, post, correspond)
    )


def create_activity_registry() -> ActivityRegistry:
    """Give what they use."""
    return ActivityRegistry.of(note, refuse, flake, make_config_map, send)

"""Say hello, after a pause if one is wanted: a run that asks for no rights, to see that an installation works.

The pause is a durable timer: a worker that is killed in the middle of it makes it neither shorter nor longer.
"""

from __future__ import annotations

from perdure import OrchestrationContext, orchestration
from workflows import names
from workflows.types import GreetInput, GreetOutput

__all__ = ["greet"]


@orchestration(names.GREET, version="1.0.0")
async def greet(ctx: OrchestrationContext, input: GreetInput) -> GreetOutput:
    """Wait as long as was asked for, and greet."""
    if input.pause_seconds:
        ctx.set_progress(0, 1, f"waiting for {input.pause_seconds:g} s")
        await ctx.schedule_timer(input.pause_seconds)
    return GreetOutput(greeting=f"Hello, {input.name}!")

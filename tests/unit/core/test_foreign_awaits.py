"""Awaiting what is not durable: an error that names the right call, never a hang and never a hidden wait."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from perdure import OrchestrationContext, orchestration
from perdure._core.definition import AnyOrchestration
from tests.unit.core.runs import Run


class Odd:
    """Something that can be awaited and is nobody's."""

    def __await__(self) -> Generator[str, None, None]:
        """Yield what no scheduler knows."""
        yield "odd"


def awaiting(what: str) -> AnyOrchestration:
    """Make an orchestration that awaits something foreign."""

    @orchestration("unit::orchestration::foreign")
    async def foreign(ctx: OrchestrationContext) -> None:
        match what:
            case "sleep":
                await asyncio.sleep(1)
            case "sleep(0)":
                await asyncio.sleep(0)
            case "future":
                await asyncio.get_running_loop().create_future()
            case "odd":
                await Odd()
            case "join":
                await ctx.join(Odd())
            case _:
                await ctx.select(asyncio.get_running_loop().create_future())

    return foreign


async def test_a_foreign_await_fails_and_names_the_durable_call() -> None:
    """Sleeping, waiting for a real future, gathering: the instance fails with what to write instead."""
    for what in ("sleep", "sleep(0)", "future", "odd", "join", "select"):
        failed = Run(awaiting(what)).failure

        assert failed.code == "PERDURE-1202", what
        assert "ctx.schedule_timer" in failed.message
        assert "ctx.join" in failed.message


async def test_code_that_swallows_the_error_fails_all_the_same() -> None:
    """A coroutine that once waited for something foreign cannot be trusted with what it returns."""

    @orchestration("unit::orchestration::swallowing")
    async def swallowing(ctx: OrchestrationContext) -> str:
        try:
            await asyncio.sleep(0)
        except Exception:  # noqa: BLE001 - this is what the test is about
            return "fine"
        return "slept"

    assert Run(swallowing).failure.code == "PERDURE-1202"


def test_the_future_of_another_run_is_foreign() -> None:
    """Two instances cannot wait for each other by a variable."""

    @orchestration("unit::orchestration::waiting")
    async def waiting(ctx: OrchestrationContext) -> None:
        await ctx.schedule_activity("step")

    theirs = Run(waiting).execution.pending[1]

    @orchestration("unit::orchestration::leaking")
    async def leaking(ctx: OrchestrationContext) -> None:
        await theirs

    assert Run(leaking).failure.code == "PERDURE-1202"

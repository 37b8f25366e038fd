"""What is asked for wrongly is refused where it is asked for, in words that say what to write instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perdure import ActivityContext, OrchestrationContext, activity, errors, orchestration
from tests.unit.core.runs import Run


@activity("unit::activity::look")
def look(ctx: ActivityContext) -> None:
    """Look."""


@orchestration("unit::orchestration::child")
async def child(ctx: OrchestrationContext) -> None:
    """Do nothing."""


async def undecorated(ctx: OrchestrationContext) -> None:
    """Stand without a decorator."""


@pytest.mark.parametrize(
    ("asks", "said"),
    [
        (lambda ctx: ctx.schedule_activity(undecorated), "decorated with @activity"),
        (lambda ctx: ctx.schedule_activity(None), "None is no activity"),
        (lambda ctx: ctx.schedule_activity(child), "is no activity"),
        (lambda ctx: ctx.schedule_activity("no name"), "'no name' is no name"),
        (
            lambda ctx: ctx.schedule_activity(look, retry=3),
            "retry of unit::activity::look is 3; expected a RetryPolicy",
        ),
        (lambda ctx: ctx.schedule_sub_orchestration(child, retry=3), "retry of unit::orchestration::child is 3"),
        (lambda ctx: ctx.schedule_sub_orchestration(look), "is no orchestration"),
        (lambda ctx: ctx.spawn(undecorated), "expected a coroutine"),
        (lambda ctx: ctx.spawn(ctx.schedule_timer(1)), "expected a coroutine"),
    ],
)
def test_what_cannot_be_asked_for_fails_the_run_with_a_sentence(
    asks: Callable[[OrchestrationContext], object], said: str
) -> None:
    """An author who confuses definitions, functions and options reads what was expected, not an AttributeError."""

    @orchestration("unit::orchestration::confused")
    async def confused(ctx: OrchestrationContext) -> None:
        asks(ctx)

    failed = Run(confused).failure

    assert failed.code == errors.DefinitionError.code
    assert said in failed.message

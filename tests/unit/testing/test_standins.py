"""What may stand for an activity, and the world that real activities find through their context."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable
from typing import cast

import pytest

from perdure import (
    ActivityContext,
    KubernetesApi,
    Manifest,
    OrchestrationContext,
    RetryPolicy,
    SecretRef,
    activity,
    errors,
    orchestration,
)
from perdure.testing import Simulation, activity_context, simulate
from tests.unit.testing.flows import Order, charge

PASSWORD = SecretRef("db", "password")


@activity("shop::activity::look")
async def look(ctx: ActivityContext, name: str) -> str:
    """Look at an object of the cluster, as whom the run is."""
    found = await ctx.kubernetes.get("v1", "ConfigMap", name)
    return f"{ctx.info.run_as} {found}"


@activity("shop::activity::log-in")
async def log_in(ctx: ActivityContext, leaks: bool) -> str:  # noqa: FBT001 - the input of an activity
    """Use a secret."""
    password = await ctx.resolve_secret(PASSWORD)
    return password if leaks else f"{len(password)} characters"


@activity("shop::activity::look-again")
def look_again(ctx: ActivityContext) -> list[object]:
    """Say what the context says."""
    ctx.heartbeat("half way")
    return [ctx.attempt, ctx.instance_id, ctx.is_cancelled, ctx.heartbeat_detail]


class Cluster:
    """Stands for the API server: one ConfigMap, and no more than the activity asks for."""

    async def get(self, *what: str) -> Manifest | None:
        """Give the one there is."""
        return {"found": list(what)} if "colours" in what else None


CLUSTER = cast("KubernetesApi", Cluster())


@orchestration("shop::orchestration::one")
async def one(ctx: OrchestrationContext, input: object) -> object:
    """Run one activity by name."""
    return await ctx.schedule_activity("step", input)


class Fake:
    """A callable object, as test libraries make them."""

    def __call__(self, *arguments: object) -> int:
        """Count what it is called with."""
        return len(arguments)


def double(_: ActivityContext, input: Order) -> int:
    """Take the input as the type it is annotated with."""
    return 2 * input.count


@pytest.mark.parametrize(
    ("stand_in", "result"),
    [
        (None, None),
        ({"a": [1]}, {"a": [1]}),
        (lambda: 1, 1),
        (lambda ctx: ctx.attempt, 1),
        (lambda _, input: input["item"], "lamp"),
        (lambda _, input, more=7: [input["count"], more], [3, 7]),
        (double, 6),
        (functools.partial(lambda greeting, _, input: f"{greeting} {input['item']}", "one"), "one lamp"),
        (Fake(), 2),
        (charge, "test/1/1: 3.0"),
    ],
    ids=["nothing", "value", "no parameter", "context", "both", "more", "typed", "partial", "callable", "real"],
)
def test_a_stand_in_is_called_with_what_it_takes(stand_in: object, result: object) -> None:
    """Values are given back; functions get the context and the input, as many of the two as they take."""
    input = 3.0 if stand_in is charge else Order(item="lamp", count=3)

    run = simulate(one, input, activities={"step": stand_in})

    assert run.output == result


def test_the_real_activities_of_a_registry_can_be_given_at_once() -> None:
    """Definitions stand for themselves."""

    @orchestration("shop::orchestration::two")
    async def two(ctx: OrchestrationContext) -> list[object]:
        return [await ctx.schedule_activity(charge, 2.0), await ctx.schedule_activity(look_again)]

    run = simulate(two, activities=[charge, look_again])

    assert run.output == ["test/1/1: 2.0", [1, "test", False, None]]
    assert run.activities[1].heartbeats == [b'"half way"']


def test_real_activities_find_a_cluster_where_one_is_given() -> None:
    """`ctx.kubernetes` is the stand-in, and the run has an identity; without one there is none."""
    with Simulation(activities={"step": look}, kubernetes=CLUSTER) as simulation:
        assert "system:serviceaccount" in str(simulation.start(one, "colours").output)

    run = simulate(one, "colours", activities={"step": look})
    assert run.error is not None
    assert run.error.type == "NoIdentityError"


def test_real_activities_find_the_secrets_that_are_given() -> None:
    """By value; one that an activity would return is refused, as on a worker."""
    with Simulation(activities={"step": log_in}, secrets={PASSWORD: "correct horse"}) as simulation:
        fine = simulation.start(one, False)
        leaking = simulation.start(one, True, instance_id="leaking")

        assert fine.output == "13 characters"
        assert leaking.error is not None
        assert leaking.error.type == "SecretLeakError"
        assert "correct horse" not in leaking.error.message

    with Simulation(activities={"step": log_in}, secrets={}) as simulation:
        missing = simulation.start(one, False)
        assert missing.error is not None
        assert missing.error.type == "SecretMissingError"


async def called(result: Awaitable[str] | str) -> str:
    """Await an activity that is async."""
    assert not isinstance(result, str)
    return await result


async def test_an_activity_can_be_called_on_its_own() -> None:
    """A context for unit tests: attempt, ids, a cluster, secrets, and lines that go to a logger or nowhere."""
    assert "colours" in await called(look(activity_context(kubernetes=CLUSTER), "colours"))
    assert await called(log_in(activity_context(secrets={PASSWORD: "correct horse"}), False)) == "13 characters"
    assert look_again(activity_context(attempt=3, instance_id="shop/db:1")) == [3, "shop/db:1", False, None]
    with pytest.raises(errors.NoIdentityError):
        await called(look(activity_context(), "colours"))


def test_an_activity_that_ends_itself_has_failed() -> None:
    """A `CancelledError` that nobody asked for, a `SystemExit` and a `KeyboardInterrupt` are errors like others."""

    async def vanish() -> None:
        raise asyncio.CancelledError

    for stand_in, kind in (
        (vanish, "CancelledError"),
        (SystemExit("bye"), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ):
        run = simulate(one, activities={"step": stand_in})

        assert run.error is not None
        assert run.error.type == kind
        assert kind != "CancelledError" or run.error.message == "the activity cancelled itself"


def test_a_total_timeout_ends_all_attempts() -> None:
    """Where there is no room for another attempt, the last error is told."""

    @orchestration("shop::orchestration::bounded")
    async def bounded(ctx: OrchestrationContext) -> None:
        await ctx.schedule_activity("step", retry=RetryPolicy(100), total_timeout=20)

    run = simulate(bounded, activities={"step": OSError("no route")})

    assert run.error is not None
    assert (run.error.code, run.error.message.endswith("last error: no route")) == ("PERDURE-1302", True)
    assert (run.activities[0].attempts, run.elapsed) == (5, 15)


def test_what_names_no_activity_is_refused() -> None:
    """A plain function as a key is a decorator that was forgotten."""
    with pytest.raises(errors.DefinitionError, match="names no activity"):
        simulate(one, activities={double: 1})

"""What people and machines see of runs and of the operator: statuses, Events, metrics, logs; on a real API server.

One operator that writes every Event, shared by the tests of this module; each has names of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.cluster.handle import Cluster
from tests.e2e.operator_process import until
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give a namespace and a database with an operator that writes every Event."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes")) as world:
        await world.operator(EVENTS="all")
        yield world


async def events(world: World, name: str) -> list[dict[str, Any]]:
    """Give the Events about a resource, as kubectl finds them, by time."""
    listed = json.loads(
        await world.scene.kubectl(
            *("get", "events", "--output=json", f"--field-selector=involvedObject.name={name}"),
            "--sort-by=.metadata.creationTimestamp",
        )
    )
    return list(listed["items"])


async def told(world: World, name: str, *reasons: str) -> None:
    """Wait until exactly these Events stand there."""

    async def are_there() -> bool:
        return {event["reason"] for event in await events(world, name)} >= {*reasons}

    await until(are_there)
    assert sorted(event["reason"] for event in await events(world, name)) == sorted(reasons)


async def test_a_run_tells_its_story_to_who_describes_it(world: World) -> None:
    """`kubectl describe` shows what happened, with type, reason and sentence, as of the operator."""
    await world.apply("told", flow="retry", input=2)
    await world.apply("broken", flow="fail")
    await world.scene.completed("told")
    await world.scene.failed("broken")

    await told(world, "told", "Started", "Retrying", "Completed")
    described = await world.scene.kubectl("describe", "orchestration", "told")
    (failed,) = [event for event in await events(world, "broken") if event["reason"] == "Failed"]

    assert "perdure.dev/operator" in described
    assert "The run has completed." in described
    assert (failed["type"], failed["involvedObject"]["kind"]) == ("Warning", "Orchestration")
    assert "asks for too much" in failed["message"]


async def test_a_run_that_waits_says_for_whom(world: World) -> None:
    """The status has the signal and the timer that would end the wait, and since when."""
    await world.apply("asked", flow="approve")
    status = await world.scene.shown("asked", "waitingFor")

    assert [(one["kind"], one.get("name")) for one in status["waitingFor"]] == [("Signal", "approved"), ("Timer", None)]
    assert status["waitingFor"][0]["since"] < status["waitingFor"][1]["until"]


async def test_a_step_that_is_tried_again_says_why(world: World) -> None:
    """While an activity fails the status has its attempt, its last error, and the words of the condition."""
    await world.apply("trying", flow="retry", input=100_000)
    status = await world.scene.shown("trying", "lastError")

    (step,) = status["steps"]
    assert step["attempt"] >= 2
    assert step["lastError"].endswith("found nobody")
    assert status["conditions"][0]["reason"] == "Retrying"

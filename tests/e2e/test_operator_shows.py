"""What people and machines see of runs and of the operator: statuses, Events, metrics, logs; on a real API server.

One operator that writes every Event, shared by the tests of this module; each has names of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.cluster.handle import Cluster
from tests.e2e.operator_process import until
from tests.e2e.operators import World
from tests.postgres_plugin import Server
from tests.tree import text

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


async def test_a_signal_that_nobody_will_take_says_so_to_who_describes_it(world: World) -> None:
    """Once, as a warning, with the sentence of its status."""
    await world.apply("deaf", flow="wait", input=0)
    await world.scene.completed("deaf")
    signal = {
        "apiVersion": "perdure.dev/v1alpha1",
        "kind": "OrchestrationSignal",
        "metadata": {"name": "too-late"},
        "spec": {"orchestrationRef": {"name": "deaf"}, "signal": "go"},
    }
    await world.scene.kubectl("create", "--filename=-", input=json.dumps(signal))

    await told(world, "too-late", "RunFinished")

    (event,) = await events(world, "too-late")
    assert (event["type"], event["involvedObject"]["kind"]) == ("Warning", "OrchestrationSignal")
    assert "deaf:1 had finished before the signal came" in event["message"]


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


ROW = re.compile(r"^\| `perdure_(\w+)` \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)
HELP = re.compile(r"^# HELP perdure_(\w+) (.+)$", re.MULTILINE)


async def scrape(world: World) -> str:
    """Ask the operator for its metrics."""
    (operator,) = world.operators
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{operator.port}/metrics") as answer,
    ):
        return await answer.text()


async def test_every_metric_stands_on_the_page_in_the_words_of_the_scrape(world: World) -> None:
    """Whoever adds a metric writes it there, and what is there can be scraped."""
    on_the_page = {name: sentence for name, _, sentence in ROW.findall(text(Path("docs/observing.md")))}

    assert on_the_page == dict(HELP.findall(await scrape(world)))


async def test_the_metrics_tell_what_has_run(world: World) -> None:
    """Starts, ends by result, latencies, commits, what is open, what the API server was asked; names are few."""
    await world.apply("counted")
    await world.apply("miscounted", flow="fail")
    await world.apply("nobody", orchestration="no::such::thing")
    await world.scene.completed("counted")
    await world.scene.failed("miscounted")
    await world.scene.shown("nobody", "UnknownOrchestration")
    found: dict[str, float] = {}

    async def is_open() -> bool:
        found.update(
            (name, float(value))
            for name, value in re.findall(r"^perdure_(\S+) (\S+)$", await scrape(world), re.MULTILINE)
        )
        return 'instances_open{orchestration="no::such::thing",phase="Pending",version=""}' in found

    await until(is_open)

    assert found['instances_ended_total{orchestration="test::orchestration::steps",result="Completed"}'] >= 1
    assert found['instances_ended_total{orchestration="test::orchestration::fail",result="Failed"}'] >= 1
    assert found['instances_started_total{orchestration="test::orchestration::fail"}'] >= 1
    assert not [name for name in found if name.startswith("instances_started_total") and "no::such" in name]
    assert found["start_latency_seconds_count"] >= 2
    assert found['activity_attempts_total{result="failed"}'] >= 1
    assert found["activity_latency_seconds_count"] >= 4
    assert found["commit_turns_sum"] == found["turns_total"]
    assert found["status_writes_total"] >= 2
    assert (found["database_up"], found["leader"]) == (1, 1)

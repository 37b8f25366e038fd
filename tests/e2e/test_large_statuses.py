"""A run that says more than a status may hold: it is shown shortened, never stuck, and `perdure get` has all of it.

One operator for all; each test has a run of its own, which fills every place of its status and then waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from perdure._core import limits
from perdure.client import Client
from tests.cluster.handle import Cluster
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

OBJECT_BYTES = 1_572_864
"""What etcd takes at the most; an object that is larger is refused, whoever makes it so."""
ROOM_BYTES = 6_000
"""Enough for the metadata of a resource and the least of a status, and not for all of one."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Give a namespace, a database and an operator."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes")) as world:
        await world.operator(MODULES="tests.e2e.flows.sprawling")
        yield world


async def under_way(world: World, name: str, **size: object) -> dict[str, Any]:
    """Apply a run of this size; give its status when it waits for its end."""
    await world.apply(name, flow="sprawl", input=size)
    return await world.scene.shown(name, "signal end")


async def ended(world: World, name: str) -> None:
    """Let it end."""
    async with await Client.connect(world.dsn) as client:
        await client.send_signal(f"{world.scene.namespace}/{name}:1", "end")


async def got(world: World, name: str) -> dict[str, Any]:
    """Give what `perdure get` says of its run."""
    told = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "perdure", "get", f"{world.scene.namespace}/{name}:1", "--output=json"],
        env={**os.environ, "PERDURE_DATABASE_URL": world.dsn},
        capture_output=True,
        check=True,
    )
    info: dict[str, Any] = json.loads(told.stdout)
    return info


def is_small(status: dict[str, Any]) -> bool:
    """Whether a status keeps to its bound."""
    return len(json.dumps(status, ensure_ascii=False, separators=(",", ":")).encode()) <= limits.STATUS_BYTES


async def test_what_does_not_fit_is_left_out_and_named(world: World) -> None:
    """Under way and at the end; what is left out is whole in the database."""
    before = await under_way(world, "full", output=1_000)
    await ended(world, "full")
    after = await world.scene.completed("full")
    info = await got(world, "full")

    assert is_small(before)
    assert is_small(after)
    assert (len(before["steps"]), before["truncated"]) == (3, ["steps"])
    assert after["truncated"] == ["steps", "customStatus"]
    assert before["customStatus"] == info["custom_status"] == {"notes": "ü" * 2_000}
    assert after["output"] == info["output"] == "ü" * 1_000


async def test_an_output_that_is_not_shown_is_got_by_its_reference(world: World) -> None:
    """The status says whose it is and how large; the command gives all of it."""
    await under_way(world, "large", output=500_000)
    await ended(world, "large")
    status = await world.scene.completed("large")

    assert status["outputRef"] == {"instanceId": f"{world.scene.namespace}/large:1", "bytes": 1_000_002}
    assert is_small(status)
    assert (await got(world, "large"))["output"] == "ü" * 500_000


async def test_an_error_of_any_length_is_shown_as_the_end(world: World) -> None:
    """With characters that are none in a terminal: the sentence is cut, with a mark."""
    await under_way(world, "failing", error=100_000)
    await ended(world, "failing")
    status = await world.scene.failed("failing")

    assert is_small(status)
    assert status["error"]["message"].startswith(r"ü\0ü\0")
    assert status["error"]["message"].endswith(" ... (cut)")
    assert len((await got(world, "failing"))["error"]["message"]) > len(status["error"]["message"])


async def test_a_resource_with_no_room_for_its_status_shows_the_least_of_it(world: World) -> None:
    """Its spec is all that etcd takes: conditions, phase and times are shown, and why no more is; so is the end."""
    ballast = "x" * (OBJECT_BYTES - ROOM_BYTES)
    await world.apply("heavy", flow="sprawl", input={"output": 1_000, "ballast": ballast})
    before = await world.scene.shown("heavy", "request is too large")
    await world.in_phase("heavy:1", "Running")
    await ended(world, "heavy")
    after = await world.scene.completed("heavy")

    assert before["phase"] == "Running"
    assert {"customStatus", "steps"} <= {*before["truncated"]}
    assert "customStatus" in after["truncated"]
    assert (await got(world, "heavy"))["output"] == "ü" * 1_000

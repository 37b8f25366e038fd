"""What kstatus concludes of runs whose code changes under them: held, without a worker, waiting for a version.

An operator is replaced by one with other code, and that by the first again, as a deployment and its way back would.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import yaml

from perdure._kube.api.base import API_VERSION
from perdure._kube.client import Api
from tests.cluster.handle import Cluster
from tests.e2e.operators import World
from tests.gitops.judging import Judge, Manifest
from tests.gitops.sampling import Life, is_shown, phase_of
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

WRITTEN, CHANGED = "tests.gitops.flows.written", "tests.gitops.flows.changed"


async def agree(world: World, name: str) -> None:
    """Send a run the signal that it waits for."""
    spec = {"orchestrationRef": {"name": name}, "signal": "agreed"}
    signal = {"apiVersion": API_VERSION, "kind": "OrchestrationSignal", "metadata": {"name": name}, "spec": spec}
    await world.scene.kubectl("apply", "--server-side", "--filename=-", input=yaml.safe_dump(signal))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lives(
    cluster: Cluster, postgres: Server, watcher: Api, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Life]]:
    """Give what has been seen of three runs over a deployment that does not fit, and its way back."""
    async with World.shared(cluster, postgres, folder=tmp_path_factory.mktemp("notes")) as world:
        async with contextlib.AsyncExitStack() as watches:
            seen = {
                name: await watches.enter_async_context(
                    Life.watched(watcher, "Orchestration", name, namespace=world.scene.namespace)
                )
                for name in ("held", "orphaned", "early")
            }
            written = await world.operator(MODULES=WRITTEN)
            await world.apply("held", flow="settle")
            await world.apply("orphaned", flow="leave")
            await world.apply("early", flow="leave", version="2.0.0")
            for name in ("held", "orphaned"):
                await seen[name].shows(lambda version: is_shown(version, "Waiting"))
            await seen["early"].shows(lambda version: is_shown(version, "UnknownOrchestration"))
            await written.stop()

            changed = await world.operator(MODULES=CHANGED)
            await agree(world, "held")
            await agree(world, "orphaned")
            await seen["held"].shows(lambda version: is_shown(version, "Nondeterministic"))
            await seen["orphaned"].shows(lambda version: is_shown(version, "WaitingForWorker"))
            await seen["early"].in_phase("Completed")
            await changed.stop()

            await world.operator(MODULES=WRITTEN)
            await seen["held"].in_phase("Completed")
            await seen["orphaned"].in_phase("Completed")
        yield seen


def told(judge: Judge, life: Life, when: str) -> set[str]:
    """Give what kstatus concludes while a condition has this reason."""
    return {verdict.status for verdict in judge.kstatus(having(life, when))}


def having(life: Life, reason: str) -> list[Manifest]:
    """Give the versions with a condition of this reason."""
    return [version for version in life.versions if is_shown(version, reason)]


def phases_when_current(judge: Judge, life: Life) -> set[str]:
    """Give the phases in which kstatus takes a run for done."""
    verdicts = judge.kstatus(life.versions)
    return {phase_of(one) for one, said in zip(life.versions, verdicts, strict=True) if said.status == "Current"}


async def test_a_held_run_has_failed_until_the_code_that_wrote_it_is_back(lives: dict[str, Life], judge: Judge) -> None:
    """Flux and Helm give up on it with what history and code say; it goes on, and is current when it has completed."""
    held = having(lives["held"], "Nondeterministic")

    assert told(judge, lives["held"], "Waiting") == {"InProgress"}
    assert told(judge, lives["held"], "Nondeterministic") == {"Failed"}
    assert "PERDURE-1201" in judge.kstatus(held)[-1].message
    assert phases_when_current(judge, lives["held"]) == {"Completed"}


async def test_a_run_whose_code_has_gone_is_in_progress_until_it_is_back(lives: dict[str, Life], judge: Judge) -> None:
    """Workers come and go, so this is no failure; but it is not done either."""
    assert told(judge, lives["orphaned"], "WaitingForWorker") == {"InProgress"}
    assert phases_when_current(judge, lives["orphaned"]) == {"Completed"}
    assert "Failed" not in {verdict.status for verdict in judge.kstatus(lives["orphaned"].versions)}


async def test_a_version_that_nobody_has_yet_has_failed_until_it_is_deployed(
    lives: dict[str, Life], judge: Judge
) -> None:
    """It may be a slip of the pen, so it is told at once; the run begins when there is a worker that has it."""
    assert told(judge, lives["early"], "UnknownOrchestration") == {"Failed"}
    assert phases_when_current(judge, lives["early"]) == {"Completed"}

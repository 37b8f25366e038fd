"""Some of what `make awaits` does, so that it is known to work, and that it finds what it is there to find."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.awaits import enumeration
from tests.awaits.flawed.registry import FLAWED
from tests.awaits.room import Room, Stage
from tests.awaits.stories import STORIES, Story
from tests.cluster.handle import Cluster
from tests.postgres_plugin import Server
from workflows.registry import create_orchestration_registry

pytestmark = pytest.mark.slow
in_one_loop = pytest.mark.asyncio(loop_scope="module")

EVERY = 6
BESIDE = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    local_cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """Give a stage on which Pods run nothing, as the stories need it."""
    async with Stage.opened(str(local_cluster.kubeconfig), postgres, tmp_path_factory.mktemp("workers")) as stage:
        yield stage


async def found_at(stage: Stage, story: Story, *, every: int = 1) -> list[enumeration.Found]:
    """Give what came of deaths at every n-th place of a story."""
    model = await enumeration.undisturbed(stage, story)
    numbers = range(1, len(model.places) + 1, every)
    return [found async for found in enumeration.disturbed(stage, model, numbers, beside=BESIDE)]


@in_one_loop
@pytest.mark.parametrize("name", ["create-postgres", "onboard-tenant"])
async def test_of_a_death_at_any_of_these_places_nothing_is_to_be_seen(stage: Stage, name: str) -> None:
    """Cluster, inventory and database are in the end what they are without it, and nothing was made twice."""
    [story] = [each for each in STORIES if each.name == name]

    found = await found_at(stage, story, every=EVERY)

    assert all(each.is_killed for each in found)
    assert [each for each in found if each.wrong] == []


@in_one_loop
async def test_a_workflow_that_makes_something_twice_is_found(stage: Stage) -> None:
    """Only a death between the effect of the flawed activity and the commit of its result shows, and it does."""

    async def play(room: Room) -> None:
        await room.run("flawed", FLAWED, None)

    found = await found_at(stage, Story("flawed", play, (FLAWED, "1.0.0"), modules=("tests.awaits.flawed",)))

    wrong = {each.place.removeprefix("flawed:1 ") for each in found if each.wrong}
    assert wrong == {"draw #1 after create ConfigMap UID", "draw #1 ends", "ActivityCompleted #1 before its commit"}
    assert all("ConfigMap UID" in each.wrong for each in found if each.wrong)


def test_every_offered_orchestration_has_a_story() -> None:
    """Whoever adds a workflow, or a version of one, says how it is to be killed."""
    offered = {(each.name, each.version) for each in create_orchestration_registry()}

    assert {story.tells for story in STORIES} == offered

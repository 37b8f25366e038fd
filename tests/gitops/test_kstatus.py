"""What kstatus concludes at every moment of a life: its own code reads every version that a watch has shown.

Flux, Helm and kpt wait by these conclusions. A premature `Current` would let what depends on a run begin too early; a
premature `Failed` would give up on a run that only waits.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from perdure._kube.client import Api
from tests.e2e.operators import World
from tests.gitops.applying import apply
from tests.gitops.judging import Judge, Manifest
from tests.gitops.sampling import Life, is_shown, phase_of

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ORCHESTRATION, SIGNAL, SCHEDULE = "Orchestration", "OrchestrationSignal", "OrchestrationSchedule"
ENDED_BADLY = {"Failed", "Cancelled"}
HOUR = 3600


def concluded(version: Manifest) -> str:
    """Give what must be concluded from an Orchestration, by its phase alone; `readyWhen` is that of completion."""
    metadata, status = version["metadata"], version["status"]
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if status["observedGeneration"] != metadata["generation"]:
        return "InProgress"
    if status["phase"] in ENDED_BADLY:
        return "Failed"
    return "Current" if status["phase"] == "Completed" else "InProgress"


def verdicts(judge: Judge, life: Life) -> list[str]:
    """Give what kstatus concludes from every version."""
    return [verdict.status for verdict in judge.kstatus(life.versions)]


def changes(told: list[str]) -> list[str]:
    """Leave out what is said twice in a row."""
    return [one for before, one in zip(["", *told], told, strict=False) if one != before]


def watch(watcher: Api, world: World, name: str, kind: str = ORCHESTRATION) -> AbstractAsyncContextManager[Life]:
    """Watch a resource of the world's namespace."""
    return Life.watched(watcher, kind, name, namespace=world.scene.namespace)


async def test_a_run_is_current_when_it_has_completed_and_not_before(world: World, watcher: Api, judge: Judge) -> None:
    """From the moment it is created, before any operator has looked."""
    async with watch(watcher, world, "quick") as life:
        await world.apply("quick")
        await life.in_phase("Completed")

    assert life.versions[0]["status"]["observedGeneration"] == -1
    assert verdicts(judge, life) == [concluded(version) for version in life.versions]
    assert changes(verdicts(judge, life)) == ["InProgress", "Current"]


async def test_a_run_that_waits_and_retries_is_in_progress(world: World, watcher: Api, judge: Judge) -> None:
    """Whatever it waits for, a failed attempt is no failure."""
    async with watch(watcher, world, "trying") as trying, watch(watcher, world, "waiting") as waiting:
        await world.apply("trying", flow="retry", input=3)
        await world.apply("waiting", flow="wait", input=HOUR)
        await waiting.shows(lambda version: is_shown(version, "Waiting"))
        await trying.in_phase("Completed")

    assert any(is_shown(version, "Retrying") for version in trying.versions)
    assert changes(verdicts(judge, trying)) == ["InProgress", "Current"]
    assert changes(verdicts(judge, waiting)) == ["InProgress"]
    assert verdicts(judge, trying) == [concluded(version) for version in trying.versions]


async def test_a_suspended_run_is_in_progress_until_it_has_completed(world: World, watcher: Api, judge: Judge) -> None:
    """Nothing has failed, and nothing is done."""
    async with watch(watcher, world, "paused") as life:
        await world.apply("paused", suspend=True)
        await life.in_phase("Suspended")
        await world.apply("paused")
        await life.in_phase("Completed")

    assert verdicts(judge, life) == [concluded(version) for version in life.versions]
    assert changes(verdicts(judge, life)) == ["InProgress", "Current"]


async def test_a_failed_run_has_failed_with_its_message(world: World, watcher: Api, judge: Judge) -> None:
    """The message of the activity is what Flux and Helm show."""
    async with watch(watcher, world, "refused") as life:
        await world.apply("refused", flow="fail")
        await life.in_phase("Failed")

    assert changes(verdicts(judge, life)) == ["InProgress", "Failed"]
    assert "asks for too much" in judge.kstatus(life.versions)[-1].message


async def test_a_cancelled_run_has_failed(world: World, watcher: Api, judge: Judge) -> None:
    """What was asked for is not there."""
    async with watch(watcher, world, "ended") as life:
        await world.apply("ended", flow="wait", input=HOUR)
        await life.shows(lambda version: is_shown(version, "Waiting"))
        await world.apply("ended", flow="wait", input=HOUR, cancel={"reason": "enough"})
        await life.in_phase("Cancelled")

    assert changes(verdicts(judge, life)) == ["InProgress", "Failed"]


async def test_a_run_that_takes_too_long_has_failed(world: World, watcher: Api, judge: Judge) -> None:
    """Until its time is up, it is in progress."""
    async with watch(watcher, world, "overdue") as life:
        await world.apply("overdue", flow="wait", input=HOUR, timeoutSeconds=1)
        await life.in_phase("Failed")

    assert verdicts(judge, life) == [concluded(version) for version in life.versions]
    assert changes(verdicts(judge, life)) == ["InProgress", "Failed"]
    assert "PERDURE-1223" in judge.kstatus(life.versions)[-1].message


async def test_a_run_that_nobody_can_run_has_failed_until_somebody_can(
    world: World, watcher: Api, judge: Judge
) -> None:
    """Somebody has to help it, so nobody waits for it in silence."""
    async with watch(watcher, world, "unknown") as life:
        await world.apply("unknown", orchestration="test::orchestration::nowhere")
        await life.shows(lambda version: is_shown(version, "UnknownOrchestration"))

    assert changes(verdicts(judge, life)) == ["InProgress", "Failed"]
    assert "test::orchestration::nowhere" in judge.kstatus(life.versions)[-1].message


async def test_a_run_that_serves_is_current_while_it_runs_and_terminates_with_its_compensation(
    world: World, watcher: Api, judge: Judge
) -> None:
    """`readyWhen: Custom`; the finalizer keeps the resource until what it made is undone."""
    folder = {"folder": str(world.folder)}
    async with watch(watcher, world, "served") as life:
        await world.apply("served", flow="keep", input=folder, readyWhen="Custom", deletionPolicy="Compensate")
        await life.shows(lambda version: "steps are kept" in str(version.get("status")))
        await world.delete("served")
        await life.ends()

    assert changes(verdicts(judge, life)) == ["InProgress", "Current", "Terminating"]
    assert {
        phase_of(version)
        for version, said in zip(life.versions, verdicts(judge, life), strict=True)
        if said == "Current"
    } == {"Running"}


async def test_a_signal_is_current_when_it_is_delivered(world: World, watcher: Api, judge: Judge) -> None:
    """It waits for its run; one that comes too late has failed."""
    async with watch(watcher, world, "yes", SIGNAL) as early, watch(watcher, world, "late", SIGNAL) as late:
        await apply(world, SIGNAL, "yes", orchestrationRef={"name": "approved"}, signal="approved")
        await early.shows(lambda version: is_shown(version, "RunMissing"))
        await world.apply("approved", flow="approve")
        await early.in_phase("Delivered")
        await world.scene.completed("approved")
        await apply(world, SIGNAL, "late", orchestrationRef={"name": "approved"}, signal="approved")
        await late.in_phase("Failed")

    assert changes(verdicts(judge, early)) == ["InProgress", "Current"]
    assert changes(verdicts(judge, late)) == ["InProgress", "Failed"]


async def test_a_schedule_is_current_when_it_is_followed(world: World, watcher: Api, judge: Judge) -> None:
    """Also suspended; one that cannot be understood has failed, until it is corrected."""
    template = {"spec": {"orchestration": "test::orchestration::wait", "input": 0}}
    wanted = {"cron": "@yearly", "orchestrationTemplate": template}
    async with watch(watcher, world, "yearly", SCHEDULE) as life:
        await apply(world, SCHEDULE, "yearly", **wanted, timeZone="Mars/Olympus")
        await life.shows(lambda version: is_shown(version, "UnknownTimeZone"))
        await apply(world, SCHEDULE, "yearly", **wanted, timeZone="Europe/Berlin")
        await life.shows(lambda version: is_shown(version, "Scheduled"))
        await apply(world, SCHEDULE, "yearly", **wanted, timeZone="Europe/Berlin", suspend=True)
        await life.shows(lambda version: is_shown(version, "Suspended"))

    assert changes(verdicts(judge, life)) == ["InProgress", "Failed", "InProgress", "Current", "InProgress", "Current"]

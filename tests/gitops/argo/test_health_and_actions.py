"""What Argo CD shows of our resources and does to them, by the scripts of `docs/gitops` in its own interpreter."""

from __future__ import annotations

import json

import pytest
import yaml

from perdure._kube.api.base import API_VERSION
from perdure._kube.client import Api
from tests.e2e.operators import World
from tests.gitops.applying import apply
from tests.gitops.argo.argo import CUSTOMIZATIONS, Argo
from tests.gitops.judging import Judge
from tests.gitops.sampling import Life

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ORCHESTRATION, SIGNAL, SCHEDULE = "Orchestration", "OrchestrationSignal", "OrchestrationSchedule"
AS_KSTATUS = {
    "Current": {"Healthy"},
    "InProgress": {"Progressing", "Suspended"},
    "Failed": {"Degraded"},
    "Terminating": {"Progressing"},
}
HOUR = 3600


async def test_the_actions_do_what_they_say(world: World, watcher: Api, argo: Argo) -> None:
    """A run is suspended, resumed and cancelled; only what makes sense is offered."""
    async with Life.watched(watcher, ORCHESTRATION, "steered", namespace=world.scene.namespace) as life:
        await world.apply("steered", flow="wait", input=HOUR)
        running = await life.in_phase("Running")
        await argo.act("suspend", running)
        suspended = await life.in_phase("Suspended")
        await argo.act("resume", suspended)
        resumed = await life.shows(
            lambda one: (
                one["metadata"]["generation"] == 3 == one["status"]["observedGeneration"]
                and one["status"]["phase"] == "Running"
            )
        )
        await argo.act("cancel", resumed)
        cancelled = await life.in_phase("Cancelled")

    assert [(one.status, one.actions) for one in await argo.views(running, suspended, resumed, cancelled)] == [
        ("Progressing", {"suspend", "cancel"}),
        ("Suspended", {"resume", "cancel"}),
        ("Progressing", {"suspend", "cancel"}),
        ("Degraded", set()),
    ]
    assert "cancelled in Argo CD" in json.dumps(cancelled)


async def test_an_action_sends_what_it_is_about_and_nothing_else(world: World, watcher: Api, argo: Argo) -> None:
    """A resource goes through Lua as a whole, and comes out with its input and its status as they were."""
    given = {"folder": str(world.folder), "steps": 2}
    async with Life.watched(watcher, ORCHESTRATION, "whole", namespace=world.scene.namespace) as life:
        await world.apply("whole", flow="keep", input=given, readyWhen="Custom")
        kept = await life.shows(lambda version: "steps are kept" in str(version.get("status")))

    assert await argo.patch("suspend", kept) == {"spec": {"suspend": True}}
    assert await argo.patch("cancel", kept) == {"spec": {"cancel": {"reason": "cancelled in Argo CD"}}}
    assert [one.status for one in await argo.views(kept)] == ["Healthy"]


async def test_argo_says_what_kstatus_says_at_every_moment(
    world: World, watcher: Api, argo: Argo, judge: Judge
) -> None:
    """It knows one more word, for what is suspended; a failure comes with the words of the run."""
    namespace = world.scene.namespace
    async with (
        Life.watched(watcher, ORCHESTRATION, "good", namespace=namespace) as good,
        Life.watched(watcher, ORCHESTRATION, "bad", namespace=namespace) as bad,
        Life.watched(watcher, ORCHESTRATION, "undone", namespace=namespace) as undone,
    ):
        await world.apply("good", suspend=True)
        await good.in_phase("Suspended")
        await world.apply("good")
        await world.apply("bad", flow="fail")
        folder = {"folder": str(world.folder)}
        await world.apply("undone", flow="keep", input=folder, readyWhen="Custom", deletionPolicy="Compensate")
        await undone.shows(lambda version: "steps are kept" in str(version.get("status")))
        await world.delete("undone")
        await good.in_phase("Completed")
        await bad.in_phase("Failed")
        await undone.ends()

    versions = [*good.versions, *undone.versions, *bad.versions]
    views = await argo.views(*versions)
    for verdict, view in zip(judge.kstatus(versions), views, strict=True):
        assert view.status in AS_KSTATUS[verdict.status]
    assert {view.status for view in views} == {"Healthy", "Progressing", "Suspended", "Degraded"}
    assert "asks for too much" in views[-1].message


async def test_signals_and_schedules_have_a_health(world: World, watcher: Api, argo: Argo) -> None:
    """A signal is healthy when it is delivered; a schedule is suspended and resumed."""
    namespace = world.scene.namespace
    async with (
        Life.watched(watcher, SIGNAL, "yes", namespace=namespace) as signal,
        Life.watched(watcher, SCHEDULE, "yearly", namespace=namespace) as schedule,
    ):
        await apply(world, SIGNAL, "yes", orchestrationRef={"name": "asked"}, signal="approved")
        waiting = await signal.shows(lambda one: "RunMissing" in str(one["status"]))
        await world.apply("asked", flow="approve")
        delivered = await signal.in_phase("Delivered")
        template = {"spec": {"orchestration": "test::orchestration::wait", "input": 0}}
        await apply(world, SCHEDULE, "yearly", cron="@yearly", orchestrationTemplate=template)
        followed = await schedule.shows(lambda one: "Scheduled" in str(one.get("status")))
        await argo.act("suspend", followed)
        suspended = await schedule.shows(lambda one: "'Suspended'" in str(one.get("status")))
        await argo.act("resume", suspended)
        resumed = await schedule.shows(lambda one: one.get("status", {}).get("observedGeneration") == 3)

    assert [one.status for one in await argo.views(waiting, delivered)] == ["Progressing", "Healthy"]
    assert [(one.status, one.actions) for one in await argo.views(followed, suspended, resumed)] == [
        ("Healthy", {"suspend"}),
        ("Suspended", {"resume"}),
        ("Healthy", {"suspend"}),
    ]


async def test_every_action_that_is_defined_is_offered_at_some_time(world: World, argo: Argo) -> None:
    """Discovery and definitions name the same."""
    data = yaml.safe_load(CUSTOMIZATIONS.read_text())["data"]
    for kind in (ORCHESTRATION, SCHEDULE):
        offered = yaml.safe_load(data[f"resource.customizations.actions.perdure.dev_{kind}"])
        resource = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "any"}}
        active, paused = [{**resource, "spec": {"suspend": is_paused}} for is_paused in (False, True)]
        views = await argo.views(active, paused)
        assert views[0].actions | views[1].actions == {one["name"] for one in offered["definitions"]}

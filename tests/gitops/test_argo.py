"""What Argo CD shows of our resources and does to them: the scripts of `docs/gitops`, called as Argo CD calls them."""

from __future__ import annotations

import json

import pytest
import yaml

from perdure._kube.client import Api
from tests.e2e.operators import World
from tests.gitops.applying import apply
from tests.gitops.judging import Judge, Manifest
from tests.gitops.sampling import Life
from tests.tree import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

CUSTOMIZATIONS = "resource.customizations"
DATA = yaml.safe_load((ROOT / "docs/gitops/argocd-cm.yaml").read_text())["data"]
ORCHESTRATION, SIGNAL, SCHEDULE = "Orchestration", "OrchestrationSignal", "OrchestrationSchedule"
AS_KSTATUS = {"Current": {"Healthy"}, "InProgress": {"Progressing", "Suspended"}, "Failed": {"Degraded"}}
HOUR = 3600


def healths(judge: Judge, *resources: Manifest) -> list[dict[str, str]]:
    """Give the health of resources of one kind."""
    script = DATA[f"{CUSTOMIZATIONS}.health.perdure.dev_{resources[0]['kind']}"]
    return judge.lua(script, resources)


def actions(judge: Judge, resource: Manifest) -> set[str]:
    """Name the actions that are offered for a resource."""
    offered = yaml.safe_load(DATA[f"{CUSTOMIZATIONS}.actions.perdure.dev_{resource['kind']}"])
    [found] = judge.lua(offered["discovery.lua"], [resource])
    assert set(found) == {one["name"] for one in offered["definitions"]}
    return {name for name, action in found.items() if not action["disabled"]}


async def act(world: World, judge: Judge, action: str, resource: Manifest) -> None:
    """Do to a resource what an action does: its changes are patched into the cluster."""
    offered = yaml.safe_load(DATA[f"{CUSTOMIZATIONS}.actions.perdure.dev_{resource['kind']}"])
    [script] = [one["action.lua"] for one in offered["definitions"] if one["name"] == action]
    [changed] = judge.lua(script, [resource])
    patch = json.dumps({"spec": changed["spec"]})
    name = resource["metadata"]["name"]
    await world.scene.kubectl("patch", resource["kind"].lower(), name, "--type=merge", f"--patch={patch}")


async def test_the_actions_do_what_they_say(world: World, watcher: Api, judge: Judge) -> None:
    """A run is suspended, resumed and cancelled; only what makes sense is offered."""
    async with Life.watched(watcher, ORCHESTRATION, "steered", namespace=world.scene.namespace) as life:
        await world.apply("steered", flow="wait", input=HOUR)
        running = await life.in_phase("Running")
        await act(world, judge, "suspend", running)
        suspended = await life.in_phase("Suspended")
        await act(world, judge, "resume", suspended)
        resumed = await life.shows(
            lambda one: (
                one["metadata"]["generation"] == 3 == one["status"]["observedGeneration"]
                and one["status"]["phase"] == "Running"
            )
        )
        await act(world, judge, "cancel", resumed)
        cancelled = await life.in_phase("Cancelled")

    assert [one["status"] for one in healths(judge, running, suspended, resumed, cancelled)] == [
        *("Progressing", "Suspended", "Progressing", "Degraded")
    ]
    assert [actions(judge, one) for one in (running, suspended, resumed, cancelled)] == [
        *({"suspend", "cancel"}, {"resume", "cancel"}, {"suspend", "cancel"}, set())
    ]
    assert "cancelled in Argo CD" in json.dumps(cancelled)


async def test_argo_says_what_kstatus_says_at_every_moment(world: World, watcher: Api, judge: Judge) -> None:
    """It knows one more word, for what is suspended; a failure comes with the words of the run."""
    namespace = world.scene.namespace
    async with (
        Life.watched(watcher, ORCHESTRATION, "good", namespace=namespace) as good,
        Life.watched(watcher, ORCHESTRATION, "bad", namespace=namespace) as bad,
    ):
        await world.apply("good", suspend=True)
        await good.in_phase("Suspended")
        await world.apply("good")
        await world.apply("bad", flow="fail")
        await good.in_phase("Completed")
        await bad.in_phase("Failed")

    versions = [*good.versions, *bad.versions]
    told = healths(judge, *versions)
    for verdict, health in zip(judge.kstatus(versions), told, strict=True):
        assert health["status"] in AS_KSTATUS[verdict.status]
    assert {one["status"] for one in told} == {"Healthy", "Progressing", "Suspended", "Degraded"}
    assert "asks for too much" in told[-1]["message"]


async def test_signals_and_schedules_have_a_health(world: World, watcher: Api, judge: Judge) -> None:
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
        await act(world, judge, "suspend", followed)
        suspended = await schedule.shows(lambda one: "'Suspended'" in str(one.get("status")))
        await act(world, judge, "resume", suspended)
        await schedule.shows(lambda one: one.get("status", {}).get("observedGeneration") == 3)

    assert [one["status"] for one in healths(judge, waiting, delivered)] == ["Progressing", "Healthy"]
    assert [one["status"] for one in healths(judge, followed, suspended, schedule.versions[-1])] == [
        *("Healthy", "Suspended", "Healthy")
    ]
    assert [actions(judge, one) for one in (followed, suspended)] == [{"suspend"}, {"resume"}]

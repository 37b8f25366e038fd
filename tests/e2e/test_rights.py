"""What the operator may do in the cluster is what it does, no more and no less, and for runs it does nothing as itself.

An operator with exactly the rights of its own list lives through everything that makes it call the API server, whose
RBAC would refuse what is not listed. What it has asked for stands in the audit log of the API server: each listed verb
was used, none was refused, and what was done for a run was done as the run's ServiceAccount. Whoever makes the
operator call something new adds it to the list, and to the story here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from perdure._kube import rights
from perdure._kube.api.base import API_VERSION
from tests.cluster.control_plane import AUDITED_NAMESPACE
from tests.cluster.handle import Cluster
from tests.e2e import shifted_clock
from tests.e2e.limited import Limited
from tests.e2e.operator_process import Operator, until
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@dataclasses.dataclass(frozen=True)
class Story:
    """What an operator has asked for in its life, as the API server wrote it down, and where its runs lived."""

    events: list[dict[str, Any]]
    user: str
    namespace: str

    def own(self) -> Iterator[dict[str, Any]]:
        """Give what it asked for as itself, of resources."""
        return (event for event in self.events if "impersonatedUser" not in event and "objectRef" in event)

    def of_runs(self) -> Iterator[dict[str, Any]]:
        """Give what it asked for as somebody else."""
        return (event for event in self.events if "impersonatedUser" in event)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(
    local_cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Story]:
    """Live a full life: runs of every kind, a signal, a schedule, a deletion that compensates, TTLs, a second start."""
    folder = tmp_path_factory.mktemp("notes")
    namespace = await asyncio.to_thread(local_cluster.make_namespace)
    limited = await Limited.made(local_cluster, folder.parent, runs=[namespace])
    with postgres.database("template0") as dsn:
        await shifted_clock.prepare(dsn)
        async with World.opened(local_cluster, namespace, dsn=dsn, folder=folder) as world:
            await _live(world, limited)
    assert local_cluster.control_plane is not None
    lines = local_cluster.control_plane.audit_log.read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event["user"]["username"] == limited.user]
    yield Story(events, limited.user, namespace)
    await limited.remove()
    await asyncio.to_thread(local_cluster.delete_namespace, namespace)


async def _operator(world: World, limited: Limited) -> Operator:
    """Start an operator that watches everything, as one of several."""
    return await world.operator(
        kubeconfig=limited.kubeconfig,
        NAMESPACES="",
        LEADER_ELECTION="on",
        LEASE_NAMESPACE=AUDITED_NAMESPACE,
        LEASE_NAME=limited.name,
        SWEEP_SECONDS="1",
        EVENTS="all",
    )


async def _live(world: World, limited: Limited) -> None:
    scene = world.scene
    first = await _operator(world, limited)
    await scene.kubectl("create", "serviceaccount", "runner")
    await scene.kubectl("create", "role", "runner", "--verb=get,create,patch", "--resource=configmaps")
    account = f"--serviceaccount={scene.namespace}:runner"
    await scene.kubectl("create", "rolebinding", "runner", "--role=runner", account)
    await scene.kubectl("create", "configmap", "given", f"--from-literal=folder={world.folder}")
    source = {"path": "folder", "configMapKeyRef": {"name": "given", "key": "folder"}}

    await world.apply("plain")
    await world.apply("acts", flow="configure", serviceAccountName="runner")
    await world.apply("given", input={"steps": 1}, inputFrom=[source], serviceAccountName="runner")
    await world.apply("kept", flow="keep", input={"folder": str(world.folder)}, deletionPolicy="Compensate")
    await world.apply("brief", flow="wait", input=0, ttlSecondsAfterFinished=1)
    for name in ("plain", "acts", "given"):
        await scene.completed(name)
    await scene.shown("kept", "Running")
    await world.delete("kept")
    await _signal(world)
    await _follow_a_schedule(world)

    async def is_removed() -> bool:
        return "brief" not in await scene.kubectl("get", "orchestrations,orchestrationsignals", "--output=name")

    async def is_told() -> bool:
        return "orchestration/plain" in await scene.kubectl("get", "events", "--ignore-not-found")

    await until(is_removed)
    await until(is_told)
    await first.stop()
    await world.delete("plain")
    await scene.kubectl("delete", "orchestrationsignal/early", "orchestrationschedule/nightly")
    second = await _operator(world, limited)
    await world.apply("again")
    await scene.completed("again")

    async def are_known_to_be_gone() -> bool:
        kinds = {"resources": "plain", "signal_resources": "early", "schedules": "nightly"}
        gone = [
            await world.database.fetchval(f"select gone_at is not null from {table} where name = $1", name)  # noqa: S608 - of ours
            for table, name in kinds.items()
        ]
        return all(gone)

    await until(are_known_to_be_gone)
    await second.stop()


async def _apply(world: World, kind: str, name: str, spec: dict[str, object]) -> None:
    manifest = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    await world.scene.kubectl("apply", "--server-side", "--filename=-", input=json.dumps(manifest))


async def _signal(world: World) -> None:
    """Signal a run, by a signal that goes by itself, and one that is not there, by one that waits."""
    await world.apply("asks", flow="approve")
    usual = {"signal": "approved"}
    await _apply(
        world,
        "OrchestrationSignal",
        "brief",
        {**usual, "orchestrationRef": {"name": "asks"}, "ttlSecondsAfterDelivered": 1},
    )
    await world.scene.completed("asks")
    await _apply(world, "OrchestrationSignal", "early", {**usual, "orchestrationRef": {"name": "nobody"}})


async def _follow_a_schedule(world: World) -> None:
    """Let a day pass, and have the schedule looked at then: a change of it is one look."""
    run = {"orchestration": "test::orchestration::wait", "input": 0}
    spec: dict[str, object] = {"cron": "@daily", "orchestrationTemplate": {"spec": run}}
    await _apply(world, "OrchestrationSchedule", "nightly", spec)
    kubectl = world.scene.kubectl

    async def is_followed() -> bool:
        return "observedGeneration" in await kubectl("get", "orchestrationschedule/nightly", "--output=json")

    async def has_run() -> bool:
        of_it = ("orchestrations", "--selector=perdure.dev/schedule=nightly")
        return "Completed" in await kubectl("get", *of_it, "--output=jsonpath={.items[*].status.phase}")

    await until(is_followed)
    await shifted_clock.advance(world.database, datetime.timedelta(days=1))
    await _apply(world, "OrchestrationSchedule", "nightly", {**spec, "failedRunsHistoryLimit": 5})
    await until(has_run)


async def test_every_right_is_used_and_nothing_else_is_asked_for(story: Story) -> None:
    """The list is minimal and complete: what is asked for is what is listed, verb by verb."""
    asked = {(of(event), event["verb"]) for event in story.own()}
    listed = {
        ((right.group, right.resource), verb)
        for right in rights.RIGHTS
        for verb in right.verbs
        if verb != "impersonate"  # that is no request but a header of others
    }

    assert asked == listed
    assert any(story.of_runs()), "nobody was impersonated"


async def test_nothing_was_refused(story: Story) -> None:
    """No right is missing that would only be noticed in a log line."""
    # Not by the code: 403 is also the answer to an Event in the namespace of an earlier test, which is on its way out.
    refused = [event for event in story.own() if event["annotations"]["authorization.k8s.io/decision"] == "forbid"]

    assert refused == []


async def test_what_is_done_for_a_run_is_done_as_its_service_account(story: Story) -> None:
    """ConfigMaps were read and written, by the account of the run; as itself the operator has touched none."""
    users = {event["impersonatedUser"]["username"] for event in story.of_runs()}
    touched = {event["objectRef"]["resource"] for event in story.of_runs() if "objectRef" in event}

    assert users == {f"system:serviceaccount:{story.namespace}:runner"}
    assert touched == {"configmaps"}
    assert all(event["objectRef"]["resource"] != "configmaps" for event in story.own())


async def test_without_a_resource_only_what_there_is_was_asked_for(story: Story) -> None:
    """Kinds and versions, which everybody may read."""
    paths = {event["requestURI"].partition("?")[0] for event in story.events if "objectRef" not in event}

    assert all(path.startswith(("/api", "/apis", "/version")) for path in paths), paths


def of(event: dict[str, Any]) -> tuple[str, str]:
    """Name what an event is about, as a rule of RBAC would."""
    about = event["objectRef"]
    below = f"/{about['subresource']}" if "subresource" in about else ""
    return about.get("apiGroup", ""), f"{about['resource']}{below}"

"""What the operator may do in the cluster is what it does, no more and no less, and for runs it does nothing as itself.

An operator with exactly the rights of its own list lives through everything that makes it call the API server, whose
RBAC would refuse what is not listed. What it has asked for stands in the audit log of the API server: each listed verb
was used, none was refused, and what was done for a run was done as the run's ServiceAccount. Whoever makes the
operator call something new adds it to the list, and to the story here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from perdure._kube import rights
from tests.cluster.control_plane import AUDITED_NAMESPACE
from tests.cluster.handle import Cluster
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
    """Live a full life: runs of every kind, a deletion that compensates, a TTL, and a second start."""
    folder = tmp_path_factory.mktemp("notes")
    async with World.shared(local_cluster, postgres, folder=folder) as world:
        limited = await Limited.made(local_cluster, folder.parent, runs=[world.scene.namespace])
        await _live(world, limited)
        assert local_cluster.control_plane is not None
        lines = local_cluster.control_plane.audit_log.read_text().splitlines()
        events = [event for event in map(json.loads, lines) if event["user"]["username"] == limited.user]
        yield Story(events, limited.user, world.scene.namespace)
        await limited.remove()


async def _operator(world: World, limited: Limited) -> Operator:
    """Start an operator that watches everything, as one of several."""
    return await world.operator(
        kubeconfig=limited.kubeconfig,
        NAMESPACES="",
        LEADER_ELECTION="on",
        LEASE_NAMESPACE=AUDITED_NAMESPACE,
        LEASE_NAME=limited.name,
        SWEEP_SECONDS="1",
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

    async def is_removed() -> bool:
        return "brief" not in await scene.kubectl("get", "orchestrations", "--output=name")

    await until(is_removed)
    await first.stop()
    await world.delete("plain")
    second = await _operator(world, limited)
    await world.apply("again")
    await scene.completed("again")

    async def is_known_to_be_gone() -> bool:
        name = "select gone_at is not null from resources where namespace = $1 and name = 'plain'"
        return bool(await world.database.fetchval(name, scene.namespace))

    await until(is_known_to_be_gone)
    await second.stop()


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
    refused = [event for event in story.own() if event["responseStatus"]["code"] in {401, 403}]

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

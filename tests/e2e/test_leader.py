"""One controller leads: candidates on a real API server, in short terms, and real operators in the usual ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import JsonValue

from perdure._kube.client import Api
from perdure._kube.election import Terms
from perdure._kube.leader import Leader
from perdure._kube.reach import Reach
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import Operator, until
from tests.e2e.operators import World

pytestmark = pytest.mark.slow

LEASE = "perdure-controller"
SHORT = Terms(lease_seconds=3.0, renew_seconds=1.5, retry_seconds=0.2)
LONG = Terms(lease_seconds=3600.0, renew_seconds=1800.0, retry_seconds=0.2)


class Candidate:
    """Somebody who stands for the Lease of a namespace, and notes when their work begins and ends."""

    def __init__(self, api: Api, namespace: str, me: str, *, terms: Terms) -> None:
        """Stand from now on."""
        self.leader = Leader(api, Reach(), name=LEASE, namespace=namespace, me=me, terms=terms)
        self.did: list[str] = []
        self._task = asyncio.create_task(self.leader.run(self._work))

    async def _work(self) -> None:
        self.did.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            self.did.append("ended")

    async def leads(self, *, is_so: bool = True) -> None:
        """Wait until they lead, or do no more."""

        async def is_reached() -> bool:
            return self.leader.is_leading is is_so and len(self.did) > 0

        await until(is_reached)

    async def stop(self) -> None:
        """End in order."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Wire:
    """A way to the API server that can be cut; what goes over it is not looked at."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = host, port
        self._is_cut = False
        self._ends: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one connection."""
        if self._is_cut:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        self._ends += [writer, server_writer]
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))

    def cut(self) -> None:
        """Let nothing through any more."""
        self._is_cut = True
        for end in self._ends:
            end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def wired(cluster: Cluster, folder: Path) -> AsyncIterator[tuple[Wire, Path]]:
    """Give a wire to the API server, and a kubeconfig that leads through it."""
    kubeconfig = yaml.safe_load(cluster.kubeconfig.read_text())
    about = kubeconfig["clusters"][0]["cluster"]
    address = urlsplit(about["server"])
    assert address.hostname is not None
    wire = Wire(address.hostname, address.port or 443)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    about |= {
        "server": f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "tls-server-name": address.hostname,
    }
    path = folder / "wired.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    try:
        yield wire, path
    finally:
        server.close()
        wire.cut()


Stand = Callable[..., Candidate]
"""Makes a candidate of a name, who ends with the test."""


@pytest.fixture
async def stand(api: Api, namespace: str) -> AsyncIterator[Stand]:
    """Let somebody stand for the Lease of the namespace."""
    candidates: list[Candidate] = []

    def stand(me: str, *, by: Api = api, terms: Terms = LONG) -> Candidate:
        candidates.append(Candidate(by, namespace, me, terms=terms))
        return candidates[-1]

    yield stand
    await asyncio.gather(*(one.stop() for one in candidates))


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    """Give the API server."""
    api = await Api.connect(str(cluster.kubeconfig))
    yield api
    await api.close()


async def spec_of(api: Api, namespace: str) -> dict[str, object]:
    """Give what the Lease says."""
    lease = await api.get("coordination.k8s.io/v1", "Lease", LEASE, namespace=namespace)
    assert lease is not None
    spec = lease["spec"]
    assert isinstance(spec, dict)
    return dict(spec)


async def test_one_of_many_leads_and_who_stops_hands_over_at_once(stand: Stand, api: Api, namespace: str) -> None:
    """The Lease would last an hour; it is emptied when the work has ended, and a standby takes it."""
    candidates = [stand(me) for me in ("a", "b", "c")]
    first, *others = await leader_first(candidates)
    spec = await spec_of(api, namespace)

    await until(lambda: _all_say(others, f"standby: {spec['holderIdentity']} holds"))
    assert [one.did for one in others] == [[], []]
    assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (3600, 1)

    await first.stop()
    second, last = await leader_first(others)
    assert first.did == ["begun", "ended"]
    assert (await spec_of(api, namespace))["leaseTransitions"] == 2

    await asyncio.gather(second.stop(), last.stop())
    assert (await spec_of(api, namespace))["holderIdentity"] == ""


async def _all_say(candidates: list[Candidate], words: str) -> bool:
    return all(words in one.leader.need().why for one in candidates)


async def leader_first(candidates: list[Candidate]) -> list[Candidate]:
    """Wait until one leads, and give that one before the others."""

    async def is_reached() -> bool:
        return any(one.leader.is_leading for one in candidates)

    await until(is_reached)
    return sorted(candidates, key=lambda one: not one.leader.is_leading)


async def test_the_lease_of_who_died_is_taken_when_it_ends_whatever_its_times_say(
    stand: Stand, api: Api, namespace: str
) -> None:
    """The clock of the dead was years ahead: only how long the Lease was seen unchanged counts."""
    dead: dict[str, JsonValue] = {
        "holderIdentity": "dead",
        "leaseDurationSeconds": 1,
        "renewTime": "2099-01-01T00:00:00.000001Z",
    }
    await api.create(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, "namespace": namespace, "labels": {"kept": "yes"}},
            "spec": {**dead, "leaseTransitions": 7},
        },
        field_manager="test",
    )

    heir = stand("heir")
    await heir.leads()
    spec = await spec_of(api, namespace)

    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("heir", 8)


async def test_a_leader_that_is_cut_off_stops_and_another_leads(cluster: Cluster, stand: Stand, tmp_path: Path) -> None:
    """Its work ends in order before the other's begins, and it never ends the process: it stands again for ever."""
    async with wired(cluster, tmp_path) as (wire, kubeconfig):
        lonely_api = await Api.connect(str(kubeconfig))
        lonely = stand("lonely", by=lonely_api, terms=SHORT)
        await lonely.leads()
        other = stand("other", terms=SHORT)

        wire.cut()
        await lonely.leads(is_so=False)
        ended_before = not other.did
        await other.leads()

        await lonely.stop()
        await lonely_api.close()
    assert ended_before
    assert (lonely.did, lonely.leader.losses) == (["begun", "ended"], 1)


async def test_who_finds_another_in_its_lease_stops_at_once(stand: Stand, api: Api, namespace: str) -> None:
    """Somebody has written over it: the work ends, and begins again once that one is gone."""
    candidate = stand("a")
    await candidate.leads()
    await replace_holder(api, namespace, "b")
    await candidate.leads(is_so=False)

    await replace_holder(api, namespace, "")
    await candidate.leads()
    await candidate.stop()

    assert candidate.did == ["begun", "ended", "begun", "ended"]


async def replace_holder(api: Api, namespace: str, holder: str) -> None:
    """Write somebody else into the Lease."""
    await api.json_patch(
        "coordination.k8s.io/v1",
        "Lease",
        name=LEASE,
        namespace=namespace,
        patch=[{"op": "add", "path": "/spec/holderIdentity", "value": holder}],
    )


async def test_a_lease_that_somebody_deletes_is_made_again(stand: Stand, api: Api, namespace: str) -> None:
    """The leader goes on to lead."""
    candidate = stand("a", terms=SHORT)
    await candidate.leads()

    await api.delete("coordination.k8s.io/v1", "Lease", LEASE, namespace=namespace)

    async def is_there() -> bool:
        return await api.get("coordination.k8s.io/v1", "Lease", LEASE, namespace=namespace) is not None

    await until(is_there)
    assert (await spec_of(api, namespace))["holderIdentity"] == "a"


async def test_a_missing_right_is_said_and_waited_for(cluster: Cluster, stand: Stand, api: Api, namespace: str) -> None:
    """Who may not write the Lease does not lead, says which right is missing, and leads once it is there."""
    account = f"system:serviceaccount:{namespace}:default"
    candidate = stand("a", by=api.acting_as(account))

    async def is_refused() -> bool:
        return "leases" in candidate.leader.need().why

    await until(is_refused)
    refused = candidate.leader.need()
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "leader", "namespace": namespace},
        "rules": [
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": [LEASE],
                "verbs": ["get", "update"],
            },
        ],
    }
    await asyncio.to_thread(cluster.kubectl, "apply", "--filename=-", input=json.dumps(role))
    binding = ("create", "rolebinding", "leader", "--role=leader", f"--serviceaccount={namespace}:default")
    await asyncio.to_thread(cluster.kubectl, f"--namespace={namespace}", *binding)
    await candidate.leads()
    await candidate.stop()

    assert not refused.ok
    assert (await spec_of(api, namespace))["holderIdentity"] == ""


# Real operators.


@pytest.fixture
async def world(cluster: Cluster, namespace: str, dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """Give a namespace and a database without an operator."""
    async with World.opened(cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        yield world


async def leading(operator: Operator) -> float:
    """Ask an operator whether it leads."""
    return await operator.reading("leader")


async def test_a_standby_goes_on_when_the_leader_stops_and_when_it_dies(world: World) -> None:
    """Both are ready all the time; resources are watched by one, and runs begin whoever that is."""
    lease = world.scene.namespace
    first = await world.operator("controller", LEASE_NAMESPACE=lease)
    await world.operator("worker")
    second = await world.operator("controller", LEASE_NAMESPACE=lease)
    await world.apply("before")
    await world.scene.completed("before")
    assert (await leading(first), await leading(second)) == (1, 0)
    assert "standby" in await second.needs("resources", ok=True)
    assert "standby" in await second.needs("leader", ok=True)

    assert await first.stop() == 0
    await world.apply("stopped")
    await world.scene.completed("stopped")
    assert await leading(second) == 1

    third = await world.operator("controller", LEASE_NAMESPACE=lease)
    await second.kill()
    await world.apply("died")
    await world.scene.completed("died")

    assert await leading(third) == 1
    assert await world.instances() == {f"{name}:1": "Completed" for name in ("before", "stopped", "died")}

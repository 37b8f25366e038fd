"""`perdure doctor` as people type it, beside a real operator: what is well, what is missing, and that it only looks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from perdure._kube import rights
from tests.cluster.control_plane import AUDITED_NAMESPACE
from tests.cluster.handle import Cluster
from tests.e2e import examined
from tests.e2e.examined import Findings, results
from tests.e2e.limited import Limited
from tests.e2e.operators import FLOWS, World
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ELSEWHERE = "00000000-0000-0000-0000-00000000beef"


class Clinic:
    """A world with an operator that has the rights of its list, and a doctor with the same settings and rights."""

    def __init__(self, world: World, limited: Limited) -> None:
        self.world = world
        self.limited = limited
        self.settings: dict[str, Any] = {
            "DATABASE_URL": world.dsn,
            "MODULES": FLOWS,
            "LEADER_ELECTION": "on",
            "LEASE_NAMESPACE": AUDITED_NAMESPACE,
            "LEASE_NAME": limited.name,
        }

    async def examine(self, *words: str, kubeconfig: Path | None = None, code: int = 0, **settings: str) -> Findings:
        """Give the findings of the command by their check; it must end with this code."""
        chosen = self.settings | settings
        return await examined.examine(kubeconfig or self.limited.kubeconfig, chosen, *words, code=code)

    async def examine_one(self, name: str, code: int = 0) -> list[dict[str, str]]:
        """Give what is found of one resource."""
        about = f"{self.world.scene.namespace}/{name}"
        return (await self.examine(about, code=code))[about]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clinic(
    local_cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Clinic]:
    """Give a world with an operator."""
    folder = tmp_path_factory.mktemp("notes")
    async with World.shared(local_cluster, postgres, folder=folder) as world:
        limited = await Limited.made(local_cluster, folder.parent, runs=[world.scene.namespace])
        clinic = Clinic(world, limited)
        await world.operator(kubeconfig=limited.kubeconfig, NAMESPACES="", **clinic.settings)
        yield clinic
        await limited.remove()


async def test_an_installation_that_works_is_found_well_and_left_as_it_is(clinic: Clinic) -> None:
    """Every check is ok, with no more rights than the operator; and all that was asked for was to read."""
    doctor = await Limited.made(clinic.world.cluster, clinic.limited.kubeconfig.parent, runs=[])

    found = await clinic.examine(kubeconfig=doctor.kubeconfig, LEASE_NAME=clinic.limited.name)

    await doctor.remove()
    assert set(found) == {
        *(
            "settings",
            "modules",
            "database",
            "clock",
            "schema",
            "kubernetes",
            "owner",
            "rights",
            "identity",
            "leader",
            "worker",
        ),
        *("kind Orchestration", "kind OrchestrationSignal", "kind OrchestrationSchedule"),
    }
    assert {result for each in results(found).values() for result in each} == {"ok"}
    assert "this one" in found["owner"][0]["found"]
    control_plane = clinic.world.cluster.control_plane
    assert control_plane is not None
    asked: list[dict[str, Any]] = [json.loads(line) for line in control_plane.audit_log.read_text().splitlines()]
    verbs = {
        (event["verb"], event.get("objectRef", {}).get("resource", ""))
        for event in asked
        if event["user"]["username"] == doctor.user
    }
    assert verbs == {("get", ""), ("get", "namespaces"), ("get", "leases"), ("create", "selfsubjectaccessreviews")}


async def test_a_missing_right_is_named(clinic: Clinic) -> None:
    """Verb, resource and where; Events are only missed."""
    rules = [
        right.rule
        for right in rights.RIGHTS
        if right.where in {"watched", "cluster"} and right.resource not in {"orchestrations/status", "events"}
    ]
    doctor = await Limited.made(clinic.world.cluster, clinic.limited.kubeconfig.parent, runs=[], watched=rules)

    found = await clinic.examine(kubeconfig=doctor.kubeconfig, LEASE_NAME=doctor.name, code=1)

    await doctor.remove()
    assert {(one["result"], one["found"]) for one in found["rights"]} == {
        ("failed", "not allowed: patch orchestrations/status.perdure.dev in the whole cluster"),
        ("warning", "not allowed: create events.events.k8s.io in the whole cluster"),
    }
    assert "nobody holds" in found["leader"][0]["found"]


async def test_an_empty_database_stays_empty(clinic: Clinic, empty_dsn: str) -> None:
    """What is missing is named, with the command that brings it; what needs it is not looked at."""
    for _ in range(2):
        found = await clinic.examine(DATABASE_URL=empty_dsn, code=1)

        assert results(found)["database"] == {"ok"}
        assert "perdure migrate" in found["schema"][0]["found"]
        assert "worker" not in found


async def test_a_database_that_is_away_hides_nothing_of_the_cluster(clinic: Clinic) -> None:
    """It is told, and all else is looked at."""
    found = await clinic.examine(DATABASE_URL="postgresql://perdure:secret@127.0.0.1:1/perdure", code=1)

    assert results(found)["database"] == {"failed"}
    assert results(found)["rights"] == {"ok"}
    assert "secret" not in json.dumps(found)


async def test_an_api_server_that_is_away_hides_nothing_of_the_database(clinic: Clinic, tmp_path: Path) -> None:
    """It is told, and all else is looked at."""
    config = yaml.safe_load(clinic.limited.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    away = tmp_path / "away.kubeconfig"
    away.write_text(json.dumps(config))

    found = await clinic.examine(kubeconfig=away, code=1)

    assert results(found)["kubernetes"] == {"failed"}
    assert results(found)["worker"] == {"ok"}
    assert "rights" not in found


async def test_a_database_of_another_cluster_is_told(clinic: Clinic, dsn: str) -> None:
    """And how it could be taken over; nobody works there."""
    async with World.opened(clinic.world.cluster, dsn=dsn, folder=clinic.world.folder) as other:
        await other.database.execute("insert into installation (cluster_uid) values ($1)", ELSEWHERE)

        found = await clinic.examine(DATABASE_URL=dsn, code=1)

    assert f"PERDURE_ADOPT_CLUSTER={ELSEWHERE}" in found["owner"][0]["todo"]
    assert results(found)["worker"] == {"failed"}


async def test_modules_that_cannot_be_loaded_are_told(clinic: Clinic) -> None:
    """As the worker would at its start."""
    found = await clinic.examine(MODULES="no_such_package", code=1)

    assert "no_such_package" in found["settings"][-1]["found"]


async def test_a_run_says_what_it_waits_for(clinic: Clinic) -> None:
    """A signal is nothing to worry about; code that nobody has, and a ServiceAccount that is not there, are."""
    world = clinic.world
    await world.apply("asks", flow="approve")
    await world.apply("strange", flow="unheard-of")
    await world.apply("nameless", serviceAccountName="nobody")
    await world.scene.shown("asks", "approved")
    await world.scene.shown("strange", "unheard-of")
    await world.scene.shown("nameless", "ServiceAccountMissing")

    (asks,) = await clinic.examine_one("asks")
    (strange,) = await clinic.examine_one("strange", code=1)
    (nameless,) = await clinic.examine_one("nameless", code=1)
    (nobody,) = await clinic.examine_one("nobody", code=1)

    assert (asks["result"], "waits for signal approved" in asks["found"]) == ("ok", True)
    assert "unheard-of" in strange["found"]
    assert "ServiceAccountMissing" in nameless["found"]
    assert nobody["found"] == "there is no such Orchestration"


async def test_a_signal_and_a_schedule_say_how_they_are(clinic: Clinic) -> None:
    """One that waits for its run is well, one whose time zone nobody knows is stuck, and what is not there is told."""
    scene = clinic.world.scene
    spec = {"orchestration": "flows::orchestration::steps"}
    kinds: dict[str, dict[str, Any]] = {
        "OrchestrationSignal": {"orchestrationRef": {"name": "late"}, "signal": "go"},
        "OrchestrationSchedule": {
            "cron": "@daily",
            "timeZone": "Europe/Atlantis",
            "orchestrationTemplate": {"spec": spec},
        },
    }
    for kind, asked in kinds.items():
        manifest = {"apiVersion": "perdure.dev/v1alpha1", "kind": kind, "metadata": {"name": "odd"}, "spec": asked}
        await scene.kubectl("apply", "--filename=-", input=yaml.safe_dump(manifest))
    await scene.kubectl("wait", "orchestrationsignal/odd", "--for=condition=Reconciling", "--timeout=120s")
    await scene.kubectl("wait", "orchestrationschedule/odd", "--for=condition=Stalled", "--timeout=120s")
    signal, schedule, none = (f"{each}/{scene.namespace}" for each in ("signal", "schedule", "schedule"))

    (waits,) = (await clinic.examine(f"{signal}/odd"))[f"{signal}/odd"]
    (stuck,) = (await clinic.examine(f"{schedule}/odd", code=1))[f"{schedule}/odd"]
    (missing,) = (await clinic.examine(f"{none}/even", code=1))[f"{none}/even"]

    assert (waits["result"], "late" in waits["found"]) == ("ok", True)
    assert (stuck["result"], "Atlantis" in stuck["found"]) == ("failed", True)
    assert missing["found"] == "there is no such OrchestrationSchedule"

"""An API server that answers badly, and a definition that is taken away: nothing is lost, doubled or stuck."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perdure._kube.api.orchestration import PLURAL
from tests.cluster.handle import Cluster
from tests.e2e.faulty import Fault, FaultyServer
from tests.e2e.operators import World
from tests.tree import ROOT

pytestmark = pytest.mark.slow


async def test_bad_answers_of_the_api_server_are_waited_out(
    cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """Too many requests, errors and conflicts, on lists, watches and statuses: each run runs once and is shown."""
    notes = tmp_path / "notes"
    notes.mkdir()
    soon = {"Retry-After": "1"}
    faults = [
        Fault("list", PLURAL, 429, 1, soon),
        Fault("list", PLURAL, 500, 1),
        Fault("watch", PLURAL, 429, 1, soon),
        Fault("watch", PLURAL, 500, 1),
        Fault("watch", PLURAL, 410, 1),
        Fault("PATCH", "/status", 429, 1, soon),
        Fault("PATCH", "/status", 500, 2),
        Fault("PATCH", "/status", 409, 2),
    ]
    async with (
        FaultyServer.before(cluster, tmp_path, *faults) as faulty,
        World.opened(cluster, namespace, dsn=dsn, folder=notes) as world,
    ):
        await world.operator(kubeconfig=faulty.kubeconfig)
        await world.apply("one", "two")
        for name in ("one", "two"):
            await world.scene.completed(name)

        assert [fault for fault in faults if fault.given < fault.times] == []
        assert await world.instances() == {"one:1": "Completed", "two:1": "Completed"}
        assert len(world.notes()) == 6


async def test_a_definition_that_is_taken_away_takes_its_runs_along_and_comes_back(
    local_cluster: Cluster, namespace: str, dsn: str, tmp_path: Path
) -> None:
    """The resources are deleted with it, so runs end by their policy; when it is there again, names count on."""
    crd = f"crd/{PLURAL}.perdure.dev"
    async with World.opened(local_cluster, namespace, dsn=dsn, folder=tmp_path) as world:
        operator = await world.operator()
        await world.apply("db", "kept", flow="wait", input=3600, deletionPolicy="Orphan")
        await world.apply("ended", flow="wait", input=3600)
        for name in ("db", "kept", "ended"):
            await world.scene.shown(name, "Running")
        local_cluster.kubectl("delete", crd)
        try:
            await world.in_phase("ended:1", "Cancelled")
            await operator.needs("resources", ok=False)
        finally:
            definitions = ROOT / "crds"
            local_cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={definitions}")
            local_cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", crd)
        await operator.needs("resources", ok=True)
        await world.apply("db")
        await world.scene.completed("db")

        expected = {"db:1": "Running", "db:2": "Completed", "kept:1": "Running", "ended:1": "Cancelled"}
        assert await world.instances() == expected, json.dumps(operator.lines[-5:])

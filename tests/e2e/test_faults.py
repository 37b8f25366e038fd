"""A definition is taken away and comes back: nothing is lost, doubled or stuck."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perdure._kube.api.orchestration import PLURAL
from tests.cluster.handle import Cluster
from tests.e2e.operators import World
from tests.tree import ROOT

pytestmark = pytest.mark.slow


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

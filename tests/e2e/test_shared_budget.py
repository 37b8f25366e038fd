"""What activities of several workers ask the API server for is one budget, counted by the API server itself.

The operators are a ServiceAccount of their own, whose requests stand in the audit log. Counted are requests and tokens,
not seconds: how tokens gather is shown on the database (`tests/store/test_api_budget.py`).
"""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.cluster.handle import Cluster
from tests.e2e.limited import Limited
from tests.e2e.operators import World
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

RUNS_AT_ONCE = 12


def asked_for_runs(cluster: Cluster, user: str) -> int:
    """Count the requests that this user has made as somebody else."""
    assert cluster.control_plane is not None
    events = map(json.loads, cluster.control_plane.audit_log.read_text().splitlines())
    return len(
        {event["auditID"] for event in events if event["user"]["username"] == user and "impersonatedUser" in event}
    )


async def test_every_request_of_every_worker_takes_one_token_of_one_budget(
    local_cluster: Cluster, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two workers, two requests a second: what the API server saw is what the budget gave, to both."""
    folder = tmp_path_factory.mktemp("notes")
    async with World.shared(local_cluster, postgres, folder=folder) as world:
        limited = await Limited.made(local_cluster, folder, runs=[world.scene.namespace])
        account = f"--serviceaccount={world.scene.namespace}:runner"
        await world.scene.kubectl("create", "serviceaccount", "runner")
        await world.scene.kubectl("create", "rolebinding", "runner", "--clusterrole=admin", account)
        operators = [
            await world.operator(
                roles, kubeconfig=limited.kubeconfig, KUBERNETES_REQUESTS_PER_SECOND="2", MAX_INSTANCES="6"
            )
            for roles in ("controller,worker", "worker")
        ]

        runs = 0
        taken = [0.0]
        while min(taken) == 0:  # a worker that is slow to look leaves all of them to the other one
            names = [f"run{number}" for number in range(runs, runs + RUNS_AT_ONCE)]
            runs += RUNS_AT_ONCE
            await world.apply(*names, flow="configure", serviceAccountName="runner")
            await asyncio.gather(*(world.scene.completed(name) for name in names))
            taken = [await operator.reading("kubernetes_budget_taken_total") for operator in operators]
        spent = [await operator.reading("kubernetes_budget_spent_total") for operator in operators]
        given = await world.database.fetchval("select taken from api_budget")
        await limited.remove()

    assert runs <= asked_for_runs(local_cluster, limited.user) == sum(taken) <= given
    assert sum(spent) > 0

"""A worker without Kubernetes: a real process with a Postgres of its own, and no word of where a cluster would be."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.client import Client
from tests.e2e.operator_process import PATIENCE_SECONDS, Operator

pytestmark = pytest.mark.slow

ALONE = {
    "KUBERNETES": "off",
    "ROLES": "worker",
    "MODULES": "tests.e2e.flows.alone",
    "HTTP_PORT": "0",
    "LOG_FORMAT": "json",
}


async def test_a_worker_without_kubernetes_is_ready_and_runs(tmp_path: Path) -> None:
    """It needs a database and its lease; secrets are files, and no activity gets an API server."""
    secret = tmp_path / "secrets" / "mail" / "password"
    secret.parent.mkdir(parents=True)
    secret.write_text("correct horse")
    folders = {"DATA_FOLDER": str(tmp_path), "SECRETS_FOLDER": str(tmp_path / "secrets")}
    operator = await Operator.started(None, ALONE | folders)

    try:
        await operator.said("operator_ready")
        address = next(line["database_url"] for line in operator.lines if line["event"] == "embedded_postgres")
        async with await Client.connect(address) as client:
            reference = {"secretRef": {"name": "mail", "key": "password"}}
            await client.start_orchestration("one", "test::orchestration::alone", reference)
            ended = await client.wait_for_orchestration("one", PATIENCE_SECONDS)
        status, readiness = await operator.ask("/readyz")
        alive, _ = await operator.ask("/livez")
        _, shown = await operator.ask("/api/v1/instances/one")
        turns = await operator.reading("turns_total")
        with pytest.raises(AssertionError, match="no metric"):
            await operator.reading("kubernetes_up")
    finally:
        code = await operator.stop()

    assert ended.output == ["13", "NoIdentityError"]
    assert (status, sorted(readiness["needs"]), alive) == (200, ["database", "worker"], 200)
    assert (shown["phase"], code) == ("Completed", 0)
    assert turns >= 1
    assert not operator.count("loop ended, beginning again")


async def test_a_worker_with_kubernetes_still_wants_to_know_where_it_is(tmp_path: Path) -> None:
    """To have no cluster is something to be said, not something to be found out: by default it ends, and says why."""
    settings = ALONE | {"KUBERNETES": "auto", "DATA_FOLDER": str(tmp_path)}
    operator = await Operator.started(None, settings)

    await operator.process.wait()
    code = await operator.stop()

    assert code == 2
    assert "PERDURE-1508" in operator.log
    assert "PERDURE_KUBERNETES=off" in operator.log

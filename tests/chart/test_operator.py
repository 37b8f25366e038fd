"""The operator with the rights of the chart and no others: it runs what is applied, and acts where it was allowed to.

The process runs beside the control plane, with a token of the ServiceAccount that the release made, and the variables
that the Deployment gives it; only the database and the port are others.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
import yaml

from perdure._kube.client import Api
from tests.chart.generated import CHART
from tests.chart.rendering import NAMESPACE, Manifest, Renderer, found
from tests.chart.running import kubeconfig_as, settings
from tests.cluster.handle import Cluster
from tests.e2e import examined
from tests.e2e.operator_process import Operator
from tests.e2e.scene import Scene
from tests.postgres_plugin import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


Given = tuple[Path, dict[str, str]]
"""A kubeconfig and settings."""


@pytest.fixture(scope="module")
def given(
    installed: Cluster, chart: Renderer, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Given]:
    """Give what a pod of the release would have."""
    kubeconfig = kubeconfig_as(installed, "perdure", tmp_path_factory.mktemp("operator"))
    with postgres.database("template0") as dsn:
        yield kubeconfig, {**settings(chart.render()), "DATABASE_URL": dsn, "LEASE_NAMESPACE": NAMESPACE}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(given: Given) -> AsyncIterator[Operator]:
    """Run the operator as the release would."""
    operator = await Operator.started(*given)
    try:
        await operator.said("operator_ready")
        yield operator
    finally:
        await operator.stop()


async def test_the_doctor_finds_nothing_missing(given: Given, operator: Operator) -> None:
    """Typed in a pod of the release: every right is there, definitions and schema fit, somebody leads and works."""
    await operator.said("operator_ready")

    found = await examined.examine(*given)

    assert {result for each in examined.results(found).values() for result in each} == {"ok"}
    assert {"rights", "leader", "worker", "kind Orchestration"} <= set(found)


@pytest_asyncio.fixture(loop_scope="module", params=["team-a", "team-b"])
async def scene(installed: Cluster, operator: Operator, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """Give a namespace whose ServiceAccount `runner` may write ConfigMaps; only in team-a may runs act as it."""
    api = await Api.connect(str(installed.kubeconfig))
    scene = Scene(installed, request.param, api=api, log=lambda: operator.log)
    await scene.kubectl("create", "serviceaccount", "runner")
    await scene.kubectl("create", "role", "runner", "--verb=get,create,patch,list,watch", "--resource=configmaps")
    await scene.kubectl(
        "create", "rolebinding", "runner", "--role=runner", f"--serviceaccount={scene.namespace}:runner"
    )
    yield scene
    await scene.kubectl("delete", "serviceaccount/runner", "role/runner", "rolebinding/runner", "orchestration/paint")
    await api.close()


async def test_a_run_acts_where_the_values_allow_it(scene: Scene) -> None:
    """In a namespace of `impersonation.namespaces` a run does what its ServiceAccount may; elsewhere it is told."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"sky": "blue"}}
    spec = {
        "orchestration": "workflows::orchestration::apply-manifests",
        "serviceAccountName": "runner",
        "input": {"manifests": [config]},
    }
    run = {"apiVersion": "perdure.dev/v1alpha1", "kind": "Orchestration", "metadata": {"name": "paint"}, "spec": spec}

    await scene.kubectl("apply", "--server-side", "--filename=-", input=json.dumps(run))

    if scene.namespace == "team-a":
        await scene.completed("paint")
        assert (await scene.read("configmap", "colours"))["data"] == {"sky": "blue"}
    else:
        await scene.shown("paint", "verbs [impersonate], resources [serviceaccounts]")


async def test_every_metric_of_alerts_and_dashboard_is_there(operator: Operator) -> None:
    """None of them asks for a name that nobody gives any more."""
    texts = [(CHART / "files" / name).read_text() for name in ("alerts.yaml", "dashboard.json")]
    asked = set(re.findall(r"perdure_\w+(?=\{)", "".join(texts)))

    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{operator.port}/metrics") as answer:
        kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)", await answer.text(), re.MULTILINE))
    given = {f"{name}_bucket" if kind == "histogram" else name for name, kind in kinds.items()}

    assert asked
    assert asked <= given


@pytest_asyncio.fixture(loop_scope="module")
async def check(installed: Cluster, chart: Renderer, operator: Operator, tmp_path: Path) -> AsyncIterator[list[str]]:
    """Give what the pod of `helm test` runs, with its ServiceAccount, files and variables."""
    hooks = [one for one in chart.render() if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    objects = [one for one in hooks if one["kind"] != "Job"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    await asyncio.to_thread(installed.kubectl, "create", "--filename=-", input=text)
    for name, content in found(hooks, "ConfigMap", "perdure-test")["data"].items():
        (tmp_path / name).write_text(content)
    kubeconfig = yaml.safe_load(kubeconfig_as(installed, "perdure-test", tmp_path).read_text())
    (tmp_path / "token").write_text(kubeconfig["users"][0]["user"]["token"])
    (tmp_path / "ca.crt").write_bytes(authority(kubeconfig))
    [container] = found(hooks, "Job", "perdure-test")["spec"]["template"]["spec"]["containers"]
    yield [word.replace("/etc/perdure/test", str(tmp_path)) for word in container["command"][1:]]
    await asyncio.to_thread(installed.kubectl, "delete", "--filename=-", input=text)


def authority(kubeconfig: Manifest) -> bytes:
    """Give the certificate that the API server is believed by."""
    return base64.b64decode(kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"])


async def test_helm_test_sees_a_run_complete(installed: Cluster, check: list[str], tmp_path: Path) -> None:
    """The script of its pod, with no more rights than its Role, creates a run, sees it complete and removes it."""
    server = urlsplit(yaml.safe_load(installed.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    where = {"KUBERNETES_SERVICE_HOST": str(server.hostname), "KUBERNETES_SERVICE_PORT": str(server.port)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", *check),
        env={**os.environ, **where, "TOKEN_FOLDER": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()
    assert 'completed with {"greeting": "Hello, helm test!"}' in said.decode()
    listed = installed.kubectl("get", "orchestrations", f"--namespace={NAMESPACE}", "--output=name")
    assert "perdure-test" not in listed


async def test_the_lease_is_that_of_the_release(installed: Cluster, operator: Operator) -> None:
    """Two releases in one namespace are two installations: neither waits for the other."""
    assert await operator.needs("database", ok=True) == ""

    leases = installed.kubectl("get", "leases", f"--namespace={NAMESPACE}", "--output=name")

    assert leases.split() == ["lease.coordination.k8s.io/perdure"]

"""Releases that may do little: in some namespaces only, or on behalf of others only what was said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from perdure._kube.client import Api
from tests.chart.generated import CHART
from tests.chart.rendering import Renderer, Values
from tests.chart.running import kubeconfig_as, settings
from tests.cluster.errors import CommandFailedError
from tests.cluster.handle import Cluster
from tests.e2e.operator_process import Operator
from tests.e2e.scene import Scene

pytestmark = pytest.mark.slow

NAMESPACE = "narrow-system"
VERBS = ["get", "list", "watch", "create", "patch"]
VALUES: Values = {
    "crds": {"install": False},
    "watchNamespaces": ["team-b"],
    "impersonation": {
        "namespaces": ["team-b"],
        "serviceAccountNames": ["runner"],
        "constrained": {
            "enabled": True,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": VERBS}],
        },
    },
}


@pytest.fixture(scope="module")
def narrow(installed: Cluster) -> Iterator[Cluster]:
    """Give the cluster with a second release, in a namespace of its own."""
    where = ("narrow", f"--namespace={NAMESPACE}")
    installed.helm("install", *where, CHART, "--create-namespace", "--values=-", input=json.dumps(VALUES))
    rights = ("--verb=get,list,watch,create,patch,delete", "--resource=configmaps")
    for name in ("runner", "other"):
        installed.kubectl("create", "serviceaccount", name, "--namespace=team-b")
        installed.kubectl("create", "role", name, *rights, "--namespace=team-b")
        account = f"--serviceaccount=team-b:{name}"
        installed.kubectl("create", "rolebinding", name, f"--role={name}", account, "--namespace=team-b")
    yield installed
    for name in ("runner", "other"):
        objects = [f"{kind}/{name}" for kind in ("serviceaccount", "role", "rolebinding")]
        installed.kubectl("delete", *objects, "--namespace=team-b")
    installed.helm("uninstall", *where, "--wait", "--timeout=60s")


@pytest_asyncio.fixture
async def scene(narrow: Cluster, chart: Renderer, dsn: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """Give the namespace team-b, looked after by an operator with the rights of that release."""
    kubeconfig = kubeconfig_as(narrow, "narrow-perdure", tmp_path, namespace=NAMESPACE)
    given = settings(chart.render(VALUES, name="narrow", namespace=NAMESPACE), "narrow-perdure")
    operator = await Operator.started(kubeconfig, {**given, "DATABASE_URL": dsn})
    api = await Api.connect(str(narrow.kubeconfig))
    try:
        await operator.said("operator_ready")
        yield Scene(narrow, "team-b", api=api, log=lambda: operator.log)
    finally:
        await operator.stop()
        await api.close()


async def test_rights_in_one_namespace_are_enough_for_it(scene: Scene) -> None:
    """Without a right in any other, the operator watches, runs and shows what is applied there, and acts."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"sky": "blue"}}
    run = {"apiVersion": "perdure.dev/v1alpha1", "kind": "Orchestration", "metadata": {"name": "paint"}}
    what = {"orchestration": "workflows::orchestration::apply-manifests", "input": {"manifests": [config]}}

    await scene.kubectl(
        "create", "--filename=-", input=json.dumps({**run, "spec": {**what, "serviceAccountName": "runner"}})
    )

    await scene.completed("paint")
    assert (await scene.read("configmap", "colours"))["data"] == {"sky": "blue"}
    await scene.kubectl("delete", "orchestration/paint", "configmap/colours")


@pytest.mark.parametrize(
    ("account", "action", "said"),
    [
        ("runner", ("create", "configmap", "made"), "created"),
        ("runner", ("delete", "configmap", "made"), "Forbidden"),
        ("other", ("get", "configmap", "made"), "Forbidden"),
    ],
    ids=["what was said", "what the account may, but was not said", "another account"],
)
def test_impersonation_can_be_constrained_to_what_was_said(
    narrow: Cluster, tmp_path: Path, account: str, action: tuple[str, ...], said: str
) -> None:
    """As an account of the values, and of its rights those of the rules, on a server that knows the constraint."""
    kubeconfig = kubeconfig_as(narrow, "narrow-perdure", tmp_path, namespace=NAMESPACE)
    mine = Cluster(kubeconfig, "local", narrow.kubectl_program, narrow.helm_program)
    command = (*action, "--namespace=team-b", f"--as=system:serviceaccount:team-b:{account}")

    try:
        answer = mine.kubectl(*command)
    except CommandFailedError as error:
        answer = str(error)

    assert said in answer

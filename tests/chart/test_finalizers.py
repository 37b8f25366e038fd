"""The Job that takes our finalizers off when the release goes: its command, with the rights of its ServiceAccount."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure._kube.api.orchestration import FINALIZER
from tests.chart.rendering import Manifest, Renderer, Values, found
from tests.chart.running import kubeconfig_as
from tests.cluster.handle import Cluster

pytestmark = pytest.mark.slow

OTHERS = "example.com/keep"


@pytest.fixture
def held(installed: Cluster) -> Iterator[Cluster]:
    """Give the cluster with an Orchestration that we and somebody else hold."""
    metadata = {"name": "held", "namespace": "team-b", "finalizers": [FINALIZER, OTHERS]}
    spec = {"orchestration": "workflows::orchestration::greet", "input": {}}
    run = {"apiVersion": "perdure.dev/v1alpha1", "kind": "Orchestration", "metadata": metadata, "spec": spec}
    installed.kubectl("create", "--filename=-", input=json.dumps(run))
    yield installed
    patch = json.dumps({"metadata": {"finalizers": None}})
    installed.kubectl("patch", "orchestration", "held", "--namespace=team-b", "--type=merge", f"--patch={patch}")
    installed.kubectl("delete", "orchestration", "held", "--namespace=team-b")


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team-b"]}], ids=["everywhere", "in one namespace"])
def test_our_finalizers_are_released_and_no_others(
    held: Cluster, chart: Renderer, values: Values, tmp_path: Path
) -> None:
    """Afterwards a deletion waits for nobody of ours."""
    hooks = [one for one in chart.render(values) if is_hook(one)]
    rights = json.dumps({"apiVersion": "v1", "kind": "List", "items": [one for one in hooks if one["kind"] != "Job"]})
    [container] = found(hooks, "Job", "perdure-finalizers-0")["spec"]["template"]["spec"]["containers"]
    held.kubectl("create", "--filename=-", input=rights)
    kubeconfig = kubeconfig_as(held, "perdure-release-finalizers", tmp_path)

    subprocess.run(
        [sys.executable, "-m", *container["command"]],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        check=True,
    )

    held.kubectl("delete", "--filename=-", input=rights)
    shown = held.kubectl("get", "orchestration", "held", "--namespace=team-b", "--output=json")
    assert json.loads(shown)["metadata"]["finalizers"] == [OTHERS]


def is_hook(manifest: Manifest) -> bool:
    """Tell whether an object is there only at the end of the release."""
    return bool(manifest["metadata"].get("annotations", {}).get("helm.sh/hook") == "post-delete")

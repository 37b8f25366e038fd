"""Everything that is rendered, and every manifest of the docs, held against schemas by kubeconform.

The schemas are those of the API server and of the definitions themselves, so nothing is asked of the network. The
server says more of what it knows (`test_admission`); here the kinds of the Prometheus operator are looked at, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import MATRIX, Manifest, Renderer, Values, found
from tests.chart.schemas import LOCATION, write
from tests.cluster import commands, finding
from tests.cluster.handle import CRDS, Cluster
from tests.cluster.toolchain import PROMETHEUS_DEFINITIONS
from tests.tree import ROOT, none_of

pytestmark = pytest.mark.slow

OF_OTHERS = "kustomize.toolkit.fluxcd.io/v1/Kustomization"
"""What the docs show of others, whose definitions are not at hand: not looked at."""
MONITORING = ("podmonitors", "prometheusrules", "servicemonitors")
MONITORS: Values = {"monitoring": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}}


@dataclass(frozen=True)
class Kubeconform:
    """Holds manifests against the schemas in a folder."""

    program: Path
    schemas: Path

    def complaints(self, manifests: list[Manifest]) -> list[str]:
        """Say what is wrong with each; a kind without a schema is wrong as well."""
        options = ("-strict", "-output=json", f"-schema-location={self.schemas / LOCATION}", f"-skip={OF_OTHERS}")
        text = "".join(f"---\n{json.dumps(one)}\n" for one in manifests)
        said = json.loads(commands.run(self.program, *options, "-summary", "-", input=text, check=False))
        assert sum(said["summary"].values()) == len(manifests)
        return [f"{one['kind']}/{one['name']}: {one['msg']}" for one in said["resources"]]


@pytest.fixture(scope="module")
def kubeconform(finder: finding.Finder, bare: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Kubeconform:
    """Give kubeconform, with schemas of this API server, of our resources and of the Prometheus operator's."""
    folder = tmp_path_factory.mktemp("schemas")
    theirs = finder.toolchain.sources(PROMETHEUS_DEFINITIONS, finder.progress)
    texts = [*CRDS.glob("*.yaml"), *(theirs / f"monitoring.coreos.com_{name}.yaml" for name in MONITORING)]
    crds = [yaml.load(path.read_text(), Loader=yaml.CSafeLoader) for path in texts]
    write(folder, json.loads(bare.kubectl("get", "--raw", "/openapi/v2")), crds)
    return Kubeconform(finder.program("kubeconform"), folder)


@pytest.mark.parametrize("values", [*MATRIX.values(), MONITORS], ids=[*MATRIX, "service monitor"])
def test_every_object_fits_its_schema(kubeconform: Kubeconform, chart: Renderer, values: Values) -> None:
    """No field that its kind does not have, none of a wrong type, none missing."""
    none_of(kubeconform.complaints(chart.render(values)))


def test_every_manifest_of_the_docs_fits_its_schema(kubeconform: Kubeconform) -> None:
    """What people copy is what the API server takes."""
    shown = list(manifests_of_docs())

    assert {"Orchestration", "OrchestrationSignal", "OrchestrationSchedule", "Role"} <= {one["kind"] for one in shown}
    none_of(kubeconform.complaints(shown))


def manifests_of_docs() -> Iterator[Manifest]:
    """Yield the whole manifests of pages and examples."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    texts = [path.read_text() for path in (ROOT / "docs").rglob("*.yaml")]
    for page in pages:
        texts += re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    for text in texts:
        for one in yaml.load_all(text, Loader=yaml.CSafeLoader):
            if isinstance(one, dict) and {"apiVersion", "kind", "metadata"} <= one.keys():
                yield one


@pytest.mark.parametrize(
    ("kind", "break_it"),
    [
        ("Deployment", lambda spec: spec["template"]["spec"]["containers"][0].update(imagePolicy="Always")),
        ("Deployment", lambda spec: spec.update(replicas="two")),
        ("PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].update(after="5m")),
        ("PodMonitor", lambda spec: spec.pop("selector")),
    ],
    ids=["unknown field", "wrong type", "unknown field of a custom resource", "missing field"],
)
def test_what_does_not_fit_is_found(kubeconform: Kubeconform, chart: Renderer, kind: str, break_it: Any) -> None:
    """The schemas are closed: with one word wrong, that object is complained of."""
    values = {"monitoring": {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}}
    broken = json.loads(json.dumps(found(chart.render(values), kind)))

    assert kubeconform.complaints([broken]) == []
    break_it(broken["spec"])
    assert len(kubeconform.complaints([broken])) == 1

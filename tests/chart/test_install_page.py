"""The page about installing is true: its values are values, and its table of rights is that of the chart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.chart.generated import CHART
from tests.chart.rendering import Renderer, found
from tests.tree import none_of, text

pytestmark = pytest.mark.slow

PAGE = text(Path("docs/install.md"))
WITH_VALUES = PAGE + text(Path("docs/your-own-image.md"))
VALUES = re.findall(r"^```yaml\n# values of the chart\n(.*?)^```$", WITH_VALUES, re.MULTILINE | re.DOTALL)
NAMED = set(re.findall(r"`([a-z]\w+(?:\.(?!yaml|k8s)[A-Za-z]\w*)+)(?:=\w+)?`", PAGE))


@pytest.mark.parametrize("values", VALUES, ids=lambda values: values.partition("\n")[0])
def test_shown_values_make_a_difference(chart: Renderer, values: str) -> None:
    """Each block of values stands for itself: the chart takes it, and installs something else than without it."""
    assert chart.render(yaml.safe_load(values)) != chart.render()


def test_every_block_of_values_is_rendered() -> None:
    """A block of YAML is a resource, or values that the test above renders: none goes by another headline."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", WITH_VALUES, re.MULTILINE | re.DOTALL)

    assert [block for block in blocks if "apiVersion" not in yaml.safe_load(block)] == [
        f"# values of the chart\n{values}" for values in VALUES
    ]


def test_values_in_the_text_exist() -> None:
    """A value that a sentence names is one; what begins like one is taken for one."""
    known = text(Path("docs/values.md"))
    groups = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    quoted = {name.partition("=")[0] for name in re.findall(r"`(\w+\.[\w.=]+)`", PAGE)}

    assert {name for name in quoted if name.partition(".")[0] in groups and not name.endswith(".yaml")} <= NAMED
    none_of(name for name in sorted(NAMED) if f"`{name}`" not in known and f"`{name}." not in known)


def test_the_table_of_rights_is_what_the_chart_grants(chart: Renderer) -> None:
    """Resource by resource, verb by verb; what stands in no row is not granted."""
    manifests = chart.render()
    granted = {
        (resource, verb)
        for one in (
            found(manifests, "ClusterRole", "perdure-system:perdure"),
            found(manifests, "ClusterRole", "perdure-system:perdure-identity"),
            found(manifests, "Role", "perdure-leader"),
        )
        for rule in one["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    rows = PAGE.partition("| resource | verbs |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    shown = {(resource, verb) for row in rows for resource in _resources(row) for verb in _verbs(row)}

    assert shown == granted


OURS = ("orchestrations", "orchestrationsignals", "orchestrationschedules")


def _resources(row: str) -> list[str]:
    cell = row.split("|")[1]
    names = [name for name in re.findall(r"`([a-z]+)`", cell) if name not in {"kube", "status"}]
    if "their `status`" in cell:
        return [f"{name}/status" for name in OURS]
    return ["namespaces"] if "kube-system" in cell else names


def _verbs(row: str) -> list[str]:
    return [verb.strip() for verb in row.split("|")[2].split(",")]

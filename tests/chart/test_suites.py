"""What the chart decides, template by template: the suites of `charts/perdure/tests`, which helm-unittest runs.

They stand beside the templates, for who reads the chart. What holds for every object of every variant, and what needs
more than the chart to be known (the operator's settings and rights, an API server), is in the modules around this one.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.chart.generated import CHART
from tests.chart.rendering import Renderer
from tests.cluster import commands, finding
from tests.tree import none_of

pytestmark = pytest.mark.slow

SUITES = sorted(path.name for path in (CHART / "tests").glob("*_test.yaml"))


@pytest.fixture(scope="module")
def unittest(finder: finding.Finder) -> Path:
    """Give helm-unittest."""
    return finder.program("helm-unittest")


@pytest.mark.parametrize("suite", SUITES)
def test_the_templates_decide_as_their_suite_says(unittest: Path, suite: str) -> None:
    """Each of its sentences is true."""
    said = commands.run(unittest, "--strict", "--file", f"tests/{suite}", CHART)

    assert "Test Suites: 1 passed, 1 total" in said


def test_suites_are_of_the_tree_and_not_of_the_package(chart: Renderer, tmp_path: Path) -> None:
    """Who installs the chart gets no tests along."""
    commands.run(chart.program, "package", CHART, "--destination", tmp_path)

    [package] = tmp_path.iterdir()
    with tarfile.open(package) as archive:
        names = archive.getnames()
    assert "perdure/templates/operator.yaml" in names
    none_of(name for name in names if name.startswith("perdure/tests/"))

"""The page for authors tells the truth: its package runs, and what it quotes stands in the code.

Every block of code of the page is one of the two: a file of the package `nightshift`, which is written to a folder,
loaded and run here, or a quotation under a comment that names its file. A block that is neither fails.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, cast

import pytest

from perdure import ActivityContext, JsonValue, KubernetesApi, Manifest, OrchestrationDefinition, errors
from perdure._core import payload
from perdure.testing import Simulation, activity_context, simulate

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "writing-workflows.md"
BLOCK = re.compile(r"(?:<!-- quoted from (?P<source>\S+) -->\n)?^```\w*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (nightshift/\w+\.py)\n")


class Block(NamedTuple):
    """A block of code of the page: which file it quotes, if any, and what it says."""

    source: str | None
    code: str


def blocks() -> list[Block]:
    """Give the blocks of the page, in order."""
    return [Block(found["source"], found["code"]) for found in BLOCK.finditer(PAGE.read_text())]


def quotations() -> list[Block]:
    """Give the blocks that quote a file."""
    return [block for block in blocks() if block.source]


def write_package(folder: Path) -> None:
    """Write the package of the page to a folder."""
    package = folder / "nightshift"
    package.mkdir()
    (package / "__init__.py").touch()
    for block in blocks():
        if named := FILE.match(block.code):
            (folder / named[1]).write_text(block.code)


@pytest.fixture
def nightshift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Write the package of the page to a folder and give its registry."""
    monkeypatch.syspath_prepend(tmp_path)
    write_package(tmp_path)
    yield importlib.import_module("nightshift.registry")
    for name in [name for name in sys.modules if name.partition(".")[0] == "nightshift"]:
        del sys.modules[name]


def test_every_block_is_quoted_or_run() -> None:
    """There is no code on the page that nobody checks."""
    assert len(blocks()) == PAGE.read_text().count("\n```") / 2
    assert [block.code for block in blocks() if not block.source and not FILE.match(block.code)] == []


@pytest.mark.parametrize("block", quotations(), ids=lambda block: block.source)
def test_a_quotation_stands_in_its_file(block: Block) -> None:
    """What the page quotes is what runs, to the letter."""
    assert block.source
    assert block.code in (ROOT / block.source).read_text()


def test_the_package_of_the_page_is_offered_by_its_registry(nightshift: ModuleType) -> None:
    """A worker that loads the package finds one orchestration and two activities."""
    assert nightshift.create_orchestration_registry().names() == ["nightshift::orchestration::rest"]
    assert nightshift.create_activity_registry().names() == [
        "nightshift::activity::read-replicas",
        "nightshift::activity::scale",
    ]


class Deployments:
    """Stands for the Deployments of a namespace: how many replicas each has, and what was asked for in order."""

    def __init__(self, **replicas: int) -> None:
        """Begin with these."""
        self.replicas = replicas
        self.scaled: list[tuple[str, int]] = []

    def read(self, _: ActivityContext, name: str) -> JsonValue:
        """Do as `read-replicas` does."""
        return {"deployment": name, "replicas": self.replicas[name]}

    def scale(self, _: ActivityContext, wanted: dict[str, JsonValue]) -> None:
        """Do as `scale` does."""
        deployment, replicas = str(wanted["deployment"]), int(str(wanted["replicas"]))
        self.scaled.append((deployment, replicas))
        self.replicas[deployment] = replicas

    @property
    def activities(self) -> dict[str, object]:
        """Stand for the activities of the page."""
        return {"nightshift::activity::read-replicas": self.read, "nightshift::activity::scale": self.scale}


def started(definition: object) -> OrchestrationDefinition[object, object]:
    """Take a definition that was loaded from a page for one that takes JSON."""
    return cast("OrchestrationDefinition[object, object]", definition)


def test_the_workflow_of_the_page_rests_and_wakes(nightshift: ModuleType) -> None:
    """Everything goes to zero, the night passes, and everything is as it was."""
    shop = Deployments(web=3, api=2)
    [rest] = nightshift.create_orchestration_registry()

    run = simulate(started(rest), {"deployments": ["web", "api"]}, activities=shop.activities)

    assert (run.output, run.elapsed) == (5, 8 * 3_600)
    assert shop.scaled == [("web", 0), ("api", 0), ("web", 3), ("api", 2)]


def test_the_workflow_of_the_page_wakes_what_it_put_to_rest_when_it_is_cancelled(nightshift: ModuleType) -> None:
    """The `finally` of the page is kept in the middle of the night."""
    shop = Deployments(web=3)
    [rest] = nightshift.create_orchestration_registry()

    with Simulation(activities=shop.activities) as simulation:
        run = simulation.start(started(rest), {"deployments": ["web"]})
        simulation.advance(3_600)
        run.cancel("somebody works late")

    assert run.phase == "Cancelled"
    assert shop.scaled == [("web", 0), ("web", 3)]


def test_the_input_of_the_page_is_checked_as_the_page_says(nightshift: ModuleType) -> None:
    """A misspelled field fails with its path."""
    [rest] = nightshift.create_orchestration_registry()

    with pytest.raises(errors.InputInvalidError, match="hour: Extra inputs are not permitted"):
        payload.decoder(rest.signature.input_type)(b'{"deployments": ["web"], "hour": 6}')


async def test_an_activity_of_the_page_ends_at_once_where_there_is_nothing_to_do(nightshift: ModuleType) -> None:
    """`NonRetryableError` is for what does not pass by itself."""

    class Kubernetes:
        namespace = "shop"

        async def get(self, *_: str) -> Manifest | None:
            return None

    read_replicas, _ = nightshift.create_activity_registry()

    with pytest.raises(errors.NonRetryableError, match="no Deployment web in namespace shop"):
        await read_replicas(activity_context(kubernetes=cast("KubernetesApi", Kubernetes())), "web")

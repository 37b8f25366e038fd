"""The pages about testing, determinism and versions tell the truth: what they show is run.

The Python of a page is one module, block after block. Its tests are run here; of its orchestrations those that end in
`_wrong` must be caught, those that end in `_right` must complete.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from perdure import ActivityDefinition, OrchestrationDefinition, errors
from perdure.testing import simulate
from tests.unit import test_docs

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "testing.md",
    "determinism.md",
    "versions.md",
    "signals.md",
    "children.md",
    "continue-as-new.md",
    "cancellation.md",
    "timers-and-races.md",
    "errors-and-retries.md",
    "status.md",
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code(page: str) -> str:
    """Give the Python of a page, block after block."""
    return "\n\n".join(BLOCK.findall((DOCS / page).read_text("utf-8")))


def names(ending: str = "", beginning: str = "") -> list[tuple[str, str]]:
    """Name the functions of all pages that begin or end so, each with its page."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    found = [(page, node.name) for page in PAGES for node in ast.parse(code(page)).body if isinstance(node, kinds)]
    return [(page, name) for page, name in found if name.startswith(beginning) and name.endswith(ending)]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Write pages as modules and load them, beside the package of the page for authors."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    test_docs.write_package(tmp_path)

    def load(page: str) -> ModuleType:
        name = f"page_of_{Path(page).stem}"
        file = tmp_path / f"{name}.py"
        file.write_text(code(page))
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in [name for name in sys.modules if name.startswith(("page_of_", "nightshift"))]:
        del sys.modules[name]


@pytest.mark.parametrize(("page", "name"), names(beginning="test_"), ids=str)
def test_the_tests_of_the_pages_pass(load: Callable[[str], ModuleType], page: str, name: str) -> None:
    """What an author copies from a page works."""
    function = getattr(load(page), name)
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]

    for arguments in [{mark.args[0]: value} for mark in marks for value in mark.args[1]] if marks else [{}]:
        result = function(**arguments)
        if inspect.iscoroutine(result):
            asyncio.run(result)


def came_to(module: ModuleType, name: str) -> str:
    """Simulate an orchestration of a page, with the activities of the page; say what it came to."""
    definition = cast("OrchestrationDefinition[object, object]", getattr(module, name))
    activities = [one for one in vars(module).values() if isinstance(one, ActivityDefinition)]
    try:
        run = simulate(definition, activities=activities)
    except errors.NondeterminismError as error:
        return error.code
    return run.error.code if run.error else run.phase


@pytest.mark.parametrize(("page", "name"), names(ending="_wrong"), ids=str)
def test_what_a_page_calls_wrong_is_caught(load: Callable[[str], ModuleType], page: str, name: str) -> None:
    """By the replay after every turn, or at the await."""
    assert came_to(load(page), name) in {errors.NondeterminismError.code, errors.ForeignAwaitError.code}


@pytest.mark.parametrize(("page", "name"), names(ending="_right") + names(ending="_unseen"), ids=str)
def test_what_a_page_calls_right_completes(load: Callable[[str], ModuleType], page: str, name: str) -> None:
    """And what it says nobody sees in one process, nobody sees."""
    assert came_to(load(page), name) == "Completed"


def test_every_orchestration_of_the_rules_says_whether_it_is_right() -> None:
    """There is no example of a rule that is not run."""
    shown = re.findall(r"^@orchestration\(.*\)\nasync def (\w+)", code("determinism.md"), re.MULTILINE)

    assert len(shown) > 10
    assert [name for name in shown if not name.endswith(("_wrong", "_right", "_unseen"))] == []

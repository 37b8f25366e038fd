"""Packages of `PERDURE_MODULES` are loaded by name, and whatever is wrong with one is said with its name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from perdure import errors
from perdure._engine import modules


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, and forget what was imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def package(folder: Path, name: str, registry: str | None) -> str:
    """Write a package with this registry, under a name that no other test has used; give the name."""
    unique = f"{name}_{folder.name.replace('-', '_')}"
    (folder / unique).mkdir()
    (folder / unique / "__init__.py").write_text('"""A package."""\n')
    if registry is not None:
        (folder / unique / "registry.py").write_text(registry)
    return unique


ORCHESTRATIONS = """
from perdure import OrchestrationRegistry, orchestration
@orchestration("greet")
async def greet(ctx): ...
def create_orchestration_registry():
    return OrchestrationRegistry.of(greet)
"""
ACTIVITIES = """
from perdure import ActivityRegistry, activity
@activity("note")
def note(ctx): ...
def create_activity_registry():
    return ActivityRegistry.of(note)
"""


def test_what_all_packages_offer_is_one_offer(folder: Path) -> None:
    """Orchestrations of one and activities of another are found in the working directory."""
    names = [package(folder, "flows", ORCHESTRATIONS), package(folder, "tasks", ACTIVITIES)]

    orchestrations, activities = modules.load(names)

    assert (orchestrations.names(), activities.names()) == (["greet"], ["note"])


@pytest.mark.parametrize("given", ["None", "5"])
def test_a_function_that_gives_no_registry_is_named(folder: Path, given: str) -> None:
    """A forgotten `return` is said at start-up, with what was expected."""
    name = package(folder, "forgetful", ORCHESTRATIONS.replace("OrchestrationRegistry.of(greet)", given))

    with pytest.raises(
        errors.ModuleLoadError, match=r"create_orchestration_registry\(\) of forgetful.* expected .*Registry\.of\("
    ):
        modules.load([name])


def test_a_missing_package_is_named() -> None:
    """A typing error in the list says where was looked."""
    with pytest.raises(errors.ModuleLoadError, match="names nowhere_at_all, but there is no such package in"):
        modules.load(["nowhere_at_all"])


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        (None, "has no registry.py"),
        ("", "offers neither create_orchestration_registry"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def create_activity_registry(): raise OSError('no disk')", "OSError: no disk"),
        ("def", "SyntaxError"),
    ],
)
def test_a_broken_package_says_what_is_wrong(folder: Path, registry: str | None, said: str) -> None:
    """The name of the package, the error, and where it is."""
    name = package(folder, "broken", registry)

    with pytest.raises(errors.ModuleLoadError) as caught:
        modules.load([name])

    assert name in caught.value.message
    assert said in caught.value.message


def test_two_packages_with_the_same_orchestration_are_refused(folder: Path) -> None:
    """Which of the two would run is not left to chance."""
    names = [package(folder, "one", ORCHESTRATIONS), package(folder, "two", ORCHESTRATIONS)]

    with pytest.raises(errors.ModuleLoadError, match=r"greet 1\.0\.0 is registered twice"):
        modules.load(names)

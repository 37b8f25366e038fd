"""What the two packages offer: the right names, every file, nothing by accident.

The naming rule of the house is `{package}::{type}::{name}`, with words joined by hyphens.
"""

from __future__ import annotations

import inspect
import re
from types import ModuleType

import pytest

from activities import names as activity_names
from activities.registry import create_activity_registry
from workflows import names as workflow_names
from workflows.registry import create_orchestration_registry

OFFERED = [
    (activity_names, "activities::activity::", create_activity_registry().names()),
    (workflow_names, "workflows::orchestration::", create_orchestration_registry().names()),
]


def constants(module: ModuleType) -> dict[str, str]:
    """Give the constants of a module of names."""
    return {name: value for name, value in inspect.getmembers(module) if name.isupper()}


@pytest.mark.parametrize(("module", "prefix", "offered"), OFFERED)
def test_names_follow_the_rule(module: ModuleType, prefix: str, offered: list[str]) -> None:
    """A name says its package, what it is, and what it does; its constant is the same word."""
    for constant, name in constants(module).items():
        assert re.fullmatch(rf"{prefix}[a-z]+(-[a-z]+)*", name)
        assert name.removeprefix(prefix) == constant.lower().replace("_", "-")


@pytest.mark.parametrize(("module", "prefix", "offered"), OFFERED)
def test_every_name_is_offered_and_no_other(module: ModuleType, prefix: str, offered: list[str]) -> None:
    """The registry and the list of names agree."""
    assert offered == sorted(constants(module).values())


def test_every_function_says_its_types() -> None:
    """Inputs and outputs are annotated, so that a wrong one is refused at the door."""
    for definition in [*create_activity_registry(), *create_orchestration_registry()]:
        assert definition.signature.takes_input, definition.name
        assert definition.signature.is_async, definition.name
        assert object not in {definition.signature.input_type, definition.signature.output_type}, definition.name

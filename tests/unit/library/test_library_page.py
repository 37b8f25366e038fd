"""The page of the library says what is offered: every activity, from where, with its types and its rights."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from activities import types
from activities.registry import create_activity_registry
from perdure._core.definition import AnyActivity
from tests.tree import text

PAGE = Path("docs/library.md")
ROW = re.compile(r"^\| `([a-z-]+)` \| `([\w.]+)` \| `(\w+)` \| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def row_of(activity: AnyActivity) -> tuple[str, str, str, str]:
    """Give what a row begins with: name, import, input and output."""
    function = activity.function
    return (
        activity.name.rpartition("::")[2],
        f"{function.__module__}.{getattr(function, '__name__', '')}",
        getattr(activity.signature.input_type, "__name__", ""),
        _name(activity.signature.output_type),
    )


def _name(output: object) -> str:
    """Name a type; of one that may be None, the other."""
    others = [each for each in typing.get_args(output) if each is not type(None)]
    return str(getattr(others[0] if others else output, "__name__", ""))


def test_the_page_of_the_library_is_the_registry() -> None:
    """No activity is missing on the page, none is on it that is not offered, and its types are those of the code."""
    rows = ROW.findall(text(PAGE))

    assert sorted(row[:4] for row in rows) == sorted(row_of(activity) for activity in create_activity_registry())


def test_every_type_of_the_page_is_where_the_page_says() -> None:
    """Inputs and outputs are imported from `activities.types`."""
    named = {name for row in ROW.findall(text(PAGE)) for name in row[2:4]}

    assert named <= set(types.__all__)

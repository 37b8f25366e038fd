"""The tree as its own tests see it: which files are of the house, and what stands in them.

Knows paths and text, no rule. Caches and environments live behind a dot and are not of the house.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

__all__ = ["HALL", "ROOT", "files", "none_of", "places", "text"]

ROOT = Path(__file__).resolve().parent.parent

HALL = {
    ".ci", "activities", "charts", "crds", "docs", "operator", "requirements", "tests", "workflows",
    ".dockerignore", ".gitattributes", ".gitignore", ".pre-commit-config.yaml", "ARCHITECTURE.md", "CHANGELOG.md",
    "CONTRIBUTING.md", "Dockerfile", "LICENSE", "Makefile", "README.md", "pyproject.toml",
}  # fmt: skip
"""All that may stand at the top of the tree."""


@functools.cache
def files() -> tuple[Path, ...]:
    """Name every file of the house, relative to its root."""
    return tuple(sorted(_walk(ROOT)))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in {"__pycache__", "dist", "build"} or path.suffix == ".egg-info":
            continue
        if path.name.startswith(".") and path.name not in HALL:
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path.relative_to(ROOT)


@functools.cache
def text(path: Path) -> str:
    """Read one file of the house."""
    return (ROOT / path).read_text(encoding="utf-8")


def places(pattern: re.Pattern[str], chosen: Iterable[Path]) -> list[str]:
    """List where a pattern stands in these files."""
    return [
        f"{path}:{number}: {found.group()}"
        for path in chosen
        for number, line in enumerate(text(path).splitlines(), 1)
        if (found := pattern.search(line))
    ]


def none_of(broken: Iterable[str]) -> None:
    """Fail with one line for each place that breaks the rule of the test."""
    if lines := list(broken):
        pytest.fail("\n".join(lines), pytrace=False)

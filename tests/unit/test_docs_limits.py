"""The page about limits tells the truth: its tables hold every limit of the module, with its number."""

from __future__ import annotations

import re
from pathlib import Path

from perdure._core import limits
from tests.tree import text

PAGE = text(Path("docs/limits.md"))
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([^|]+) \|", re.MULTILINE)
KIB = 1024


def shown(name: str, value: float) -> str:
    """Write a number as the page does."""
    if not name.endswith("_BYTES"):
        return f"{value:,g}" if value < KIB else f"{value:,.0f}"
    return f"{value / KIB / KIB:g} MiB" if value >= KIB * KIB else f"{value / KIB:g} KiB"


def test_every_limit_stands_on_the_page_with_its_number() -> None:
    """Whoever changes a limit changes the page, and whoever adds one writes it there."""
    on_the_page = ROW.findall(PAGE)

    assert dict(on_the_page) == {name: shown(name, getattr(limits, name)) for name in limits.__all__}
    assert len(on_the_page) == len(limits.__all__)

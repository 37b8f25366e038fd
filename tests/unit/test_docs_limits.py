"""The page about limits tells the truth: its tables hold every limit of the module, with its number."""

from __future__ import annotations

import re
from pathlib import Path

from perdure._core import limits
from perdure._kube.api import refusals
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


def test_every_field_that_is_refused_stands_on_the_page() -> None:
    """What a resource may not say yet is written where people look for it, and nothing else is."""
    section = PAGE.partition("## Not yet")[2].partition("\n\nThe client")[0]
    named = set(re.findall(r"`([a-z]\w+)`", section))

    assert named == set(refusals._FIELDS)  # noqa: SLF001 - the table itself, not what it leads to

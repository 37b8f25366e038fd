"""The page about Events tells the truth: its table is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

from perdure._kube import events
from tests.tree import text

ROW = re.compile(r"^\| `([A-Za-z]+)` \| (Normal|Warning) \| ([^|]+) \|$", re.MULTILINE)


def test_every_reason_of_an_event_stands_on_the_page() -> None:
    """With its type and in the same words; reasons are stable, people and programs look for them."""
    on_the_page = {
        reason: (type_, sentence) for reason, type_, sentence in ROW.findall(text(Path("docs/observing.md")))
    }

    assert on_the_page == {**events.REASONS, **events.SIGNAL_REASONS}
